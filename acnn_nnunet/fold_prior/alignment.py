"""Label maps laid the way a reference shape lies: position and in-plane rotation taken out, size and form left."""

import torch
import torch.nn.functional as F
from torch import Tensor

from acnn_nnunet.files.geometry import longest_axis


def align_to(maps: Tensor, reference: Tensor, *, spacing_mm: tuple[float, ...], regions: bool = False) -> Tensor:
    """Return label maps (B, C, …), shifted and turned so that their labels' centroids lie as the reference's do.

    The least squares fit of a rigid motion to the centroids, each label counting once (Procrustes), in the plane of
    each slice: across the longest voxels (the first array axis where all are equally long), or the whole of 2D maps.
    With a single label there is only a shift. Maps without a label that the reference has too stay as they are.

    Args:
        maps: probabilities or one-hot; what comes in from beyond the grid is background.
        reference: (C, …), on the same grid.
        spacing_mm: of the grid's voxels.
        regions: whether the channels are overlapping regions; otherwise the first one is the background.
    """
    plane = _plane(spacing_mm)
    spacing = maps.new_tensor([spacing_mm[axis] for axis in plane])
    foreground = 0 if regions else 1
    moving, mass = _centroids(maps[:, foreground:], plane, spacing)
    fixed, reference_mass = _centroids(reference[None, foreground:], plane, spacing)
    weight = ((mass > 0) & (reference_mass > 0)).to(maps.dtype)[..., None]
    count = weight.sum(1, keepdim=True).clamp_min(1)
    centre, target = (moving * weight).sum(1, keepdim=True) / count, (fixed * weight).sum(1, keepdim=True) / count
    a, b = (fixed - target) * weight, (moving - centre) * weight
    # The rotation R of the plane that takes a, where a sampled point lies, to b, where it comes from.
    angle = torch.atan2((a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(1), (a * b).sum((1, 2)))
    known = weight.sum((1, 2)) > 0
    warped = _warp(
        maps[:, foreground:],
        torch.where(known, angle, 0.0),
        torch.where(known[:, None], centre[:, 0], 0.0),
        torch.where(known[:, None], target[:, 0], 0.0),
        plane,
        spacing,
    )
    if regions:
        return warped
    return torch.cat([(1 - warped.sum(1, keepdim=True)).clamp_min(0), warped], 1)


def _plane(spacing_mm: tuple[float, ...]) -> tuple[int, int]:
    if len(spacing_mm) == 2:
        return 0, 1
    first, second = (axis for axis in range(3) if axis != longest_axis(spacing_mm))
    return first, second


def _centroids(maps: Tensor, plane: tuple[int, int], spacing: Tensor) -> tuple[Tensor, Tensor]:
    """Return in-plane centroids (B, C, 2) in mm from the grid's middle, and each label's number of voxels (B, C)."""
    mass = maps.flatten(2).sum(2)
    centroids = []
    for axis, length_mm in zip(plane, spacing, strict=True):
        size = maps.shape[2 + axis]
        position = (torch.arange(size, device=maps.device) - (size - 1) / 2) * length_mm
        along = maps.movedim(2 + axis, 2).flatten(3).sum(3)
        centroids.append((along * position).sum(2) / mass.clamp_min(torch.finfo(maps.dtype).tiny))
    return torch.stack(centroids, -1), mass


def _warp(
    maps: Tensor, angle: Tensor, centre: Tensor, target: Tensor, plane: tuple[int, int], spacing: Tensor
) -> Tensor:
    """Return the maps at centre + R(angle)·(x − target) for every point x of the grid, in mm within the plane."""
    axes = maps.ndim - 2
    matrix = torch.eye(axes, axes + 1, dtype=maps.dtype, device=maps.device).repeat(len(maps), 1, 1)
    cos, sin = angle.cos(), angle.sin()
    rotation = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], 1)
    shift = centre - (rotation @ target[..., None])[..., 0]
    # affine_grid counts from the middle in halves of the grid, and its axes run the other way round.
    half = maps.new_tensor([maps.shape[2 + axis] / 2 for axis in plane]) * spacing
    rows = [axes - 1 - axis for axis in plane]
    for i in range(2):
        for j in range(2):
            matrix[:, rows[i], rows[j]] = rotation[:, i, j] * half[j] / half[i]
        matrix[:, rows[i], axes] = shift[:, i] / half[i]
    grid = F.affine_grid(matrix, list(maps.shape), align_corners=False)
    return F.grid_sample(maps, grid, align_corners=False)
