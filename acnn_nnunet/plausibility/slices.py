"""The slice of a case to look at, and its picture."""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.anatomy.rules import slice_axis
from acnn_nnunet.pages.overlays import draw_overlay, worst_slice

RECONSTRUCTION, MEMBER, ALONE = "autoencoder", "member", ""


@dataclass(frozen=True)
class ComparedMaps:
    """A prediction and what it is compared with, on one grid.

    Attributes:
        prediction, other: label maps (Z, Y, X) or (Y, X); no other where rules alone judge.
        spacing_mm: in array order.
        image: of the same shape, if there is one.
        label_names: by the values of the label maps.
        line: what the other map is: the autoencoder's reconstruction, or the member that differs most.
        number: without another map, the slice to look at across the longest voxels, from 0; None for the largest one.
    """

    prediction: np.ndarray
    other: np.ndarray | None
    spacing_mm: Sequence[float]
    image: np.ndarray | None
    label_names: dict[int, str]
    line: str = RECONSTRUCTION
    number: int | None = None

    def slice(self) -> "KeptSlice":
        """Return the slice where they differ most, or the one to look at."""
        options: dict[str, Any] = {"image": self.image, "label_names": self.label_names, "line": self.line}
        return KeptSlice.of(self.prediction, self.other, self.spacing_mm, number=self.number, **options)


@dataclass(frozen=True)
class KeptSlice:
    """One slice of a case: where the prediction and what it is compared with differ most, or that breaks most rules.

    Attributes:
        prediction, other: label maps (Y, X); no other where rules alone judge.
        image: (Y, X) in 0…255, if there is one.
        spacing_mm: of a pixel.
        label_names: by the values of the label maps.
        number: of the slice in the prediction's file, counted from 1 along `axis`; None in two dimensions.
        axis: of the file's array (Z, Y, X).
        line: what the dashed outline is: the autoencoder's reconstruction, or the member that differs most.
    """

    prediction: np.ndarray
    other: np.ndarray | None
    image: np.ndarray | None
    spacing_mm: tuple[float, ...]
    label_names: dict[int, str]
    number: int | None
    axis: int = 0
    line: str = RECONSTRUCTION

    @classmethod
    def of(
        cls,
        prediction: np.ndarray,
        other: np.ndarray | None,
        spacing_mm: Sequence[float],
        *,
        image: np.ndarray | None = None,
        label_names: dict[int, str],
        line: str = RECONSTRUCTION,
        number: int | None = None,
    ) -> "KeptSlice":
        """Cut the slice out of volumes `(Z, Y, X)` of one grid, or take images `(Y, X)` as they are."""
        index, pixel_mm = worst_slice(prediction, [prediction if other is None else other], spacing_mm)
        if number is not None and (across := slice_axis(spacing_mm)) is not None:
            index = (slice(None),) * across + (number,)
            pixel_mm = [mm for axis, mm in enumerate(spacing_mm) if axis != across]
        axis, number = (0, None) if index is ... else (len(index) - 1, int(index[-1]) + 1)
        return cls(
            prediction[index].astype(np.uint16),  # a copy: a view would keep the volume
            None if other is None else other[index].astype(np.uint16),
            None if image is None else _grey(image[index]),
            tuple(float(mm) for mm in pixel_mm),
            label_names,
            number,
            axis,
            line,
        )

    def numbered_like(self, grid: np.ndarray, file: np.ndarray, axes: Sequence[int]) -> "KeptSlice":
        """Return the slice with its number in the file instead of on the prior's grid.

        The grid lies around the anatomy: a slice keeps its place between the anatomy's first and last one.

        Args:
            grid: anatomy on the grid that the slice was cut out of, bool.
            file: the same in the file.
            axes: of the file, in the order of the grid's; its longest voxels may lie along another one.
        """
        if self.number is None:
            return self
        axis = axes[self.axis]
        (first, last), (low, high) = _extent(grid, self.axis), _extent(file, axis)
        share = (self.number - 1 - first) / max(1, last - first)
        return replace(self, number=int(np.clip(round(low + share * (high - low)), 0, file.shape[axis] - 1)) + 1)

    def draw(self, title: str) -> str:
        """Return the picture as a `data:` address: the prediction solid, the other, if any, dashed."""
        alone = self.other is None
        return draw_overlay(
            self.prediction,
            {title: np.zeros_like(self.prediction) if self.other is None else self.other},
            self.spacing_mm,
            image=self.image,
            label_names=self.label_names,
            line_names=("prediction",) if alone else ("prediction", self.line),
        )

    def as_plain(self) -> dict[str, Any]:
        """Return the dictionary that `from_plain` reads."""
        packed = {name: _packed(getattr(self, name)) for name in ("prediction", "other", "image")}
        others = {name: getattr(self, name) for name in ("spacing_mm", "number", "axis", "line")}
        return {**packed, **others, "label_names": {str(key): name for key, name in self.label_names.items()}}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "KeptSlice":
        """Read what `as_plain` wrote."""
        arrays = {name: _unpacked(plain[name]) for name in ("prediction", "other", "image")}
        names = {int(key): name for key, name in plain["label_names"].items()}
        spacing_mm = tuple(plain["spacing_mm"])
        return cls(**{**plain, **arrays, "label_names": names, "spacing_mm": spacing_mm})


def _extent(mask: np.ndarray, axis: int) -> tuple[int, int]:
    """Return the first and the last index of a mask's foreground along an axis."""
    found = np.flatnonzero(mask.any(axis=tuple(each for each in range(mask.ndim) if each != axis)))
    return (int(found[0]), int(found[-1])) if len(found) else (0, mask.shape[axis] - 1)


def _grey(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, (0.5, 99.5))
    return (255 * np.clip((image - low) / max(high - low, 1e-9), 0, 1)).astype(np.uint8)


def _packed(array: np.ndarray | None) -> list[Any] | None:
    if array is None:
        return None
    code = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes())).decode("ascii")
    return [str(array.dtype), list(array.shape), code]


def _unpacked(packed: list[Any] | None) -> Any:
    if packed is None:
        return None
    dtype, shape, code = packed
    return np.frombuffer(zlib.decompress(base64.b64decode(code)), dtype=dtype).reshape(shape)
