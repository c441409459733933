"""Where a thick-slice stack and its HR volume lie in the world, and in which order the host's readers give their axes.

LR slice k is centred on the block of its K HR slices, at HR index K·k + (K − 1)/2. Axes are counted as in arrays
`(Z, Y, X)`; NIfTI files count the other way round, so array axis a is NIfTI axis 2 − a.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from acnn_nnunet.files.geometry import Geometry, longest_axis
from acnn_nnunet.nnunet.plans import HR_KEY


@dataclass(frozen=True)
class ThroughPlane:
    """Factor and slice direction of a configuration's stacks: the `acnn_hr` entry of its plans.

    Attributes:
        factor: K, HR slices in an LR slice.
        axis: the through-plane axis of the preprocessed arrays (nnU-Net's transpose is done).
    """

    factor: int
    axis: int

    @classmethod
    def from_configuration(
        cls, configuration: Mapping[str, Any], *, where: str = "The configuration"
    ) -> "ThroughPlane":
        """Read a resolved configuration dictionary.

        Raises:
            ValueError: naming `where`, if it was not made by plan-hr or was spoilt since.
        """
        entry = configuration.get(HR_KEY)
        try:
            factor, axis = entry["factor"], entry["axis"]  # type: ignore[index]
            if isinstance(factor, int) and isinstance(axis, int) and factor >= 2 and axis in (0, 1, 2):
                return cls(factor, axis)
        except (TypeError, KeyError):
            pass
        raise ValueError(
            f"{where} has no valid entry '{HR_KEY}' ({entry!r}): make it with acnn-nnunet plan-hr DATASET --factor K."
        )


def stack_patch(patch_size: Sequence[int], through_plane: ThroughPlane, strides: Sequence[Sequence[int]]) -> list[int]:
    """Return the LR patch whose HR slices cover an HR patch, and that a network can halve as often as it does.

    Args:
        patch_size: the HR patch.
        through_plane: factor and axis of the stack.
        strides: of the network's stages; none where nothing is halved.
    """
    factor, axis = through_plane.factor, through_plane.axis
    divisor = math.prod(stride[axis] for stride in strides)
    slices = divisor * math.ceil(patch_size[axis] / (factor * divisor))
    return [slices if i == axis else int(n) for i, n in enumerate(patch_size)]


def nearest_factor(ratio: float, factors: Sequence[int]) -> int:
    """Return the factor that is nearest to a stack's spacing over the HR spacing, on a logarithmic scale."""
    return min(factors, key=lambda factor: (abs(math.log(ratio / factor)), factor))


@dataclass(frozen=True)
class AxisOrder:
    """How an array as it is in a file becomes the array that one of the host's readers gives.

    Attributes:
        axes: of the file's array, in the reader's order.
        flipped: of the reader's axes, which ones run backwards in the file.
    """

    axes: tuple[int, ...]
    flipped: tuple[int, ...] = ()

    def from_file(self, array: np.ndarray) -> np.ndarray:
        """Return a file's array (C, Z, Y, X) with its axes as the reader has them."""
        turned = np.transpose(array, (0, *(1 + axis for axis in self.axes)))
        return np.flip(turned, tuple(1 + axis for axis in self.flipped))

    def to_file(self, array: np.ndarray) -> np.ndarray:
        """Return a reader's array (C, …) with its axes as the file has them."""
        backwards = np.flip(array, tuple(1 + axis for axis in self.flipped))
        return np.transpose(backwards, (0, *(1 + self.axes.index(axis) for axis in range(len(self.axes)))))


def check_factor(factor: int) -> None:
    """Raise ValueError unless a factor makes slices thicker."""
    if factor < 2:
        raise ValueError(f"--factor says how many HR slices make a thick one: 2 or more, not {factor}.")


def to_lr(hr: Geometry, factor: int, *, axis: int) -> Geometry:
    """Return the grid of the stack whose slices are blocks of K slices of a volume; K has to divide them."""
    half_block = (factor - 1) / 2 * hr.spacing_mm[axis]
    return _along(hr, axis, hr.size[axis] // factor, hr.spacing_mm[axis] * factor, half_block)


def to_hr(lr: Geometry, factor: int, *, axis: int) -> Geometry:
    """Return the grid of the volume that has K slices for each of a stack."""
    return resliced(lr, lr.size[axis] * factor, axis=axis)


def resliced(grid: Geometry, slices: int, *, axis: int) -> Geometry:
    """Return the grid with another number of slices between the same outer edges."""
    spacing_mm = grid.spacing_mm[axis] * grid.size[axis] / slices
    return _along(grid, axis, slices, spacing_mm, (spacing_mm - grid.spacing_mm[axis]) / 2)


def with_slices(grid: Geometry, slices: int, *, axis: int) -> Geometry:
    """Return the grid with another number of slices; the first one stays where it is."""
    return _along(grid, axis, slices, grid.spacing_mm[axis], 0.0)


def find_slice_axis(spacing_mm: Sequence[float], nifti_axis: int | None = None) -> int:
    """Return the array axis across the slices.

    Args:
        spacing_mm: of an image.
        nifti_axis: as a user names it; None is the axis of the largest spacing, and the last one of the NIfTI file
            where all are equal.

    Raises:
        ValueError: if there is no such axis.
    """
    if nifti_axis is None:
        return longest_axis(spacing_mm)
    if nifti_axis not in (0, 1, 2):
        raise ValueError(f"There is no NIfTI axis {nifti_axis}: --axis is 0, 1 or 2.")
    return 2 - nifti_axis


def reader_axes(geometry: Geometry, *, reorients: bool) -> AxisOrder:
    """Return how one of the host's readers orders the axes of an image: as in the file, or turned to RAS."""
    if not reorients:
        return AxisOrder((0, 1, 2))
    order, flipped = _to_ras(geometry)
    return AxisOrder(tuple(order), tuple(axis for axis in range(3) if flipped[axis]))


def _along(grid: Geometry, axis: int, slices: int, spacing_mm: float, shift_mm: float) -> Geometry:
    """Return the grid with other slices along an axis, the first one moved by so many mm in the axis' direction."""
    assert grid.origin_mm is not None
    assert grid.direction is not None
    towards = np.reshape(grid.direction, (3, 3))[:, 2 - axis]
    origin_mm = tuple(float(mm) for mm in np.asarray(grid.origin_mm) + shift_mm * towards)
    size, spacings = list(grid.size), list(grid.spacing_mm)
    size[axis], spacings[axis] = slices, spacing_mm
    return replace(grid, size=tuple(size), spacing_mm=tuple(spacings), origin_mm=origin_mm)


def _to_ras(geometry: Geometry) -> tuple[list[int], list[bool]]:
    """Return, for each array axis of the image turned to RAS, the axis of the image, and whether it runs backwards."""
    from nibabel.orientations import io_orientation

    assert geometry.direction is not None
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-1, -1, 1]) @ np.reshape(geometry.direction, (3, 3))  # ITK's world is LPS
    orientation = io_orientation(affine)  # a row for each NIfTI axis: the RAS axis, and 1 or −1
    order, flipped = [0] * 3, [False] * 3
    for nifti_axis, (ras_axis, sign) in enumerate(orientation):
        order[2 - int(ras_axis)] = 2 - nifti_axis
        flipped[2 - int(ras_axis)] = sign < 0
    return order, flipped
