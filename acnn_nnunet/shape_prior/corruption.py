"""What the encoder is shown of a label map while it learns (paper §III-B): relabelled and noisy.

The paper's affine augmentation is the host's: its rotations, scalings and mirrorings reach image and label alike.
"""

import torch
from torch import Tensor


def swap_labels(maps: Tensor, probability: float) -> Tensor:
    """Give each voxel a random label with the given probability.

    Args:
        maps: one-hot classes or binary regions (B, C, …); a swapped voxel is set in one random channel only.
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


def keep_some_clean(corrupted: Tensor, clean: Tensor, share: float) -> Tensor:
    """Return the corrupted maps (B, C, …) with a random share of the samples left clean.

    The encoder's batch statistics then know what it is shown later, which is clean.
    """
    keep = torch.rand((len(clean), *(1,) * (clean.ndim - 1)), device=clean.device) < share
    return torch.where(keep, clean, corrupted)
