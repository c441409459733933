"""What an anatomy changes in a prediction: what is thicker than a voxel at once, the rest by a share.

An autoencoder draws boundaries less exactly than a segmentation network that sees the image. So what it would change is
divided: thick differences, such as a missing slab, a hole or an island, are taken over. Thin ones along the boundaries
come in by a weight. All changes are differences on the grid, brought to the image and added there: where anatomy and
prediction agree, no interpolation touches the prediction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acnn_nnunet.nnunet.cases import main_pieces
from acnn_nnunet.refinement.placement import Placement
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

SURE = 0.95
"""Probability from which on an anatomy takes away or relabels what is predicted. What is missing it adds at any."""

ROUNDS = 3
"""Rounds of thick changes: what is mended lets the next look see more, and the grid lies better."""

_THICK_AXES = 2.0  # an axis with voxels longer than this many times the shortest is not looked along

AnatomyOf = Callable[[Tensor], Tensor]
"""From maps (1, C, …) on a placed grid to those of a plausible anatomy there."""


@dataclass(frozen=True)
class Proposal:
    """What a plausible anatomy would change, on a part of the image, axes in the plans' order.

    Attributes:
        box: of the image's voxels.
        soft: (1, C, …) the prediction's probabilities there.
        change: (1, C, …) what the anatomy would change in these.
        mended: the prediction's probabilities with the thick changes.
        change_of_mended: what the anatomy of the mended prediction would change in that.
    """

    box: tuple[slice, ...]
    soft: Tensor
    change: Tensor
    mended: Tensor
    change_of_mended: Tensor

    def mixed(self, thin: Tensor, thick: Tensor) -> Tensor:
        """Return soft maps (1, C, …) with a share (C,) of the changes; in `thick` channels (C,), thick ones whole."""
        shape = (1, -1, *(1,) * (self.soft.ndim - 2))
        thin, thick = thin.view(shape), thick.view(shape)
        return torch.where(thick, self.mended + thin * self.change_of_mended, self.soft + thin * self.change)


def propose(
    soft: Tensor,
    box: tuple[slice, ...],
    *,
    main: np.ndarray,
    place: Callable[[np.ndarray], Placement],
    anatomy_of: AnatomyOf,
    labels: LabelSpace,
    spacing_mm: Sequence[float],
    rounds: int = ROUNDS,
) -> Proposal:
    """Return what an anatomy would change in a prediction.

    Args:
        soft: (1, C, …) of the box.
        box: where it lies in the image.
        main: mask of the anatomy there.
        place: lays the grid around an anatomy, mask of the box.
        anatomy_of: the anatomy on a placed grid.
        labels: what the channels mean.
        spacing_mm: of the grid's voxels.
        rounds: of thick changes; 0 leaves `mended` as the prediction is.
    """
    mended, changes = soft, [torch.zeros_like(soft)]
    for turn in range(rounds + 1):
        foreground = labels.foreground(mended)[0, 0].numpy()
        if not foreground.any():
            break
        placement = place(main_pieces(foreground) | (main & foreground))
        maps = placement.onto_grid(mended[placement.of_maps], beyond=labels.background)
        anatomy = anatomy_of(maps)
        changes.append(_on_whole(anatomy - maps, placement, soft))
        thick = thick_differences(maps, anatomy, labels, spacing_mm)
        if turn == rounds or not thick.any():
            break
        mended = mended + _on_whole(thick.to(maps.dtype), placement, soft[:, :1]) * changes[-1]
    return Proposal(box, soft, changes[min(1, len(changes) - 1)], mended, changes[-1])


def thick_differences(maps: Tensor, anatomy: Tensor, labels: LabelSpace, spacing_mm: Sequence[float]) -> Tensor:
    """Return the mask (1, 1, …) around differences of two soft maps that have a voxel's margin on all sides.

    The margin is asked for along the axes of short voxels: across thick slices one slice is enough. What the prediction
    has is in doubt only where the anatomy is sure of something else: an anatomy that the prior knows little of has
    unsure parts.
    """
    predicted = labels.foreground(maps)
    free = ~predicted | (torch.maximum(anatomy, 1 - anatomy).amin(1, keepdim=True) > SURE)
    different = (labels.hardened(maps) != labels.hardened(anatomy)).any(1, keepdim=True) & free
    axes = [axis for axis, mm in enumerate(spacing_mm) if mm < _THICK_AXES * min(spacing_mm)]
    core = _spread(different, axes, torch.logical_and)
    return _spread(_spread(core, axes, torch.logical_or), axes, torch.logical_or) & free


def _spread(mask: Tensor, axes: Sequence[int], join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return a mask (1, 1, …) joined with itself, one voxel on, in both directions along axes; nothing lies beyond."""
    joined = mask
    for axis in axes:
        size = mask.shape[2 + axis]
        for step in (-1, 1):
            shifted = torch.zeros_like(mask)
            if size > 1:
                low, high = max(step, 0), size + min(step, 0)
                shifted.narrow(2 + axis, low, high - low).copy_(mask.narrow(2 + axis, low - step, high - low))
            joined = join(joined, shifted)
    return joined


def _on_whole(maps: Tensor, placement: Placement, like: Tensor) -> Tensor:
    """Return maps (1, C, …) of a grid on all voxels of a part of an image, 0 where the grid does not reach."""
    whole = torch.zeros_like(like)
    whole[placement.of_maps] = placement.onto_box(maps, beyond=(0.0,) * maps.shape[1])
    return whole
