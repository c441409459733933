"""The grids on which a prior looks at label maps: the whole training patch, or a box in mm around the anatomy.

A box is resampled by separable linear interpolation, as matrix products: differentiable and repeatable on every device,
in 2D and 3D.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class View:
    """Where a grid lies in each patch of a batch: calling it takes maps (B, C, …) of the patches to the grid.

    Attributes:
        valid: (B,) bool, the samples that count.
        cut_off: (B,) bool, the samples whose anatomy touches a face of the patch, so that it may go on beyond it.
        outside_share: (B,), how much of the foreground lies outside of the grid.
        weights: an interpolation matrix (B, n, N) per axis; none where the patch itself is the grid.
    """

    valid: Tensor
    cut_off: Tensor
    outside_share: Tensor
    weights: tuple[Tensor, ...] = ()

    def __call__(self, maps: Tensor, *, beyond: float | tuple[float, ...] = 0.0) -> Tensor:
        """Return maps (B, C, …) on the grid, float32 where they are resampled; gradients flow through.

        Args:
            maps: (B, C, …) on the patch.
            beyond: value of every channel beyond the patch, or one for each.
        """
        return resample(maps, self.weights, beyond=beyond) if self.weights else maps

    def unseen(self, maps: Tensor) -> Tensor:
        """Return the mask (B, 1, …) of the voxels of patches (B, C, …) that the grid does not reach."""
        seen = torch.ones_like(maps[:, :1], dtype=torch.bool)
        for axis, matrix in enumerate(self.weights, start=2):
            shape = [1] * maps.ndim
            shape[0], shape[axis] = len(maps), -1
            seen = seen & (matrix.sum(1) > 0).view(shape)
        return ~seen


class Grid(Protocol):
    """Where a prior looks: takes maps from the training patch to the size its networks were built for.

    Attributes:
        kind: its name in settings and prior files.
        size: in voxels.
        reach: size in voxels of the patch to cut around an anatomy, of which the grid shall see all that it can.
    """

    kind: str
    size: tuple[int, ...]
    reach: tuple[int, ...]

    def around(self, foreground: Tensor, *, main: Tensor | None = None) -> View:
        """Return the view around the anatomy, mask (B, 1, …), or around its `main` part where that is given."""
        ...

    def around_middle(self, image: Tensor) -> View:
        """Return the view where there is only an image (B, C, …): the whole patch takes the anatomy's place."""
        ...


class PatchGrid:
    """The whole training patch: nothing is resampled, and every sample counts.

    Args:
        size: the patch size in voxels.
    """

    kind = "patch"

    def __init__(self, size: tuple[int, ...]):
        self.size = self.reach = tuple(int(n) for n in size)

    def around(self, foreground: Tensor, *, main: Tensor | None = None) -> View:
        """Return the patch as it is; it was cut around the main part.

        Raises:
            ValueError: if the patches are not of the size the prior was trained on.
        """
        if tuple(foreground.shape[2:]) != self.size:
            raise ValueError(
                f"The shape prior works on patches of {self.size} voxels, got {tuple(foreground.shape[2:])}."
            )
        everything = torch.ones(len(foreground), dtype=torch.bool, device=foreground.device)
        main = foreground if main is None else main
        return View(everything, touches_face(main), torch.zeros(len(foreground), device=foreground.device))

    def around_middle(self, image: Tensor) -> View:
        """Return the patch as it is."""
        return self.around(torch.zeros_like(image[:, :1], dtype=torch.bool))


