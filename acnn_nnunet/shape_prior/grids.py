"""The grids on which a prior looks at label maps: today the whole training patch."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class OnGrid:
    """Label maps on a prior's grid.

    Attributes:
        prediction: maps (B, C, …) that gradients flow through.
        target: maps (B, C, …).
        valid: (B,) bool, the samples whose distance counts.
        cut_off: (B,) bool, the samples whose anatomy touches a face of the patch.
    """

    prediction: Tensor
    target: Tensor
    valid: Tensor
    cut_off: Tensor


class Grid(Protocol):
    """Where a prior looks: takes maps from the training patch to the size its networks were built for."""

    kind: str
    size: tuple[int, ...]

    def __call__(self, prediction: Tensor, target: Tensor, foreground: Tensor) -> OnGrid:
        """Put both maps on the grid; `foreground` is the target's mask (B, 1, …)."""
        ...


class PatchGrid:
    """The whole training patch: nothing is resampled, and every sample counts.

    Args:
        size: the patch size in voxels.
    """

    kind = "patch"

    def __init__(self, size: tuple[int, ...]):
        self.size = tuple(int(n) for n in size)

    def __call__(self, prediction: Tensor, target: Tensor, foreground: Tensor) -> OnGrid:
        """Return the maps as they are.

        Raises:
            ValueError: if the maps are not of the size the prior was trained on.
        """
        if tuple(target.shape[2:]) != self.size:
            raise ValueError(f"The shape prior works on patches of {self.size} voxels, got {tuple(target.shape[2:])}.")
        valid = torch.ones(target.shape[0], dtype=torch.bool, device=target.device)
        return OnGrid(prediction, target, valid, touches_face(foreground))


GRIDS = {PatchGrid.kind: PatchGrid}


def touches_face(mask: Tensor) -> Tensor:
    """Return (B,) bool: does the mask (B, 1, …) reach a face of the patch, so that anatomy may go on beyond it?"""
    faces = torch.zeros(mask.shape[0], dtype=torch.bool, device=mask.device)
    for axis in range(2, mask.ndim):
        if mask.shape[axis] > 1:
            faces |= mask.select(axis, 0).flatten(1).any(1) | mask.select(axis, -1).flatten(1).any(1)
    return faces
