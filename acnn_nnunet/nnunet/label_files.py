"""Label maps in any format that the host reads, with their geometry, without loading torch."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cc3d
import numpy as np

from acnn_nnunet.files.completeness import check_lossless
from acnn_nnunet.files.geometry import Geometry, foreground_box
from acnn_nnunet.files.headers import (
    ImageFileError,
    are_sizes,
    at_right_angles,
    mended_affine,
    spacing_file,
    told_spacing_mm,
)
from acnn_nnunet.files.volumes import (
    check_finite,
    check_itk_knows,
    check_rectangular,
    check_whole,
    quiet,
    tilted,
    unreadable,
)
from acnn_nnunet.nnunet.readers import reader_class

_LARGEST_LABEL = 65535  # what the host writes; far larger ones would cost a table of that length
_MADE_UP_MM = 999  # thickness that the host gives to pictures
_SMALLEST_SLOPE = np.finfo(float).eps  # that ITK scales with
_ROUNDING = 1e-4  # of labels that were saved as fractions


@dataclass(frozen=True)
class LabelMap:
    """A label map and where its voxels lie.

    Attributes:
        values: integers `(Z, Y, X)`, or of two axes where one of the three has length 1.
        geometry: of the values.
        slice_axis: of the file's three axes, the one that values of two axes leave out.
    """

    values: np.ndarray
    geometry: Geometry
    slice_axis: int = 0

    @property
    def volume(self) -> np.ndarray:
        """The values with the three axes of the file."""
        return self.values if self.values.ndim == 3 else np.expand_dims(self.values, self.slice_axis)

    @property
    def volume_spacing_mm(self) -> tuple[float, ...]:
        """The spacing along the three axes; a slice of unknown thickness has the host's 999."""
        spacing_mm = list(self.geometry.spacing_mm)
        if len(spacing_mm) == 2:
            spacing_mm.insert(self.slice_axis, self.geometry.thickness_mm or float(_MADE_UP_MM))
        return tuple(spacing_mm)

    @property
    def digest(self) -> str:
        """Letters that only maps of the same labels in the same places share."""
        digest = hashlib.sha256(repr(self.volume.shape).encode())
        digest.update(np.ascontiguousarray(self.volume).data)
        return digest.hexdigest()[:16]

    @cached_property
    def boxes(self) -> list[tuple[slice, ...] | None]:
        """The box that holds each label, from label 1 on; None for one that does not occur."""
        inside = foreground_box(self.values)
        if inside is None:
            return []
        values = self.values[inside]
        # cc3d refuses labels that are no less than the voxels are many: slices of background put that right.
        more = max(0, int(values.max()) + 1 - values.size) // values[0].size + 1
        found = cc3d.statistics(np.pad(values, [(0, more)] + [(0, 0)] * (values.ndim - 1)))
        boxes = zip(found["voxel_counts"][1:], found["bounding_boxes"][1:], strict=True)
        return [_within(box[-self.values.ndim :], inside) if count else None for count, box in boxes]


class LabelFileReader:
    """Reads files with one of the host's readers, by its name (`choose_reader`)."""

    def __init__(self, reader_name: str):
        self._reader = reader_class(reader_name)

    @property
    def host_reader(self) -> Any:
        """One of the host's reader-writers of this kind."""
        return self._reader()

    def read(self, path: Path) -> LabelMap:
        """Return a label map; raises as `read_with_properties` does."""
        return self.read_with_properties(path)[0]

    def read_with_properties(self, path: Path) -> tuple[LabelMap, dict[str, Any]]:
        """Return a label map and the host's properties, with which its reader-writers write one on the same grid.

        Raises:
            FileNotFoundError: if there is no such file.
            ImageFileError: if the file is truncated or of another format, has several volumes or channels, a voxel that
                is no whole number from 0 to 65535, or voxels without a size.
        """
        with quiet():
            check_lossless(Path(path))
        values, properties = self.read_image(path)
        if values.shape[0] != 1:
            raise ImageFileError(f"{path} {self._several(values.shape[0])}")
        return _label_map(_whole_numbers(values[0], path), properties, path), properties

    def read_image(self, path: Path) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the values `(C, Z, Y, X)` of a file, float32, and the host's properties of it.

        Raises:
            FileNotFoundError: if there is no such file.
            ImageFileError: if it cannot be read, or does not tell how large its voxels are.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist.")
        try:
            header = check_whole(path)
            check_finite(path, header)
            if header is not None:
                with quiet():
                    check_rectangular(path, mended_affine(header))
                if "SimpleITK" in self._reader.__name__:
                    _check_itk_reads(path, header)
            if self._reader.__name__ == "Tiff3DIO":
                _check_no_colours(path)
            told_mm = None if self._reader.__name__ == "NaturalImage2DIO" else told_spacing_mm(path, header)
            with quiet():
                values, properties = self._reader().read_seg(str(path))
        except (MemoryError, ImageFileError):
            raise
        # Every library behind the host's readers has errors of its own; whichever comes, the file cannot be read.
        except Exception as error:
            raise unreadable(path, error) from error
        if len(properties["spacing"]) != 3 or values.ndim != 4:
            raise ImageFileError(f"{path} has several values a voxel (colours or a vector): save it with one channel.")
        if not values.size:
            raise ImageFileError(f"{path} holds no voxels.")
        _correct_spacing(properties, told_mm)
        return values, properties

    def _several(self, count: int) -> str:
        if self._reader.__name__ == "NaturalImage2DIO":
            return f"is a colour image or has a palette ({count} channels): save the label map as grey values."
        return f"holds {count} volumes: a label map is 2D or 3D, so split it first."


