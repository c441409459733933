"""What a refinement changed: where, and by how much."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Changes:
    """The difference of two label maps.

    Attributes:
        voxels: number that differ.
        dice: of both anatomies, all labels together; 1 where both are empty.
        first_slice, last_slice: along the file's slice axis, counted from 0; None where nothing differs.
        added_ml, removed_ml: by label name.
    """

    voxels: int
    dice: float
    first_slice: int | None
    last_slice: int | None
    added_ml: dict[str, float]
    removed_ml: dict[str, float]


def find_changes(
    before: np.ndarray, after: np.ndarray, *, labels: Mapping[str, tuple[int, ...]], voxel_ml: float
) -> Changes:
    """Compare two label maps (Z, Y, X).

    Args:
        before: the prediction.
        after: what was made of it.
        labels: values of each label by name; of a region, all that belong to it.
        voxel_ml: volume of a voxel.
    """
    different = before != after
    slices = np.flatnonzero(different.any(axis=(1, 2)))
    old, new = before > 0, after > 0
    size = np.count_nonzero(old) + np.count_nonzero(new)
    added, removed = {}, {}
    for name, values in labels.items():
        was, is_now = np.isin(before, values), np.isin(after, values)
        added[name] = np.count_nonzero(is_now & ~was) * voxel_ml
        removed[name] = np.count_nonzero(was & ~is_now) * voxel_ml
    return Changes(
        voxels=int(np.count_nonzero(different)),
        dice=2 * np.count_nonzero(old & new) / size if size else 1.0,
        first_slice=int(slices[0]) if len(slices) else None,
        last_slice=int(slices[-1]) if len(slices) else None,
        added_ml=added,
        removed_ml=removed,
    )
