"""The acquisition of thick slices from a high-resolution (HR) volume: slice profile, decimation, noise (paper, §III-E).

A low-resolution (LR) slice k is the HR volume weighted by the slice profile, which is centred on the block of its K HR
slices, at HR index K·k + (K − 1)/2, and may reach beyond the block. So LR spacing is K times HR spacing and the LR
origin lies (K − 1)/2 HR voxels further along the slice direction.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

PROFILES = ("gaussian", "boxcar")
SIGMA_PER_FACTOR = 0.4  # the paper's 4 mm for slices of 10 mm
_TRUNCATE = 3.0  # the Gaussian ends at this many σ


def degrade(
    volume: Tensor, factor: int, *, axis: int = 0, profile: str = "gaussian", sigma_voxels: float | None = None
) -> Tensor:
    """Return the LR stack of an HR volume; differentiable in the volume.

    Args:
        volume: (B, C, Z, Y, X) or (B, C, Y, X), floating point; beyond its ends the outermost slice goes on.
        factor: K, HR slices in an LR slice.
        axis: the through-plane axis among the spatial ones.
        profile: "gaussian", or "boxcar" for the plain mean of the block.
        sigma_voxels: of the Gaussian, in HR voxels; None is 0.4·K.

    Returns:
        The volume with the axis K times shorter.

    Raises:
        ValueError: if K does not divide the axis or an argument is out of range; says what would fit.
    """
    length = volume.shape[2 + axis]
    if factor < 1 or length % factor:
        raise ValueError(f"The factor {factor} does not divide the {length} slices of the volume.")
    kernel = slice_profile(factor, profile=profile, sigma_voxels=sigma_voxels).to(volume)
    lines = volume.movedim(2 + axis, -1)
    flat = lines.reshape(-1, 1, length)
    reach = (kernel.numel() - factor) // 2
    padded = F.pad(flat, (reach, reach), mode="replicate")
    stack = F.conv1d(padded, kernel.view(1, 1, -1), stride=factor)
    return stack.reshape(*lines.shape[:-1], length // factor).movedim(-1, 2 + axis)


def slice_profile(factor: int, *, profile: str = "gaussian", sigma_voxels: float | None = None) -> Tensor:
    """Return the weights of the HR slices around a block's centre, float64: factor + 2·reach of them, their sum 1.

    Raises:
        ValueError: for an unknown profile or a σ that is not positive.
    """
    if profile not in PROFILES:
        raise ValueError(f"There is no slice profile {profile!r}; there are {', '.join(PROFILES)}.")
    if profile == "boxcar":
        return torch.full((factor,), 1 / factor, dtype=torch.float64)
    sigma = SIGMA_PER_FACTOR * factor if sigma_voxels is None else sigma_voxels
    if not sigma > 0:
        raise ValueError(f"σ of the slice profile is {sigma} voxels; it has to be positive.")
    reach = max(0, math.ceil(_TRUNCATE * sigma - factor / 2))
    offsets = torch.arange(factor + 2 * reach, dtype=torch.float64) - (factor - 1) / 2 - reach
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    return weights / weights.sum()


def add_noise(volume: Tensor, sigma: float | Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Return the volume with Gaussian noise.

    Args:
        volume: (B, C, …).
        sigma: standard deviation in the volume's unit; a tensor (B,) gives each sample its own.
        generator: of the volume's device; None draws from the global one.
    """
    noise = torch.randn(volume.shape, generator=generator, device=volume.device, dtype=volume.dtype)
    scale = torch.as_tensor(sigma, device=volume.device, dtype=volume.dtype)
    return volume + noise * scale.reshape(-1, *(1,) * (volume.ndim - 1))
