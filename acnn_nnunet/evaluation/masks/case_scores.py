"""All labels of one case: boxes around them, scores with and without the largest-component clean-up."""

from dataclasses import dataclass, fields

import numpy as np

from acnn_nnunet.evaluation.masks.mask_scores import MaskScores, largest_component, score_masks
from acnn_nnunet.evaluation.table import CaseScore
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.nnunet.label_files import LabelMap
from acnn_nnunet.nnunet.labels import Label

Box = tuple[slice, ...]


@dataclass(frozen=True)
class LabelScores:
    """Scores of one label or region of one case.

    Attributes:
        scores: of the prediction as it is.
        scores_largest_component: of its largest component alone.
        true_positives: voxels, as are the other three; unannotated ones are not counted.
        false_positives: in the prediction only.
        false_negatives: in the reference only.
        true_negatives: in neither.
    """

    scores: MaskScores
    scores_largest_component: MaskScores
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


def score_case(
    reference: LabelMap,
    prediction: LabelMap | None,
    labels: tuple[Label, ...],
    *,
    ignore: int | None,
    tolerance_mm: float,
) -> dict[Label, LabelScores]:
    """Score every label of a case.

    Args:
        reference: integers `(Z, Y, X)` or `(Y, X)`, and their grid.
        prediction: on the same grid; None counts as empty.
        labels: labels (an integer) and regions (a tuple of the labels that they join).
        ignore: value of unannotated voxels in the reference; both maps are background there.
        tolerance_mm: of the surface Dice.
    """
    boxes = [reference.boxes, [] if prediction is None else prediction.boxes]
    values = [reference.values, np.zeros_like(reference.values) if prediction is None else prediction.values]
    num_voxels = reference.values.size
    if ignore is not None:
        known = reference.values != ignore
        num_voxels = int(np.count_nonzero(known))
        values = [each * known for each in values]
    return {
        label: _score_label(
            *_masks_in_box(values, label, boxes), reference.geometry, num_voxels, tolerance_mm=tolerance_mm
        )
        for label in labels
    }


def case_row(case: str, label: str, scores: MaskScores) -> CaseScore:
    """Return scores as a row of `cases.csv`."""
    return CaseScore(case=case, label=label, **{field.name: getattr(scores, field.name) for field in fields(scores)})


def _score_label(
    reference: np.ndarray, prediction: np.ndarray, geometry: Geometry, num_voxels: int, *, tolerance_mm: float
) -> LabelScores:
    scores = score_masks(reference, prediction, geometry, tolerance_mm=tolerance_mm)
    cleaned = scores
    if scores.components > 1:
        cleaned = score_masks(reference, largest_component(prediction), geometry, tolerance_mm=tolerance_mm)
    overlap = int(np.count_nonzero(reference & prediction))
    only_prediction = int(np.count_nonzero(prediction)) - overlap
    only_reference = int(np.count_nonzero(reference)) - overlap
    return LabelScores(
        scores,
        cleaned,
        true_positives=overlap,
        false_positives=only_prediction,
        false_negatives=only_reference,
        true_negatives=num_voxels - overlap - only_prediction - only_reference,
    )


def _masks_in_box(
    label_maps: list[np.ndarray], label: Label, boxes: list[list[Box | None]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return both masks of a label, cut to the box that holds them: all distances stay what they are."""
    values = label if isinstance(label, tuple) else (label,)
    found = [
        box
        for objects in boxes
        for value in values
        if value <= len(objects) and (box := objects[value - 1]) is not None
    ]
    box = _joint_box(found) if found else (slice(0, 1),) * label_maps[0].ndim
    masks = [_mask(label_map[box], values) for label_map in label_maps]
    return masks[0], masks[1]


def _joint_box(boxes: list[Box]) -> Box:
    return tuple(
        slice(min(each.start for each in along_axis), max(each.stop for each in along_axis))
        for along_axis in zip(*boxes, strict=True)
    )


def _mask(label_map: np.ndarray, values: tuple[int, ...]) -> np.ndarray:
    mask = label_map == values[0]
    for value in values[1:]:
        mask |= label_map == value
    return mask
