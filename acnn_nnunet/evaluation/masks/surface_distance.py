"""Distances between the surfaces of two masks, in mm.

The surface of a mask is the set of centres of those of its voxels that have a background voxel across a face; outside
the image all is background. A directed distance runs from a surface voxel of one mask to the nearest one of the other,
by an exact Euclidean distance transform. docs/evidence/other_evaluators.md says how other definitions differ.
"""

from dataclasses import dataclass

import edt
import numpy as np

_ON_TOLERANCE = 1e-6  # of it, in excess: a distance that equals the tolerance but for rounding counts as within it


@dataclass(frozen=True)
class SurfaceDistances:
    """Directed distances in mm between two surfaces, one value a surface voxel, float64.

    Attributes:
        from_reference: from each surface voxel of the reference to the prediction's surface.
        from_prediction: the other way.
    """

    from_reference: np.ndarray
    from_prediction: np.ndarray

    @property
    def hausdorff_mm(self) -> float:
        """The largest of all distances."""
        return float(max(self.from_reference.max(), self.from_prediction.max()))

    @property
    def hd95_mm(self) -> float:
        """The larger of the two directed 95th percentiles (linear between ranks)."""
        return float(max(np.percentile(self.from_reference, 95), np.percentile(self.from_prediction, 95)))

    @property
    def mean_mm(self) -> float:
        """The average symmetric surface distance (ASSD): the mean over both sets of distances pooled."""
        total = self.from_reference.sum() + self.from_prediction.sum()
        return float(total / (self.from_reference.size + self.from_prediction.size))

    def surface_dice(self, tolerance_mm: float) -> float:
        """The fraction (0 to 1) of the surface voxels of both masks within the tolerance of the other surface."""
        limit = tolerance_mm * (1 + _ON_TOLERANCE)
        within = np.count_nonzero(self.from_reference <= limit) + np.count_nonzero(self.from_prediction <= limit)
        return float(within / (self.from_reference.size + self.from_prediction.size))


def surface_distances(reference: np.ndarray, prediction: np.ndarray, spacing_mm: tuple[float, ...]) -> SurfaceDistances:
    """Return the distances between the surfaces of two masks that are not empty.

    Args:
        reference: bool, `(Z, Y, X)` or `(Y, X)`.
        prediction: the same shape.
        spacing_mm: voxel size, one value an axis, in array order.

    Raises:
        ValueError: if a mask is empty: no distance exists, and what a miss costs is for the caller to say.
    """
    if not reference.any() or not prediction.any():
        raise ValueError("The distance to an empty mask does not exist.")
    surfaces = [surface(mask) for mask in (reference, prediction)]
    from_reference, from_prediction = (
        distance_to(target, spacing_mm)[source] for source, target in (surfaces, reversed(surfaces))
    )
    return SurfaceDistances(from_reference, from_prediction)


def surface(mask: np.ndarray) -> np.ndarray:
    """Return the voxels of a bool mask that have a background voxel, or the image's edge, across a face."""
    interior = mask.copy()
    for axis in range(mask.ndim):
        first, last, but_first, but_last = (
            (slice(None),) * axis + (part,) for part in (slice(1), slice(-1, None), slice(1, None), slice(-1))
        )
        interior[first] = interior[last] = False
        interior[but_first] &= mask[but_last]
        interior[but_last] &= mask[but_first]
    return mask & ~interior


def distance_to(voxels: np.ndarray, spacing_mm: tuple[float, ...]) -> "_Distances":
    """Return a map of the distance in mm to the nearest of some voxels (bool, at least one), to be indexed."""
    # Squares in units of the smallest spacing: small whole numbers where voxels are cubes, and then exact in float32.
    unit_mm = min(spacing_mm)
    others = (~voxels).view(np.uint8)  # three times faster than bool, the same bits
    squared = edt.edtsq(others, anisotropy=tuple(spacing / unit_mm for spacing in spacing_mm), parallel=1)
    return _Distances(squared, unit_mm)


@dataclass(frozen=True)
class _Distances:
    """A distance map that is rooted in float64 only where it is looked at."""

    squared: np.ndarray
    unit_mm: float

    def __getitem__(self, voxels: np.ndarray) -> np.ndarray:
        return np.sqrt(self.squared[voxels].astype(np.float64)) * self.unit_mm
