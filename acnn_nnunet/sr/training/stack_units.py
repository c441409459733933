"""Intensities of simulated stacks: what `predict-hr` will meet, from nnU-Net's normalised HR batches.

nnU-Net normalises the HR volume, predict-hr the stack. Where a normalisation takes its scale from the image itself,
the two differ: averaging across slices leaves the mean where it was and lowers the standard deviation. `StackUnits`
measures the difference for each case.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import Tensor

from acnn_nnunet.sr.degradation.acquisition import degrade, pad_slices
from acnn_nnunet.sr.stack_geometry import ThroughPlane

# nnU-Net's other schemes have one scale for all images, which a weighted mean of slices does not change.
SCHEMES_OF_THE_IMAGE = ("ZScoreNormalization", "RescaleTo01Normalization")
_AFFINE_TOLERANCE = 1e-3  # of the intensities' range: normalisations compute in float32
_THICKNESS_STEP = 0.25  # HR slices: within it a stack's standard deviation hardly changes
_OUTSIDE = 1e-6  # of the profile's weight: less of a slice is rounding


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
        self._units: dict[tuple[str, int, float], tuple[list[float], list[float]]] = {}

    def of(
        self,
        cases: Sequence[str],
        *,
        like: Tensor,
        factor: int | None = None,
        thicknesses_voxels: Sequence[float] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return scale and offset (B, C, 1, 1, 1) of a batch's cases; each is measured once, on the whole case.

        Args:
            cases: identifiers.
            like: a tensor of the wanted type and device.
            factor: of the batch's stacks; None is the planned one.
            thicknesses_voxels: of each sample's slices, in HR slices; None is K. They are rounded to a quarter.
        """
        factor = self._through_plane.factor if factor is None else factor
        thick = [float(factor)] * len(cases) if thicknesses_voxels is None else thicknesses_voxels
        forms = [(factor, max(1, round(each / _THICKNESS_STEP)) * _THICKNESS_STEP) for each in thick]
        units = [self._of_case(str(case), form) for case, form in zip(cases, forms, strict=True)]
        scale, offset = (
            torch.tensor(values, dtype=like.dtype, device=like.device) for values in zip(*units, strict=True)
        )
        return scale[..., None, None, None], offset[..., None, None, None]

    def _of_case(self, case: str, form: tuple[int, float]) -> tuple[list[float], list[float]]:
        key = (case, *form)
        if key not in self._units:
            channels = range(len(self._schemes))
            if any(scheme in SCHEMES_OF_THE_IMAGE for scheme in self._schemes):
                image, labels = self._load_case(case)
                units = self._measure(np.asarray(image[:], dtype=np.float32), np.asarray(labels[:]) >= 0, form)
            else:
                units = [(1.0, 0.0) for _ in channels]
            self._units[key] = [scale for scale, _ in units], [offset for _, offset in units]
        return self._units[key]

    def _measure(self, image: np.ndarray, inside: np.ndarray, form: tuple[int, float]) -> list[tuple[float, float]]:
        stack, share = self._stack_of(image, form), self._stack_of(inside.astype(np.float32), form)[0]
        return [
            _unit(values[share > _OUTSIDE] if use_mask else values, scheme)
            for values, scheme, use_mask in zip(stack, self._schemes, self._use_mask, strict=True)
        ]

    def _stack_of(self, volume: np.ndarray, form: tuple[int, float]) -> np.ndarray:
        (factor, thickness), axis = form, self._through_plane.axis
        padded = torch.from_numpy(pad_slices(volume, factor, axis=axis))[None]
        return degrade(padded, factor, axis=axis, thickness_voxels=thickness)[0].numpy()


def intensity_scale(raw: np.ndarray, normalised: np.ndarray) -> tuple[float, float]:
    """Return scale and offset with which normalised intensities become raw ones.

    They are fitted to the voxels between the extremes, which a normalisation may have clipped.

    Raises:
        ValueError: if the normalisation is more than a scale, an offset and a clip.
    """
    y, x = raw.astype(np.float64).ravel(), normalised.astype(np.float64).ravel()
    between = (x > x.min()) & (x < x.max())
    if between.any() and np.ptp(x[between]) > 0:
        x, y = x[between], y[between]
    centred = x - x.mean()
    variance = float(centred @ centred)
    scale = float(centred @ (y - y.mean())) / variance if variance > 0 else 0.0
    offset = float(y.mean() - scale * x.mean())
    if np.abs(scale * x + offset - y).max() > _AFFINE_TOLERANCE * np.ptp(y) + 1e-6 * np.abs(y).max():
        raise ValueError(
            "has been normalised in a way that cannot be undone: plan super-resolution with ZScoreNormalization."
        )
    return scale, offset


def _unit(stack: np.ndarray, scheme: str) -> tuple[float, float]:
    """Return scale and offset that map a stack, normalised by a scheme of the host, back to its input intensities."""
    if scheme not in SCHEMES_OF_THE_IMAGE or stack.size == 0 or np.ptp(stack) == 0:
        return 1.0, 0.0
    from nnunetv2.preprocessing.normalization import default_normalization_schemes as schemes

    normaliser = getattr(schemes, scheme)(use_mask_for_norm=False, intensityproperties={})
    return intensity_scale(stack, normaliser.run(stack.copy()))
