"""All scores of one mask against another, with the policy for empty masks."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from acnn_nnunet.evaluation.masks.pieces import Pieces, count_pieces, number_pieces
from acnn_nnunet.evaluation.masks.surface_distance import surface_distances
from acnn_nnunet.files.geometry import Geometry

OK, MISSED, SPURIOUS, BOTH_EMPTY = "ok", "missed", "spurious", "both_empty"
STATUSES = (OK, MISSED, SPURIOUS, BOTH_EMPTY)

# Scores with a mean, in the order in which tables show them.
METRIC_TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "hausdorff_mm": "Hausdorff, mm",
    "hd95_mm": "HD95, mm",
    "mean_surface_distance_mm": "mean surface distance, mm",
    "surface_dice": "surface Dice",
}
METRICS = tuple(METRIC_TITLES)

# Further scores, in a table of their own; `compare` leaves them out.
MEASURE_TITLES = {
    "precision": "precision",
    "recall": "recall",
    "rve": "RVE",
    "ave_ml": "AVE, ml",
    "pieces_detected": "pieces detected",
    "pieces_missed": "pieces missed",
    "pieces_invented": "pieces invented",
}
MEASURES = tuple(MEASURE_TITLES)
PIECE_IOU = 0.5

_FACE_CONNECTIVITY: dict[int, Literal[4, 6]] = {2: 4, 3: 6}


@dataclass(frozen=True)
class LabelScores:
    """The scores of one label or region in one case; None where a score does not apply.

    Attributes:
        case: file name without its ending.
        label: as nnU-Net's summary.json writes it: "2" for a label, "(1, 2)" for a region.
        status: ok; missed (in the reference only), spurious (in the prediction only): Dice and IoU 0, distances the
            image's diagonal; both_empty: no overlap and no distance applies.
        dice: 0 to 1, as are `iou` and `surface_dice`.
        iou: intersection over union.
        hausdorff_mm: symmetric Hausdorff distance.
        hd95_mm: the larger of the two directed 95th percentiles.
        mean_surface_distance_mm: average symmetric surface distance.
        surface_dice: fraction of both surfaces within the tolerance of the other.
        volume_reference_ml: volume of the reference; does not apply where an image of 2 axes tells no slice thickness.
        volume_prediction_ml: the prediction's.
        components: connected pieces of the prediction.
        holes: cavities of the prediction.
        true_positives: voxels in both masks. None, as the next three, in scores that were read from `cases.csv`.
        false_positives: voxels in the prediction only.
        false_negatives: voxels in the reference only.
        true_negatives: voxels in neither.
        precision: share of the predicted voxels that are right; 0 where one mask is empty, as is `recall`.
        recall: share of the reference's voxels that are found.
        rve: relative volume error, (prediction - reference) / reference; does not apply without a reference.
        ave_ml: absolute volume error, |prediction - reference|.
        pieces_detected: pieces of the reference with a match in the prediction.
        pieces_missed: pieces of the reference without one.
        pieces_invented: pieces of the prediction that match none.
    """

    case: str
    label: str
    status: str
    dice: float | None = None
    iou: float | None = None
    hausdorff_mm: float | None = None
    hd95_mm: float | None = None
    mean_surface_distance_mm: float | None = None
    surface_dice: float | None = None
    volume_reference_ml: float | None = None
    volume_prediction_ml: float | None = None
    components: int = 0
    holes: int = 0
    true_positives: int | None = None
    false_positives: int | None = None
    false_negatives: int | None = None
    true_negatives: int | None = None
    precision: float | None = None
    recall: float | None = None
    rve: float | None = None
    ave_ml: float | None = None
    pieces_detected: int | None = None
    pieces_missed: int | None = None
    pieces_invented: int | None = None


def score_masks(
    reference: np.ndarray,
    prediction: np.ndarray,
    geometry: Geometry,
    *,
    tolerance_mm: float,
    piece_iou: float = PIECE_IOU,
    case: str = "",
    label: str = "",
    num_voxels: int | None = None,
) -> LabelScores:
    """Score a predicted mask against a reference.

    Both empty: no score applies. One empty: overlap and surface Dice are 0 and the distances are the image's diagonal.

    Args:
        reference: bool; the image, or a box of it that holds both masks.
        prediction: bool, the same shape.
        geometry: of the whole image.
        tolerance_mm: of the surface Dice.
        piece_iou: least IoU of two pieces that match.
        case: name of the case.
        label: name of the label.
        num_voxels: annotated voxels of the whole image; None counts all.
    """
    num_reference, num_prediction = int(np.count_nonzero(reference)), int(np.count_nonzero(prediction))
    overlap = int(np.count_nonzero(reference & prediction))
    union = num_reference + num_prediction - overlap
    scores = LabelScores(
        case,
        label,
        _status(num_reference, num_prediction),
        volume_reference_ml=_volume_ml(num_reference, geometry),
        volume_prediction_ml=_volume_ml(num_prediction, geometry),
        holes=count_holes(prediction),
        true_positives=overlap,
        false_positives=num_prediction - overlap,
        false_negatives=num_reference - overlap,
        true_negatives=(int(np.prod(geometry.size)) if num_voxels is None else num_voxels) - union,
    )
    if scores.status == BOTH_EMPTY:
        return scores
    pieces = count_pieces(reference, prediction, least_iou=piece_iou)
    scores = _with_errors(scores, pieces, (overlap, num_reference, num_prediction), geometry)
    if scores.status != OK:
        return _with_miss(scores, geometry.diagonal_mm)
    distances = surface_distances(reference, prediction, geometry.spacing_mm)
    return replace(
        scores,
        dice=2 * overlap / (num_reference + num_prediction),
        iou=overlap / union,
        hausdorff_mm=distances.hausdorff_mm,
        hd95_mm=distances.hd95_mm,
        mean_surface_distance_mm=distances.mean_mm,
        surface_dice=distances.surface_dice(tolerance_mm),
    )


def _with_errors(scores: LabelScores, pieces: Pieces, counts: tuple[int, int, int], geometry: Geometry) -> LabelScores:
    """Return scores with precision, recall, volume errors and pieces where at least one mask is not empty.

    Args:
        scores: without them.
        pieces: matched.
        counts: voxels of the overlap, of the reference and of the prediction.
        geometry: of the whole image.
    """
    overlap, num_reference, num_prediction = counts
    return replace(
        scores,
        precision=overlap / num_prediction if num_prediction else 0.0,
        recall=overlap / num_reference if num_reference else 0.0,
        rve=(num_prediction - num_reference) / num_reference if num_reference else None,
        ave_ml=_volume_ml(abs(num_prediction - num_reference), geometry),
        components=pieces.predicted,
        pieces_detected=pieces.detected,
        pieces_missed=pieces.missed,
        pieces_invented=pieces.invented,
    )


def count_holes(mask: np.ndarray) -> int:
    """Return the number of cavities: background that no path across faces joins to the outside of the mask's box."""
    if not mask.any():
        return 0
    background = np.pad(~mask, 1, constant_values=True)
    return number_pieces(background, _FACE_CONNECTIVITY[mask.ndim])[1] - 1


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Return the piece of a bool mask with most voxels (the first of several equal ones in array order)."""
    pieces, _ = number_pieces(mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    main = sizes.argmax()
    if np.count_nonzero(largest := sizes == sizes[main]) > 1:  # in 2D the pieces' numbers are in no order
        main = pieces.ravel()[largest[pieces.ravel()].argmax()]
    return (pieces == main) & mask


def _with_miss(scores: LabelScores, distance_mm: float) -> LabelScores:
    return replace(
        scores,
        dice=0.0,
        iou=0.0,
        hausdorff_mm=distance_mm,
        hd95_mm=distance_mm,
        mean_surface_distance_mm=distance_mm,
        surface_dice=0.0,
    )


def _status(num_reference: int, num_prediction: int) -> str:
    if num_reference and num_prediction:
        return OK
    if num_reference:
        return MISSED
    return SPURIOUS if num_prediction else BOTH_EMPTY


def _volume_ml(num_voxels: int, geometry: Geometry) -> float | None:
    return None if geometry.voxel_ml is None else num_voxels * geometry.voxel_ml
