"""Thick-slice stacks out of nnU-Net's HR training batches, in the intensities in which `predict-hr` will meet stacks.

nnU-Net normalises the HR volume, predict-hr the stack. Where a normalisation takes its scale from the image itself,
the two differ: averaging across slices leaves the mean where it was and lowers the standard deviation. `StackUnits`
says for each case what normalising its stack would have made of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import Tensor

from acnn_nnunet.sr.degradation.acquisition import degrade
from acnn_nnunet.sr.degradation.motion import draw_motion, move_slices
from acnn_nnunet.sr.inference.stack_preprocessing import intensity_scale
from acnn_nnunet.sr.stack_geometry import ThroughPlane

# nnU-Net's other schemes have one scale for all images, which a weighted mean of slices does not change.
SCHEMES_OF_THE_IMAGE = ("ZScoreNormalization", "RescaleTo01Normalization")
_OUTSIDE = 1e-6  # of the profile's weight: less of a slice is rounding


@dataclass(frozen=True)
class StackSimulation:
    """How a batch of HR patches becomes one of stacks: slice profile, decimation, motion of each thick slice.

    Attributes:
        through_plane: factor and axis.
        spacing_mm: of the HR voxels, in array order.
        motion_mm: each slice's translation is drawn within ± this, along each in-plane axis.
        rotation_deg: each slice's rotation is drawn within ± this.
    """

    through_plane: ThroughPlane
    spacing_mm: tuple[float, ...]
    motion_mm: float = 0.0
    rotation_deg: float = 0.0

    def __call__(self, volume: Tensor) -> Tensor:
        """Return the stacks of HR volumes (B, C, Z, Y, X), K times shorter; a sample's channels move together.

        Motion is drawn from torch's global generator on the CPU, whatever the device.
        """
        axis = self.through_plane.axis
        stack = degrade(volume, self.through_plane.factor, axis=axis)
        if self.motion_mm or self.rotation_deg:
            motion = draw_motion(
                len(stack), stack.shape[2 + axis], translation_mm=self.motion_mm, rotation_deg=self.rotation_deg
            )
            first, second = (mm for i, mm in enumerate(self.spacing_mm) if i != axis)
            stack = move_slices(stack, motion, (first, second), axis=axis)
        return stack


class StackUnits:
    """The unit of each case's stack: HR intensity = scale · stack intensity + offset, both as normalised.

    Args:
        load_case: from a case to its preprocessed HR image (C, Z, Y, X) and labels (1, Z, Y, X), negative outside.
        configuration: whose normalisation it is.
        through_plane: factor and axis of the stacks.
    """

    def __init__(
        self,
        load_case: Callable[[str], tuple[np.ndarray, np.ndarray]],
        configuration: ConfigurationManager,
        through_plane: ThroughPlane,
    ):
        self._load_case = load_case
        self._schemes = configuration.normalization_schemes
        self._use_mask = configuration.use_mask_for_norm
        self._through_plane = through_plane
        self._units: dict[str, tuple[list[float], list[float]]] = {}

    def of(self, cases: Sequence[str], *, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and offset (B, C, 1, 1, 1) of a batch's cases; each is measured once, on the whole case."""
        units = [self._of_case(str(case)) for case in cases]
        scale, offset = (
            torch.tensor(values, dtype=like.dtype, device=like.device) for values in zip(*units, strict=True)
        )
        return scale[..., None, None, None], offset[..., None, None, None]

    def _of_case(self, case: str) -> tuple[list[float], list[float]]:
        if case not in self._units:
            channels = range(len(self._schemes))
            if any(scheme in SCHEMES_OF_THE_IMAGE for scheme in self._schemes):
                image, labels = self._load_case(case)
                units = self._measure(np.asarray(image[:], dtype=np.float32), np.asarray(labels[:]) >= 0)
            else:
                units = [(1.0, 0.0) for _ in channels]
            self._units[case] = [scale for scale, _ in units], [offset for _, offset in units]
        return self._units[case]

    def _measure(self, image: np.ndarray, inside: np.ndarray) -> list[tuple[float, float]]:
        stack, share = self._stack_of(image), self._stack_of(inside.astype(np.float32))[0]
        return [
            _unit(values[share > _OUTSIDE] if use_mask else values, scheme)
            for values, scheme, use_mask in zip(stack, self._schemes, self._use_mask, strict=True)
        ]

    def _stack_of(self, volume: np.ndarray) -> np.ndarray:
        factor, axis = self._through_plane.factor, self._through_plane.axis
        return degrade(torch.from_numpy(pad_slices(volume, factor, axis=axis))[None], factor, axis=axis)[0].numpy()


def pad_slices(volume: np.ndarray, factor: int, *, axis: int) -> np.ndarray:
    """Return a volume (C, Z, Y, X) whose last slice goes on until K divides their number."""
    missing = -volume.shape[1 + axis] % factor
    widths = [(0, 0)] * volume.ndim
    widths[1 + axis] = (0, missing)
    return np.pad(volume, widths, mode="edge") if missing else volume


def _unit(stack: np.ndarray, scheme: str) -> tuple[float, float]:
    """Return scale and offset of what a scheme of the host's would make of a stack, as they are in it."""
    if scheme not in SCHEMES_OF_THE_IMAGE or stack.size == 0 or np.ptp(stack) == 0:
        return 1.0, 0.0
    from nnunetv2.preprocessing.normalization import default_normalization_schemes as schemes

    normaliser = getattr(schemes, scheme)(use_mask_for_norm=False, intensityproperties={})
    return intensity_scale(stack, normaliser.run(stack.copy()))
