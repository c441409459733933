"""What the encoder is shown of a label map while it learns: relabelled and noisy (paper §III-B), softened, predicted.

The paper's affine augmentation is the host's: its rotations, scalings and mirrorings reach image and label alike.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from acnn_nnunet.shape_prior.grids.resampling import resample


@dataclass(frozen=True)
class AutoencoderInput:
    """Takes a batch of label maps to what the encoder is shown of it; what is 0 draws no random number.

    Attributes:
        swap_probability: share of voxels that get a random label.
        noise: standard deviation of Gaussian noise.
        clean_share: share of the samples that are shown without softening, swaps and noise.
        softening_voxels: largest standard deviation of the Gaussian that softens a sample.
        network_share: share of the samples of which a network's map is shown, where there are such maps.
    """

    swap_probability: float
    noise: float
    clean_share: float
    softening_voxels: float = 0.0
    network_share: float = 0.0

    def __call__(self, maps: Tensor, network_maps: Tensor | None = None) -> Tensor:
        """Return the input (B, C, …) of the encoder.

        Args:
            maps: label maps (B, C, …).
            network_maps: what a network made of the same samples, (B, C, …), or None.
        """
        chosen = maps if network_maps is None else _replace_some(maps, network_maps, self.network_share)
        spoilt = swap_labels(soften(chosen, self.softening_voxels), self.swap_probability)
        return keep_some_clean(add_noise(spoilt, self.noise), chosen, self.clean_share)


def soften(maps: Tensor, largest_voxels: float) -> Tensor:
    """Blur each sample by a Gaussian, whose standard deviation is drawn between 0 and the given one.

    Near the faces the Gaussian is cut off and scaled, so that the sum over exclusive classes stays 1.

    Args:
        maps: (B, C, …) in 0…1, which the result is, too.
        largest_voxels: in voxels of the maps, along every axis.
    """
    if largest_voxels == 0:
        return maps
    sigma = largest_voxels * torch.rand(len(maps), device=maps.device)
    return resample(maps, tuple(_gaussian_weights(sigma, length) for length in maps.shape[2:]), beyond=0.0)


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
    return _replace_some(corrupted, clean, share)


def _replace_some(maps: Tensor, others: Tensor, share: float) -> Tensor:
    """Return the maps (B, C, …) with a random share of the samples replaced."""
    replaced = torch.rand((len(maps), *(1,) * (maps.ndim - 1)), device=maps.device) < share
    return torch.where(replaced, others, maps)


def _gaussian_weights(sigma_voxels: Tensor, length: int) -> Tensor:
    """Return (B, length, length): each row a Gaussian around one voxel of an axis, of sum 1."""
    voxels = torch.arange(length, device=sigma_voxels.device)
    # Below a hundredth of a voxel the neighbours' weights are 0 anyhow.
    distance = (voxels[:, None] - voxels) / sigma_voxels.clamp(min=0.01)[:, None, None]
    return torch.softmax(-0.5 * distance.square(), dim=-1)