def image_grid(shape: tuple[int, ...], properties: dict[str, Any], path: Path) -> Geometry:
    """Return the grid of an image that `LabelFileReader.read_image` read, as `LabelMap.geometry` has it.

    Args:
        shape: of the image `(Z, Y, X)`.
        properties: of the image.
        path: its file.
    """
    return _flat_geometry(shape, properties, path)[0]


def _within(box: Sequence[slice], frame: Sequence[slice]) -> tuple[slice, ...]:
    return tuple(slice(each.start + edge.start, each.stop + edge.start) for each, edge in zip(box, frame, strict=True))


def _check_itk_reads(path: Path, header: Any) -> None:
    """Raise ImageFileError if ITK would take the voxels of another file, leave them unscaled, or read nothing."""
    check_itk_knows(path, header)
    twin = path.with_name(path.name[:-3])
    if path.name.lower().endswith(".gz") and twin.is_file():
        raise ImageFileError(f"{path} lies next to {twin.name}, from which ITK takes the voxels: move one of the two.")
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if 0 < abs(slope) <= _SMALLEST_SLOPE or (slope == 0 and intercept != 0):
        raise ImageFileError(f"{path} has a scl_slope of {slope:g}, which ITK does not obey: correct its header.")


def _check_no_colours(path: Path) -> None:
    """Raise ImageFileError for a colour picture, which passes for a volume; one with a spacing file is a volume."""
    import tifffile

    with quiet(), tifffile.TiffFile(path) as file:
        page = file.pages[0]
        has_colours = page.samplesperpixel > 1 and page.planarconfig == tifffile.PLANARCONFIG.CONTIG
    if has_colours and not spacing_file(path).is_file():
        raise ImageFileError(f"{path} is a colour image: save the label map as grey values.")


def _whole_numbers(values: np.ndarray, path: Path) -> np.ndarray:
    low, high = values.min(), values.max()
    if not np.isfinite(low) or not np.isfinite(high):
        raise ImageFileError(f"{path} holds voxels that are not finite: label maps are whole numbers.")
    if low < 0:
        raise ImageFileError(f"{path} holds the negative label {low:g}: labels are 0 or more.")
    if high > _LARGEST_LABEL:
        raise ImageFileError(f"{path} holds the label {high:g}: labels are {_LARGEST_LABEL} or less.")
    dtype = np.uint8 if high < 256 else np.uint16
    labels = values.astype(dtype)
    if np.array_equal(labels, values):
        return labels
    labels = np.rint(values).astype(dtype)
    if (wrong := np.abs(labels - values) > _ROUNDING).any():
        raise ImageFileError(
            f"{path} holds the value {values[wrong][0]!s}: label maps are whole numbers, not probabilities."
        )
    return labels


def _correct_spacing(properties: dict[str, Any], told_mm: tuple[float, ...] | None) -> None:
    """Put the voxel size that the file tells into the host's properties where its reader made up another one."""
    sitk = properties.get("sitk_stuff", {})
    if told_mm is not None and (letters := _letters_before_turning(properties)):
        told_mm = _turned(told_mm, letters)
    first = 3 - len(told_mm or ())
    read_mm = properties["spacing"][first:]
    if told_mm is None or np.allclose(sorted(read_mm), sorted(told_mm), rtol=1e-6, atol=0):
        return
    properties["spacing"] = [*properties["spacing"][:first], *told_mm]
    if sitk:
        sitk["spacing"] = tuple(reversed(told_mm))


