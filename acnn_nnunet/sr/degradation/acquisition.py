"""The acquisition of thick slices from a high-resolution (HR) volume: slice profile, decimation, noise (paper, §III-E).

A low-resolution (LR) slice k is the HR volume weighted by the slice profile, which is centred on the block of its K HR
slices, at HR index K·k + (K − 1)/2, and may reach beyond the block. So LR spacing is K times HR spacing and the LR
origin lies (K − 1)/2 HR voxels further along the slice direction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from acnn_nnunet.sr.degradation.motion import draw_motion, drop_slices, move_slices
from acnn_nnunet.sr.slice_thickness import check_thickness
from acnn_nnunet.sr.stack_geometry import check_factor

PROFILES = ("gaussian", "boxcar")
SIGMA_PER_THICKNESS = 0.4  # the paper's 4 mm for slices of 10 mm
_TRUNCATE = 3.0  # the Gaussian ends at this many σ


@dataclass(frozen=True)
class Acquisition:
    """How a stack is acquired.

    Attributes:
        factor: K, HR slices in a thick one.
        profile: of a slice, "gaussian" or "boxcar".
        sigma_mm: of the Gaussian; None is 0.4 times the slices' thickness.
        thickness_mm: of the slices: thinner ones than their spacing leave gaps that nothing sees, thicker ones overlap;
            None is their spacing, K HR spacings.
        motion_mm: each slice's translation is drawn within ± this, along each in-plane axis.
        rotation_deg: each slice's rotation is drawn within ± this.
        noise: standard deviation of Gaussian noise, as a share of the stack's own standard deviation.
        drop: probability that a slice is lost.

    Raises:
        ValueError: if a number is out of range; names the option.
    """

    factor: int
    profile: str = "gaussian"
    sigma_mm: float | None = None
    thickness_mm: float | None = None
    motion_mm: float = 0.0
    rotation_deg: float = 0.0
    noise: float = 0.0
    drop: float = 0.0

    def __post_init__(self) -> None:
        check_factor(self.factor)
        if self.profile not in PROFILES:
            raise ValueError(f"There is no slice profile {self.profile!r}; there are {', '.join(PROFILES)}.")
        if self.sigma_mm is not None and not 0 < self.sigma_mm < math.inf:
            raise ValueError(f"--sigma-mm is positive, not {self.sigma_mm}.")
        if self.thickness_mm is not None and not 0 < self.thickness_mm < math.inf:
            raise ValueError(f"--thickness is positive, not {self.thickness_mm}.")
        for option in ("motion_mm", "rotation_deg", "noise"):
            if not 0 <= getattr(self, option) < math.inf:
                raise ValueError(f"--{option.replace('_', '-')} is 0 or more, not {getattr(self, option)}.")
        if not 0 <= self.drop <= 1:
            raise ValueError(f"--drop is a probability from 0 to 1, not {self.drop}.")


def acquire(
    volume: Tensor,
    acquisition: Acquisition,
    spacing_mm: Sequence[float],
    *,
    axis: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the stacks of HR volumes: slice profile and decimation, then motion, noise and loss of slices.

    An in-plane motion of a whole slice and an average across it may be exchanged, so the thick slices are moved. The
    channels of a sample move together.

    Args:
        volume: (B, C, Z, Y, X), floating point.
        acquisition: of the stacks.
        spacing_mm: HR voxel size in array order.
        axis: the through-plane axis among the spatial ones.
        generator: of the random numbers; a CPU one, None is torch's global one.

    Returns:
        The volumes with the axis K times shorter.

    Raises:
        ValueError: if K does not divide the axis, or the slices are more than twice as thick as they are apart.
    """
    if acquisition.thickness_mm is not None:
        check_thickness(
            acquisition.thickness_mm, acquisition.factor * spacing_mm[axis], what="--thickness makes slices of"
        )
    sigma, thickness = (
        None if mm is None else mm / spacing_mm[axis] for mm in (acquisition.sigma_mm, acquisition.thickness_mm)
    )
    stack = degrade(
        volume,
        acquisition.factor,
        axis=axis,
        profile=acquisition.profile,
        sigma_voxels=sigma,
        thickness_voxels=thickness,
    )
    if acquisition.motion_mm or acquisition.rotation_deg:
        limits = {"translation_mm": acquisition.motion_mm, "rotation_deg": acquisition.rotation_deg}
        motion = draw_motion(len(stack), stack.shape[2 + axis], **limits, generator=generator)
        first, second = (mm for i, mm in enumerate(spacing_mm) if i != axis)
        stack = move_slices(stack, motion, (first, second), axis=axis)
    if acquisition.noise:
        stack = add_noise(stack, acquisition.noise * stack.std(), generator=generator)
    if acquisition.drop:
        stack, _ = drop_slices(stack, acquisition.drop, axis=axis, generator=generator)
    return stack