class RoiGrid:
    """A box of fixed size in mm, centred on the anatomy's bounding box.

    Labels, probabilities and images are interpolated linearly, by the same weights. Where spacings agree the box begins
    on a voxel, so that it is a crop. A sample whose anatomy is cut off, or that has none, does not count.

    Args:
        size: of the box in its own voxels.
        spacing_mm: of the box's voxels.
        patch_spacing_mm: of the patches that it is laid into.
    """

    kind = "roi"

    def __init__(self, size: tuple[int, ...], *, spacing_mm: tuple[float, ...], patch_spacing_mm: tuple[float, ...]):
        self.size = tuple(int(n) for n in size)
        ratios = [box / patch for box, patch in zip(spacing_mm, patch_spacing_mm, strict=True)]
        # Spacings that differ by rounding alone shall not blur.
        self.steps = tuple(1.0 if math.isclose(ratio, 1, rel_tol=1e-4) else ratio for ratio in ratios)
        # Twice the box, so that it is seen how much of an anatomy does not fit.
        self.reach = tuple(math.ceil(2 * n * step) for n, step in zip(self.size, self.steps, strict=True))

    def around(self, foreground: Tensor, *, main: Tensor | None = None) -> View:
        """Return the box centred on the bounding box of each anatomy's main part, or on the patch where there is none.

        Args:
            foreground: mask (B, 1, …) of all that counts as outside where the box does not reach.
            main: mask (B, 1, …) of the part to look at; all of it by default.
        """
        main = foreground if main is None else main
        low, high = bounding_boxes(main)
        cut_off = touches_face(main)
        present = main.flatten(1).any(1)
        starts = [self._start((low[:, i] + high[:, i]) / 2, i) for i in range(len(self.size))]
        lost = 1 - share_inside(foreground, starts, self.size, self.steps)
        return View(present & ~cut_off, cut_off, lost * present, self._weights(starts, foreground))

    def around_middle(self, image: Tensor) -> View:
        """Return the box in the middle of each patch."""
        return self.around(torch.zeros_like(image[:, :1], dtype=torch.bool))

    def back_to_patch(self, maps: Tensor, patch_size: tuple[int, ...], *, beyond: float | tuple[float, ...]) -> Tensor:
        """Return maps (B, C, …) of boxes that lie in the middle of patches on these patches, and `beyond` elsewhere."""
        weights = []
        for axis, (length, step) in enumerate(zip(patch_size, self.steps, strict=True)):
            middle = torch.full((len(maps),), (length - 1) / 2, device=maps.device)
            start = -self._start(middle, axis) / step
            weights.append(interpolation_weights(start, 1 / step, length, maps.shape[2 + axis]))
        return resample(maps, tuple(weights), beyond=beyond)

    def _start(self, centre: Tensor, axis: int) -> Tensor:
        """Return (B,), the patch coordinate of the box's first voxel for a centre (B,)."""
        start = centre - (self.size[axis] - 1) / 2 * self.steps[axis]
        return torch.floor(start + 0.5) if self.steps[axis] == 1 else start

    def _weights(self, starts: list[Tensor], patch: Tensor) -> tuple[Tensor, ...]:
        axes = zip(starts, self.steps, self.size, patch.shape[2:], strict=True)
        return tuple(interpolation_weights(*axis) for axis in axes)


def make_grid(
    kind: str,
    size: tuple[int, ...],
    *,
    spacing_mm: tuple[float, ...],
    patch_spacing_mm: tuple[float, ...],
) -> PatchGrid | RoiGrid:
    """Return the grid of a prior in a training whose patches have the given spacing."""
    if kind == RoiGrid.kind:
        return RoiGrid(size, spacing_mm=spacing_mm, patch_spacing_mm=patch_spacing_mm)
    return PatchGrid(size)


def touches_face(mask: Tensor) -> Tensor:
    """Return (B,) bool: does the mask (B, 1, …) reach a face of the patch, so that anatomy may go on beyond it?"""
    faces = torch.zeros(mask.shape[0], dtype=torch.bool, device=mask.device)
    for axis in range(2, mask.ndim):
        if mask.shape[axis] > 1:
            faces |= mask.select(axis, 0).flatten(1).any(1) | mask.select(axis, -1).flatten(1).any(1)
    return faces


