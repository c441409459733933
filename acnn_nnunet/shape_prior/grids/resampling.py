"""Separable linear interpolation as matrix products: differentiable and repeatable on every device, in 2D and 3D."""

import math

import torch
from torch import Tensor


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
