"""Label maps with errors, which the encoder is shown while it learns: swapped labels and noise (paper §III-B).

The paper's affine augmentation is the host's: its rotations, scalings and mirrorings reach image and label alike.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AutoencoderInput:
    """Puts errors into a batch of label maps for the encoder; a setting of 0 draws no random number.

    Attributes:
        swap_probability: share of voxels that get a random label.
        noise: standard deviation of Gaussian noise.
        clean_share: share of the samples that are shown without errors.
    """

    swap_probability: float
    noise: float
    clean_share: float

    def __call__(self, maps: Tensor) -> Tensor:
        """Return the encoder's input (B, C, …) for label maps (B, C, …)."""
        spoilt = add_noise(swap_labels(maps, self.swap_probability), self.noise)
        return keep_some_clean(spoilt, maps, self.clean_share)


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

    The encoder's batch statistics then also cover clean maps, which it is shown after training.
    """
    kept = torch.rand((len(clean), *(1,) * (clean.ndim - 1)), device=clean.device) < share
    return torch.where(kept, clean, corrupted)