def degrade(
    volume: Tensor,
    factor: int,
    *,
    axis: int = 0,
    profile: str = "gaussian",
    sigma_voxels: float | None = None,
    thickness_voxels: float | None = None,
) -> Tensor:
    """Return the LR stack of an HR volume; differentiable in the volume.

    Args:
        volume: (B, C, Z, Y, X) or (B, C, Y, X), floating point; beyond its ends the outermost slice goes on.
        factor: K, HR slices in an LR slice.
        axis: the through-plane axis among the spatial ones.
        profile: "gaussian", or "boxcar" for the plain mean over the thickness.
        sigma_voxels: of the Gaussian, in HR voxels; None is 0.4 times the thickness.
        thickness_voxels: of a slice, in HR voxels; None is K.

    Returns:
        The volume with the axis K times shorter.

    Raises:
        ValueError: if K does not divide the axis or an argument is out of range; says what would fit.
    """
    length = volume.shape[2 + axis]
    if factor < 1 or length % factor:
        raise ValueError(f"The factor {factor} does not divide the {length} slices of the volume.")
    form = {"sigma_voxels": sigma_voxels, "thickness_voxels": thickness_voxels}
    kernel = slice_profile(factor, profile=profile, **form).to(volume)
    lines = volume.movedim(2 + axis, -1)
    flat = lines.reshape(-1, 1, length)
    reach = (kernel.numel() - factor) // 2
    padded = F.pad(flat, (reach, reach), mode="replicate")
    stack = F.conv1d(padded, kernel.view(1, 1, -1), stride=factor)
    return stack.reshape(*lines.shape[:-1], length // factor).movedim(-1, 2 + axis)


def slice_profile(
    factor: int,
    *,
    profile: str = "gaussian",
    sigma_voxels: float | None = None,
    thickness_voxels: float | None = None,
) -> Tensor:
    """Return the weights of the HR slices around a block's centre, float64: factor + 2·reach of them, their sum 1.

    Raises:
        ValueError: for an unknown profile, or a σ or thickness that is not positive.
    """
    thickness = factor if thickness_voxels is None else thickness_voxels
    if not thickness > 0:
        raise ValueError(f"The slices are {thickness} voxels thick; the thickness has to be positive.")
    if profile not in PROFILES:
        raise ValueError(f"There is no slice profile {profile!r}; there are {', '.join(PROFILES)}.")
    if profile == "boxcar":
        reach = max(0, math.ceil((thickness - factor) / 2))
        # Of each HR slice, the part that lies inside the thick one.
        inside = thickness / 2 - _offsets(factor, reach).abs() + 0.5
        weights = inside.clamp(0, min(1.0, thickness))
        return weights / weights.sum()
    sigma = SIGMA_PER_THICKNESS * thickness if sigma_voxels is None else sigma_voxels
    if not sigma > 0:
        raise ValueError(f"σ of the slice profile is {sigma} voxels; it has to be positive.")
    reach = max(0, math.ceil(_TRUNCATE * sigma - factor / 2))
    squares = (_offsets(factor, reach) / sigma) ** 2
    weights = torch.exp(-0.5 * (squares - squares.min()))  # of a thin slice between two HR slices, all would be 0
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


def pad_slices(volume: np.ndarray, factor: int, *, axis: int) -> np.ndarray:
    """Return a volume (C, Z, Y, X) with its last slice repeated until K divides their number."""
    missing = -volume.shape[1 + axis] % factor
    widths = [(0, 0)] * volume.ndim
    widths[1 + axis] = (0, missing)
    return np.pad(volume, widths, mode="edge") if missing else volume


def _offsets(factor: int, reach: int) -> Tensor:
    """Return how far the HR slices of a block, and so many beyond either end, lie from its centre, in HR slices."""
    return torch.arange(factor + 2 * reach, dtype=torch.float64) - (factor - 1) / 2 - reach