def _letters_before_turning(properties: dict[str, Any]) -> Sequence[str]:
    """Return the letters of the file's axes x, y, z where the host's reader turned the image to RAS, else none."""
    nibabel_stuff = properties.get("nibabel_stuff", {})
    if "reoriented_affine" in nibabel_stuff:
        from nibabel.orientations import aff2axcodes

        return aff2axcodes(nibabel_stuff["original_affine"])
    return properties.get("sitk_stuff", {}).get("original_orientation", ())


def _turned(told_mm: tuple[float, ...], orientation: Sequence[str]) -> tuple[float, ...]:
    """Return the spacing (Z, Y, X) of an image that was turned to RAS, from the letters of its own axes x, y, z."""
    along = [next(axis for axis, letter in enumerate(orientation) if letter in pair) for pair in ("SI", "AP", "RL")]
    return tuple(told_mm[2 - axis] for axis in along)


def _label_map(labels: np.ndarray, properties: dict[str, Any], path: Path) -> LabelMap:
    geometry, slice_axis = _flat_geometry(labels.shape, properties, path)
    if slice_axis is None:
        return LabelMap(labels, geometry)
    return LabelMap(labels.squeeze(slice_axis), geometry, slice_axis)


def _flat_geometry(shape: tuple[int, ...], properties: dict[str, Any], path: Path) -> tuple[Geometry, int | None]:
    """Return the grid, without the axis across the only slice, and that axis."""
    geometry = _geometry(shape, properties, path)
    if not are_sizes(geometry.spacing_mm):
        raise ImageFileError(f"{path} says that its voxels measure {geometry.spacing_mm} mm: correct its header.")
    if geometry.direction is not None and not at_right_angles(geometry.direction):
        raise tilted(path)
    slice_axis = next((axis for axis, size in enumerate(shape) if size == 1), None)
    if slice_axis is None:
        return geometry, None
    # A file of 2 axes is given a made-up spacing across them; one of 3 axes says how thick its slice is.
    if "sitk_stuff" in properties:
        is_volume = len(properties["sitk_stuff"]["spacing"]) == 3
    else:
        is_volume = "nibabel_stuff" in properties or properties["spacing"][0] != _MADE_UP_MM
    rest = [axis for axis in range(3) if axis != slice_axis]
    flat = replace(
        geometry,
        size=tuple(geometry.size[axis] for axis in rest),
        spacing_mm=tuple(geometry.spacing_mm[axis] for axis in rest),
        thickness_mm=geometry.spacing_mm[slice_axis] if is_volume else None,
        left_mm=None if geometry.left_mm is None else tuple(geometry.left_mm[axis] for axis in rest),
    )
    return flat, slice_axis


def _geometry(shape: tuple[int, ...], properties: dict[str, Any], path: Path) -> Geometry:
    """Return the grid of the host's three axes."""
    sitk, nibabel = properties.get("sitk_stuff", {}), properties.get("nibabel_stuff", {})
    origin, direction, assumed = sitk.get("origin"), sitk.get("direction"), ""
    if nibabel:
        affine = np.asarray(nibabel.get("reoriented_affine", nibabel["original_affine"]), dtype=float)
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        origin, direction = affine[:3, 3], (affine[:3, :3] / np.where(lengths > 0, lengths, 1)).ravel()
    elif not sitk and properties["spacing"][0] == _MADE_UP_MM:
        assumed = "pictures tell no pixel size"
    elif not sitk and not (beside := spacing_file(path)).is_file():
        assumed = f"there is no spacing file {beside}"
    spacing_mm = tuple(float(value) for value in properties["spacing"])
    return Geometry(
        size=tuple(shape),
        spacing_mm=spacing_mm,
        origin_mm=None if origin is None else tuple(float(value) for value in origin),
        direction=None if direction is None else tuple(float(value) for value in direction),
        left_mm=_left_mm(direction, spacing_mm, sign=-1 if nibabel else 1),
        assumed=assumed,
    )


def _left_mm(direction: Iterable[float] | None, spacing_mm: Sequence[float], *, sign: int) -> tuple[float, ...] | None:
    """Return how far a step along each axis leads to the patient's left: ITK's first axis points there, nibabel's away.

    The direction's columns are the file's axes x, y, z; the spacing is in array order. None for a file of 2 axes.
    """
    if len(cosines := () if direction is None else tuple(direction)) != 9:
        return None
    return tuple(sign * float(cosines[2 - axis]) * spacing_mm[axis] for axis in range(3))
