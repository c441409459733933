"""What the encoder is shown of a label map while it learns (paper §III-B): transformed, relabelled, noisy."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def swap_labels(maps: Tensor, probability: float) -> Tensor:
    """Give each voxel a random label with the given probability.

    Args:
        maps: one-hot classes or binary regions (B, C, …); in place of a swapped voxel's channels come those of
            another voxel of the same map set to one random channel.
        probability: 0…1, the paper's is 0.1.
    """
    if probability == 0:
        return maps
    shape = (maps.shape[0], 1, *maps.shape[2:])
    swapped = torch.rand(shape, device=maps.device) < probability
    channel = torch.randint(maps.shape[1], shape, device=maps.device)
    channels = torch.arange(maps.shape[1], device=maps.device).view(1, -1, *(1,) * (maps.ndim - 2))
    return torch.where(swapped, (channel == channels).to(maps.dtype), maps)


def add_noise(maps: Tensor, sigma: float) -> Tensor:
    """Add Gaussian noise of standard deviation `sigma` (probabilities are in 0…1)."""
    return maps + sigma * torch.randn_like(maps) if sigma else maps


def random_affine(
    batch_size: int,
    size: tuple[int, ...],
    *,
    rotation: float = math.radians(15),
    scaling: float = 0.15,
    translation: float = 0.05,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw small affine maps for `affine_grid`, (B, D, D + 1), one a sample.

    Args:
        batch_size: B.
        size: spatial size in voxels; rotations are rigid on it although the coordinates are normalised.
        rotation: largest angle per plane in radians.
        scaling: largest relative change of size per axis.
        translation: largest shift per axis, as a share of the size.
        device: where the maps are wanted.
    """
    dimensions = len(size)
    matrix = torch.eye(dimensions, device=device).repeat(batch_size, 1, 1)
    for first in range(dimensions):
        for second in range(first + 1, dimensions):
            matrix = matrix @ _rotation(batch_size, dimensions, first, second, rotation, device)
    matrix = matrix * (1 + scaling * _uniform((batch_size, 1, dimensions), device))
    # affine_grid counts coordinates from the last axis backwards.
    half = torch.tensor(size[::-1], dtype=torch.float32, device=device) / 2
    matrix = matrix * half / half[:, None]
    return torch.cat([matrix, 2 * translation * _uniform((batch_size, dimensions, 1), device)], dim=2)


def transform(theta: Tensor, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Apply the same affine maps to images (B, C', …), linearly, and targets (B, C'', …), by nearest neighbour."""
    grid = F.affine_grid(theta, list(image.shape), align_corners=False)
    moved_image = F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
    moved_target = F.grid_sample(target.float(), grid, mode="nearest", align_corners=False)
    return moved_image, moved_target.to(target.dtype)


def _uniform(shape: tuple[int, ...], device) -> Tensor:
    return torch.rand(shape, device=device) * 2 - 1


def _rotation(batch_size: int, dimensions: int, first: int, second: int, largest: float, device) -> Tensor:
    angle = largest * _uniform((batch_size,), device)
    matrix = torch.eye(dimensions, device=device).repeat(batch_size, 1, 1)
    matrix[:, first, first] = matrix[:, second, second] = angle.cos()
    matrix[:, first, second], matrix[:, second, first] = -angle.sin(), angle.sin()
    return matrix
