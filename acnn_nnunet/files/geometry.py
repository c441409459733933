"""Where the voxels of an image lie in the world, and how two images differ in that."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

# Two images have the same grid within these, which is more than writing a file costs.
SPACING_TOLERANCE = 1e-3  # of a voxel's size
ORIGIN_TOLERANCE = 1e-2  # of the smallest edge of a voxel
DIRECTION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Geometry:
    """The grid of an image of 2 or 3 axes.

    Attributes:
        size: voxels along each axis, in array order `(Z, Y, X)` or `(Y, X)`.
        spacing_mm: voxel size in the same order.
        origin_mm: world position of the first voxel, in the file format's own order; None where the format has none.
        direction: direction cosines or affine, flattened; None where the format has none.
        thickness_mm: of the slice, for an image of 2 axes that tells it.
        left_mm: per axis in array order, how far a step of one voxel leads to the patient's left; None where no file
            tells.
        assumed: why the spacing is assumed to be 1 mm, such as "there is no a.json"; empty where the file tells it.
    """

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...] | None = None
    direction: tuple[float, ...] | None = None
    thickness_mm: float | None = None
    left_mm: tuple[float, ...] | None = field(default=None, compare=False)
    assumed: str = field(default="", compare=False)

    @property
    def diagonal_mm(self) -> float:
        """The length of the image's diagonal, outer edge to outer edge: what a miss costs in a distance."""
        return math.hypot(*(n * spacing for n, spacing in zip(self.size, self.spacing_mm, strict=True)))

    @property
    def voxel_ml(self) -> float | None:
        """The volume of one voxel; None for an image of 2 axes whose slice thickness is unknown."""
        if len(self.size) == 3:
            return float(math.prod(self.spacing_mm)) / 1000
        return None if self.thickness_mm is None else math.prod(self.spacing_mm) * self.thickness_mm / 1000

    def differences(self, other: "Geometry") -> list[str]:
        """Return what differs, each as "spacing (1.0, 1.0) against (1.5, 1.0)"; empty where the grids are the same.

        A flat file tells neither position nor direction in the third axis: none of both is compared with a volume's.
        """
        found = []
        if self.size != other.size:
            found.append(f"size {self.size} against {other.size}")
        if len(self.size) == len(other.size) and not _same_spacing(self.spacing_mm, other.spacing_mm):
            assumed = "".join(f", assumed because {each.assumed}" for each in (self, other) if each.assumed)
            found.append(f"spacing {_rounded(self.spacing_mm)} against {_rounded(other.spacing_mm)} mm{assumed}")
        if self.thickness_mm and other.thickness_mm and not _same_spacing((self.thickness_mm,), (other.thickness_mm,)):
            found.append(f"slice thickness {self.thickness_mm:g} against {other.thickness_mm:g} mm")
        origin_tolerance_mm = ORIGIN_TOLERANCE * min(self.spacing_mm)
        for name, tolerance in (("origin_mm", origin_tolerance_mm), ("direction", DIRECTION_TOLERANCE)):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is not None and theirs is not None and not _close(mine, theirs, tolerance):
                found.append(f"{name.removesuffix('_mm')} {_rounded(mine)} against {_rounded(theirs)}")
        return found


def longest_axis(spacing_mm: Sequence[float]) -> int:
    """Return the axis of the longest voxels, across the slices; the first of those that are equal but for rounding."""
    longest = max(spacing_mm)
    return next(axis for axis, size in enumerate(spacing_mm) if size >= longest * (1 - SPACING_TOLERANCE))


def foreground_box(values: np.ndarray) -> tuple[slice, ...] | None:
    """Return the box around all values that are not 0, or None where there are none."""
    box = []
    for axis in range(values.ndim):
        present = np.flatnonzero(values.any(axis=tuple(other for other in range(values.ndim) if other != axis)))
        if not present.size:
            return None
        box.append(slice(int(present[0]), int(present[-1]) + 1))
    return tuple(box)


def _same_spacing(mine: tuple[float, ...], theirs: tuple[float, ...]) -> bool:
    return all(abs(one - other) <= SPACING_TOLERANCE * abs(other) for one, other in zip(mine, theirs, strict=True))


def _close(mine: tuple[float, ...], theirs: tuple[float, ...], tolerance: float) -> bool:
    return len(mine) != len(theirs) or all(
        abs(one - other) <= tolerance for one, other in zip(mine, theirs, strict=True)
    )


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(float(value), 4) + 0.0 for value in values)
