"""Where a prior's grid lies in an image, around what was predicted there: maps to the grid, and back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acnn_nnunet.shape_prior.grids.views import RoiGrid, interpolation_weights, resample

_SAME_SPACING = 1e-3  # voxels of two grids that differ by less are equally large


@dataclass(frozen=True)
class Placement:
    """A grid in an image, and the part of the image that it reaches.

    Attributes:
        box: of the image's voxels, in the grid's order of axes.
        to_grid: interpolation weights (1, n, N) per axis, from the box's voxels to the grid's.
        to_box: the other way (1, N, n).
        fits: the grid holds all that it was laid around.
    """

    box: tuple[slice, ...]
    to_grid: tuple[Tensor, ...]
    to_box: tuple[Tensor, ...]
    fits: bool

    @property
    def of_maps(self) -> tuple[slice, ...]:
        """The box as an index of maps (1, C, …)."""
        return (slice(None), slice(None), *self.box)

    def onto_grid(self, maps: Tensor, *, beyond: tuple[float, ...]) -> Tensor:
        """Return maps (1, C, …) of the box on the grid; `beyond` is what lies beyond the image."""
        return resample(maps, self.to_grid, beyond=beyond)

    def onto_box(self, maps: Tensor, *, beyond: tuple[float, ...]) -> Tensor:
        """Return maps (1, C, …) of the grid on the box; `beyond` is what lies beyond the grid."""
        return resample(maps, self.to_box, beyond=beyond)


def place_grid(
    anatomy: np.ndarray,
    spacing_mm: Sequence[float],
    *,
    kind: str,
    size: Sequence[int],
    grid_spacing_mm: Sequence[float],
) -> Placement:
    """Lay a grid around an anatomy as the prior's training does: a box in its middle, a patch in the image's if it can.

    Args:
        anatomy: bool mask with at least one voxel, axes in the grid's order.
        spacing_mm: of the image, in the same order.
        kind: of the grid, "roi" or "patch".
        size: of the grid in its voxels.
        grid_spacing_mm: of its voxels.
    """
    found = np.argwhere(anatomy)
    low, high = found.min(0), found.max(0)
    boxes, to_grid, to_box, fits = [], [], [], True
    for axis, length in enumerate(anatomy.shape):
        step = float(grid_spacing_mm[axis]) / float(spacing_mm[axis])
        step = 1.0 if math.isclose(step, 1, rel_tol=_SAME_SPACING) else step
        n = int(size[axis])
        in_the_middle = kind != RoiGrid.kind and n * step >= length
        centre = (length - 1) / 2 if in_the_middle else (low[axis] + high[axis]) / 2
        start = centre - (n - 1) / 2 * step
        start = math.floor(start + 0.5) if step == 1 else start
        # Half a voxel of slack: an anatomy as long as the grid may lie between its voxels.
        fits &= low[axis] >= start - step and high[axis] <= start + n * step
        first = int(np.clip(math.floor(start - step), 0, length - 1))
        last = int(np.clip(math.ceil(start + n * step), first, length - 1))
        boxes.append(slice(first, last + 1))
        count = last + 1 - first
        to_grid.append(interpolation_weights(torch.tensor([start - first]).float(), step, n, count))
        to_box.append(interpolation_weights(torch.tensor([(first - start) / step]).float(), 1 / step, count, n))
    return Placement(tuple(boxes), tuple(to_grid), tuple(to_box), bool(fits))
