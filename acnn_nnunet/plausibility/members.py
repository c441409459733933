"""How far the members of an ensemble disagree on a case: folds, seeds, or mirrorings at test time.

The mean pairwise Dice of an ensemble's members was the most robust score of a segmentation's quality in five 3D data
sets (Zenk et al., Medical Image Analysis 101, 2025).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from acnn_nnunet.evaluation.masks.case_scores import masks_in_box
from acnn_nnunet.evaluation.masks.surface_distance import distance_to, surface
from acnn_nnunet.files.folders import find_images
from acnn_nnunet.files.on_demand import OnDemand
from acnn_nnunet.nnunet.label_files import LabelMap

MEMBERS_DICE, MEMBERS_DISTANCE = "members_dice", "members_distance_mm"


def find_members(folders: Sequence[Path], cases: Sequence[str], ending: str) -> Mapping[str, tuple[Path, ...]]:
    """Return the prediction of each member for each case; the file of one that is missing is named, not there.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such folder.
        ValueError: for one member, the same folder twice, or a member that has none of the cases.
    """
    if len(folders) == 1:
        raise ValueError(
            f"--members names one folder, {folders[0]}: a disagreement takes two members or more, such as the "
            "predictions of two folds."
        )
    if len({Path(folder).resolve() for folder in folders}) < len(folders):
        raise ValueError("--members names a folder twice: each member is another network's, or another mirroring's.")
    found = [find_images(folder, (ending,), may_be_none=True) for folder in folders]
    for folder, files in zip(folders, found, strict=True):
        if not set(files) & set(cases):
            raise ValueError(
                f"The member {folder} holds no prediction of these cases, such as {cases[0]}{ending}: each member's "
                "folder has the same file names as PRED."
            )
    members = list(zip(folders, found, strict=True))
    return OnDemand(cases, lambda case: tuple(files.get(case, folder / f"{case}{ending}") for folder, files in members))


def disagreement(
    members: Sequence[LabelMap], label_values: Mapping[str, tuple[int, ...]]
) -> dict[str, dict[str, float]]:
    """Return the mean pairwise Dice and surface distance of each label; none for a label that no member has.

    A pair has Dice 0 and the image's diagonal if one member alone has the label, and does not count if neither has.

    Args:
        members: two or more, on one grid.
        label_values: the values of each label or region.

    Returns:
        By label, `members_dice` (0 to 1) and `members_distance_mm` (average symmetric surface distance).
    """
    found = {}
    geometry = members[0].geometry
    for label, values in label_values.items():
        masks = masks_in_box([each.values for each in members], values, [each.boxes for each in members])
        pairs = [pair for pair in combinations(range(len(masks)), 2) if any(masks[each].any() for each in pair)]
        if not pairs:
            continue
        distances = _pairwise_mm(masks, pairs, geometry.spacing_mm, miss_mm=geometry.diagonal_mm)
        dice = [_dice(masks[first], masks[second]) for first, second in pairs]
        found[label] = {MEMBERS_DICE: float(np.mean(dice)), MEMBERS_DISTANCE: float(np.mean(distances))}
    return found


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second)))


def _pairwise_mm(
    masks: Sequence[np.ndarray], pairs: Sequence[tuple[int, int]], spacing_mm: tuple[float, ...], *, miss_mm: float
) -> list[float]:
    """Return the average symmetric surface distance of each pair; one distance map serves all pairs of a member."""
    surfaces = [surface(mask) if mask.any() else None for mask in masks]
    maps = [None if each is None else distance_to(each, spacing_mm) for each in surfaces]
    found = []
    for first, second in pairs:
        if surfaces[first] is None or surfaces[second] is None:
            found.append(miss_mm)
            continue
        both = np.concatenate([maps[second][surfaces[first]], maps[first][surfaces[second]]])  # type: ignore[index]
        found.append(float(both.mean()))
    return found