def bounding_boxes(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and last index (B, axes) of each mask (B, 1, …), those of the whole patch where it is empty."""
    first, last = [], []
    for axis in range(2, mask.ndim):
        others = [other for other in range(1, mask.ndim) if other != axis]
        profile = mask.sum(others) > 0
        profile |= ~profile.any(1, keepdim=True)
        first.append(profile.int().argmax(1))
        last.append(profile.shape[1] - 1 - profile.flip(1).int().argmax(1))
    return torch.stack(first, 1).float(), torch.stack(last, 1).float()


def interpolation_weights(start: Tensor, step: float, length: int, source_length: int) -> Tensor:
    """Return the weights (B, length, source_length) that sample one axis at `start + step * i`.

    Linear interpolation; where samples lie further apart than the source's voxels, the triangle is as wide as their
    distance, so that nothing in between is missed. Weights of a row sum to 1 within the source and to less at its ends.

    Args:
        start: (B,) coordinate of the first sample, in voxels of the source.
        step: distance of two samples, in voxels of the source.
        length: number of samples.
        source_length: number of the source's voxels.
    """
    position = start[:, None] + step * torch.arange(length, device=start.device)
    width = max(1.0, step)
    voxels = torch.arange(source_length, device=start.device)
    weights = (1 - (position[..., None] - voxels).abs() / width).clamp(min=0)
    if width == 1:
        return weights
    # What the triangle would weigh in an endless source.
    neighbours = torch.arange(-math.ceil(width), math.ceil(width) + 2, device=start.device)
    whole = (1 - ((position - position.floor())[..., None] - neighbours).abs() / width).clamp(min=0)
    return weights / whole.sum(-1, keepdim=True)


def resample(maps: Tensor, weights: tuple[Tensor, ...], *, beyond: float | tuple[float, ...]) -> Tensor:
    """Return maps (B, C, …) interpolated along every axis, in float32 or, where they are so, float64.

    Args:
        maps: (B, C, …).
        weights: (B, n, N) per axis.
        beyond: value of every channel beyond the maps, or one for each.
    """
    # Reduced precision would blur labels; the products are small.
    with torch.autocast(maps.device.type, enabled=False):
        result = maps.to(torch.promote_types(maps.dtype, torch.float32))
        inside = torch.ones(len(maps), *(1,) * (maps.ndim - 1), dtype=result.dtype, device=maps.device)
        for axis, matrix in enumerate(weights, start=2):
            moved = result.movedim(axis, -1)
            matrix = matrix.to(result.dtype)
            product = moved.flatten(1, -2) @ matrix.transpose(1, 2)
            result = product.unflatten(1, moved.shape[1:-1]).movedim(-1, axis)
            shape = [1] * maps.ndim
            shape[0], shape[axis] = len(maps), -1
            inside = inside * matrix.sum(-1).view(shape)
        values = torch.tensor(beyond, device=maps.device, dtype=result.dtype).view(1, -1, *(1,) * len(weights))
        return (result + (1 - inside) * values).contiguous()


def share_inside(mask: Tensor, starts: list[Tensor], size: tuple[int, ...], steps: tuple[float, ...]) -> Tensor:
    """Return (B,), the share of each mask's voxels (B, 1, …) whose centres lie in a box, 1 for an empty mask.

    Args:
        mask: (B, 1, …) bool.
        starts: per axis, (B,) coordinates of the centre of the box's first voxel.
        size: of the box in its voxels.
        steps: their size per axis, in voxels of the mask.
    """
    inside = mask
    for axis, (start, length, step) in enumerate(zip(starts, size, steps, strict=True), start=2):
        voxels = torch.arange(mask.shape[axis], device=mask.device)
        low = start[:, None] - step / 2
        shape = [1] * mask.ndim
        shape[0], shape[axis] = len(mask), -1
        inside = inside & ((voxels >= low) & (voxels <= low + length * step)).view(shape)
    count = mask.flatten(1).sum(1)
    return torch.where(count > 0, inside.flatten(1).sum(1) / count.clamp(min=1), 1.0)
