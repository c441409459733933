"""What happens to slices that are acquired one breath-hold after the other: each moves on its own, some are lost."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class SliceMotion:
    """An in-plane rigid motion of every slice.

    Attributes:
        translation_mm: (B, Z, 2), along the two in-plane axes in array order.
        rotation_deg: (B, Z), about the middle of the slice, from the first in-plane axis towards the second.
    """

    translation_mm: Tensor
    rotation_deg: Tensor


def draw_motion(
    num_samples: int,
    num_slices: int,
    *,
    translation_mm: float,
    rotation_deg: float,
    generator: torch.Generator | None = None,
) -> SliceMotion:
    """Draw a motion for each slice independently, uniform within ± the given limits (paper, §III-B).

    Raises:
        ValueError: if a limit is negative.
    """
    if translation_mm < 0 or rotation_deg < 0:
        raise ValueError(f"Limits of slice motion are 0 or more, not {translation_mm} mm and {rotation_deg}°.")
    draws = torch.rand((num_samples, num_slices, 3), generator=generator) * 2 - 1
    return SliceMotion(draws[..., :2] * translation_mm, draws[..., 2] * rotation_deg)


def move_slices(
    volume: Tensor,
    motion: SliceMotion,
    spacing_mm: tuple[float, float],
    *,
    axis: int = 0,
) -> Tensor:
    """Return the volume with every slice moved in its plane; differentiable in the volume.

    Args:
        volume: (B, C, Z, Y, X), floating point; what moves in from outside repeats the slice's border.
        motion: of its slices.
        spacing_mm: voxel size along the two in-plane axes in array order.
        axis: the through-plane axis among the three.
    """
    slices = volume.movedim(2 + axis, 2)
    num_samples, num_channels, num_slices, *plane = slices.shape
    images = slices.transpose(1, 2).reshape(num_samples * num_slices, num_channels, *plane)
    theta = _sampling_matrices(motion, plane, spacing_mm).to(volume)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    moved = moved.reshape(num_samples, num_slices, num_channels, *plane).transpose(1, 2)
    return moved.movedim(2, 2 + axis)


def drop_slices(
    volume: Tensor, probability: float, *, axis: int = 0, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Lose slices: each with the given probability becomes the lowest value of its sample and channel.

    Args:
        volume: (B, C, Z, Y, X).
        probability: 0 to 1.
        axis: the through-plane axis among the three.
        generator: of the volume's device.

    Returns:
        The volume, and which slices (B, Z) were lost (bool).

    Raises:
        ValueError: if the probability is out of range.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"The probability of losing a slice is {probability}; it lies between 0 and 1.")
    shape = (volume.shape[0], volume.shape[2 + axis])
    lost = torch.rand(shape, generator=generator, device=volume.device) < probability
    along_axis = [shape[0], 1, 1, 1, 1]
    along_axis[2 + axis] = shape[1]
    return torch.where(lost.view(along_axis), volume.amin((2, 3, 4), keepdim=True), volume), lost


def _sampling_matrices(motion: SliceMotion, plane: list[int], spacing_mm: tuple[float, float]) -> Tensor:
    """Return (B·Z, 2, 3): from a place in the moved slice to its place before, in grid_sample's (x, y) from −1 to 1."""
    half_mm = torch.tensor([n * spacing / 2 for n, spacing in zip(plane, spacing_mm, strict=True)], dtype=torch.float64)
    half_mm = half_mm.to(motion.rotation_deg.device)
    angle = motion.rotation_deg.double().reshape(-1) * math.pi / 180
    translation_mm = motion.translation_mm.double().reshape(-1, 2)
    cosine, sine = angle.cos(), angle.sin()
    # The inverse motion in (first, second) axis order and mm: turn back what has first been shifted back.
    back = torch.stack([torch.stack([cosine, sine], -1), torch.stack([-sine, cosine], -1)], -2)
    offset = -(back @ translation_mm.unsqueeze(-1)).squeeze(-1)
    back, offset = back * half_mm[None, None, :] / half_mm[None, :, None], offset / half_mm
    return torch.cat([back.flip(-1).flip(-2), offset.flip(-1).unsqueeze(-1)], -1)
