"""Volumes small enough for a page: eight bits a voxel, differences along axes, zlib, base64.

The browser undoes it with its own `DecompressionStream` and running sums (`templates/viewer.js`).
"""

import base64
import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Of intensities, so that a few bright voxels do not darken all others.
_PERCENTILES = (0.1, 99.9)
_SAMPLE = 50_000  # voxels that the differences are chosen by


@dataclass(frozen=True)
class PackedVolume:
    """A volume as text.

    Attributes:
        shape: voxels (Z, Y, X).
        spacing_mm: of a voxel, in the same order.
        offset_mm: of the first voxel's outer edge, from that of the frame that volumes are shown in.
        axes: along which the values are differences, modulo 256.
        data: the values, compressed by zlib, in base64.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    offset_mm: tuple[float, ...]
    axes: tuple[int, ...]
    data: str

    def as_plain(self) -> dict[str, Any]:
        """Return what the viewer reads."""
        return {
            "shape": list(self.shape),
            "spacing": [round(each, 5) for each in self.spacing_mm],
            "offset": [round(each, 5) for each in self.offset_mm],
            "axes": list(self.axes),
            "data": self.data,
        }


def pack_volume(
    values: np.ndarray,
    spacing_mm: Sequence[float],
    offset_mm: Sequence[float] = (0.0, 0.0, 0.0),
    *,
    resolution_mm: float = 0.0,
) -> PackedVolume:
    """Return a packed volume.

    Args:
        values: uint8 `(Z, Y, X)`.
        spacing_mm: of a voxel.
        offset_mm: of the first voxel's outer edge.
        resolution_mm: only so many voxels are kept along each axis that they lie up to this far apart.
    """
    strides = strides_of(values.shape, spacing_mm, resolution_mm)
    kept = values[tuple(map(_kept, strides))]
    axes = _best_axes(kept)
    return PackedVolume(
        shape=kept.shape,
        spacing_mm=tuple(stride * each for stride, each in zip(strides, spacing_mm, strict=True)),
        offset_mm=tuple(offset_mm),
        axes=axes,
        data=base64.b64encode(zlib.compress(_differences(kept, axes).tobytes(), 6)).decode("ascii"),
    )


def strides_of(shape: Sequence[int], spacing_mm: Sequence[float], resolution_mm: float) -> list[int]:
    """Return of how many voxels along each axis one is kept."""
    strides = [max(1, int(resolution_mm / each + 1e-6)) for each in spacing_mm]
    return [min(stride, size) for stride, size in zip(strides, shape, strict=True)]


def num_kept(shape: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Return how many voxels are kept along each axis."""
    return [len(range(size)[_kept(stride)]) for size, stride in zip(shape, strides, strict=True)]


def intensity_range(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the intensities that are shown black and white: percentiles 0.1 and 99.9, all volumes together."""
    finite = np.concatenate([each[np.isfinite(each)].ravel() for each in values])
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(each) for each in np.percentile(finite, _PERCENTILES))
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    return low, high if high > low else low + 1.0


def quantise(values: np.ndarray, intensities: tuple[float, float], *, levels: int = 256) -> np.ndarray:
    """Return intensities as grey values, uint8; what is not finite is black.

    Args:
        values: any shape.
        intensities: shown black and white; others are clipped.
        levels: of grey, a power of 2.
    """
    low, high = intensities
    share = np.clip((np.nan_to_num(values.astype(np.float32), nan=low) - low) / (high - low), 0, 1)
    # Whole multiples: their differences take no more values than there are levels.
    return (np.rint(share * (levels - 1)).astype(np.uint8) * (256 // levels)).astype(np.uint8)


def _kept(stride: int) -> slice:
    """Return the middle ones, or those just before the middle, of each `stride` voxels."""
    return slice((stride - 1) // 2, None, stride)


def _differences(values: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    for axis in axes:
        values = np.diff(values, axis=axis, prepend=np.zeros((), np.uint8))  # modulo 256
    return values


def _best_axes(values: np.ndarray) -> tuple[int, ...]:
    """Return the axes along which differences compress best, judged by the middle slices."""
    per_slice = max(1, values[0].size) if len(values) else 1
    count = min(len(values), max(2, _SAMPLE // per_slice))
    start = (len(values) - count) // 2
    sample = values[start : start + count]
    candidates = itertools.chain.from_iterable(itertools.combinations(range(3), count) for count in range(4))
    return min(candidates, key=lambda axes: len(zlib.compress(_differences(sample, axes).tobytes(), 1)))
