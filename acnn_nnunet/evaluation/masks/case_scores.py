"""All labels of one case: boxes around them, scores with and without the largest-component clean-up."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from acnn_nnunet.evaluation.masks.scores import PIECE_IOU, LabelScores, largest_component, score_masks
from acnn_nnunet.files.geometry import foreground_box
from acnn_nnunet.nnunet.label_files import LabelMap
from acnn_nnunet.nnunet.labels import Label, label_key

Box = tuple[slice, ...]


def score_case(
    reference: LabelMap,
    prediction: LabelMap | None,
    labels: tuple[Label, ...],
    *,
    ignore: int | None,
    tolerance_mm: float,
    piece_iou: float = PIECE_IOU,
    case: str = "",
) -> list[tuple[LabelScores, LabelScores]]:
    """Return the scores of every label of a case: of the prediction as it is, and of its largest component alone.

    Args:
        reference: integers `(Z, Y, X)` or `(Y, X)`, and their grid.
        prediction: on the same grid; None counts as empty.
        labels: labels (an integer) and regions (a tuple of the labels that they join).
        ignore: value of unannotated voxels in the reference; both maps are background there.
        tolerance_mm: of the surface Dice.
        piece_iou: least IoU of two pieces that match.
        case: name of the case.
    """
    boxes = [reference.boxes, [] if prediction is None else prediction.boxes]
    values = [reference.values, np.zeros_like(reference.values) if prediction is None else prediction.values]
    num_voxels = reference.values.size
    if ignore is not None:
        known = reference.values != ignore
        num_voxels = int(np.count_nonzero(known))
        values = [each * known for each in values]
    pairs = []
    for label in labels:
        of_reference, of_prediction = masks_in_box(values, label, boxes)
        score = partial(
            score_masks,
            geometry=reference.geometry,
            tolerance_mm=tolerance_mm,
            piece_iou=piece_iou,
            case=case,
            label=label_key(label),
            num_voxels=num_voxels,
        )
        scores = cleaned = score(of_reference, of_prediction)
        if scores.components > 1:
            cleaned = score(*_cut_to_content(of_reference, largest_component(of_prediction)))
        pairs.append((scores, cleaned))
    return pairs


def masks_in_box(
    label_maps: Sequence[np.ndarray], label: Label, boxes: Sequence[Sequence[Box | None]]
) -> list[np.ndarray]:
    """Return the masks of a label, cut to the box that holds them all: all distances stay what they are.

    Args:
        label_maps: integers, of one shape.
        label: or region.
        boxes: `LabelMap.boxes` of each.
    """
    values = label if isinstance(label, tuple) else (label,)
    found = [
        box
        for objects in boxes
        for value in values
        if value <= len(objects) and (box := objects[value - 1]) is not None
    ]
    box = _joint_box(found) if found else (slice(0, 1),) * label_maps[0].ndim
    return [_mask(label_map[box], values) for label_map in label_maps]


def _cut_to_content(*masks: np.ndarray) -> list[np.ndarray]:
    """Return masks cut to the box that holds them all: without its islands a prediction often fits in a small one."""
    box = foreground_box(np.logical_or.reduce(masks))
    return [mask if box is None else mask[box] for mask in masks]


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
