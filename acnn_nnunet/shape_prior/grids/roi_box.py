"""The box of a prior's ROI grid, fitted to the anatomy of a fold's training cases."""

import math
from dataclasses import dataclass

import numpy as np

PERCENTILE = 95
_MULTIPLE = 4


@dataclass(frozen=True)
class RoiBox:
    """A box in its own voxels.

    Attributes:
        size: in voxels.
        spacing_mm: of its voxels.
    """

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]


def fit_box(
    extents_mm: np.ndarray,
    *,
    margin: float,
    spacing_mm: tuple[float, ...],
    most_voxels: int,
) -> RoiBox:
    """Return a box `margin` times as long, per axis, as the 95th percentile of the anatomies' extents.

    Sizes are rounded up to multiples of 4 voxels (short axes, below 8 voxels, to whole ones). A box of more than
    `most_voxels` gets coarser voxels, all axes alike, until it has no more.

    Args:
        extents_mm: (cases, axes) lengths of the anatomies' bounding boxes.
        margin: at least 1.
        spacing_mm: of the box's voxels, if there are not too many.
        most_voxels: what the prior may cost, such as the training patch's voxels.

    Raises:
        ValueError: if there is no anatomy.
    """
    if len(extents_mm) == 0:
        raise ValueError("There is no anatomy to fit a box to.")
    lengths_mm = np.percentile(extents_mm, PERCENTILE, axis=0) * margin
    coarsening = 1.0
    while True:
        spacing = tuple(float(s) * coarsening for s in spacing_mm)
        size = tuple(_rounded_up(length / s) for length, s in zip(lengths_mm, spacing, strict=True))
        if math.prod(size) <= most_voxels or max(size) == 1:
            return RoiBox(size, spacing)
        coarsening *= 1.02


def _rounded_up(voxels: float) -> int:
    # Lengths in mm over a spacing are not exact: 40.0000001 voxels are 40.
    whole = max(1, math.ceil(voxels - 1e-6))
    return whole if whole < 2 * _MULTIPLE else _MULTIPLE * math.ceil(whole / _MULTIPLE)
