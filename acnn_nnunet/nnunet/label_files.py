"""Label maps in any format that the host reads, with their geometry, without loading torch."""

import contextlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import find_objects

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.safe_writes import gzip_size

_LARGEST_LABEL = 65535  # what the host writes; far larger ones would cost a table of that length


@dataclass(frozen=True)
class LabelMap:
    """A label map: integers `(Z, Y, X)`, or `(Y, X)` where there is only one slice, and where its voxels lie."""

    values: np.ndarray
    geometry: Geometry

    @cached_property
    def boxes(self) -> list[tuple[slice, ...] | None]:
        """The box that holds each label, from label 1 on; None for one that does not occur."""
        return find_objects(self.values)


class LabelFileReader:
    """Reads files with one of the host's readers, by its name (`choose_reader`)."""

    def __init__(self, reader_name: str):
        self._reader = _reader_class(reader_name)

    def read(self, path: Path) -> LabelMap:
        """Read a label map.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: in one sentence that begins with the path, if the file is truncated or of another format, has
                several volumes, a voxel that is no whole number from 0 to 65535, or one without a size.
        """
        values, properties = self.read_image(path)
        if values.shape[0] != 1:
            raise ValueError(f"{path} holds {values.shape[0]} volumes: a label map is 2D or 3D, so split it first.")
        labels = _whole_numbers(values[0], path)
        geometry = _geometry(labels.shape, properties)
        if not all(0 < spacing < math.inf for spacing in geometry.spacing_mm):
            raise ValueError(f"{path} says that its voxels measure {geometry.spacing_mm} mm: correct its header.")
        return LabelMap(labels.reshape(geometry.size), geometry)

    def read_image(self, path: Path) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the values `(C, Z, Y, X)` of a file, float32, and the host's properties of it.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it cannot be read.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} does not exist.")
        try:
            if Path(path).name.lower().endswith((".nii", ".nii.gz")):
                _check_nifti(path)
            with contextlib.redirect_stdout(io.StringIO()):  # the host prints where it assumes a spacing
                return self._reader().read_seg(str(path))
        except MemoryError:
            raise
        # Every library behind the host's readers has errors of its own; whichever comes, the file cannot be read.
        except Exception as error:
            reason = " ".join(str(error).split()).rpartition("ERROR: ")[2] or type(error).__name__
            raise ValueError(
                f"{path} cannot be read: is it damaged, or of another format? ({reason[-200:]})"
            ) from error


def choose_reader(file_ending: str, *, asked_for: str | None = None, examples: Iterable[Path] = ()) -> str:
    """Return the name of the host's reader for files, chosen as the host does.

    Args:
        file_ending: ".nii.gz" and the like.
        asked_for: `overwrite_image_reader_writer` of the dataset.json, if it has one.
        examples: files to try the readers on, where several know the ending; the first that can be read decides.

    Raises:
        ValueError: if the host has no reader for the ending or of that name; lists the endings that it reads.
    """
    from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES

    if asked_for and asked_for != "None":
        return _reader_class(asked_for).__name__
    readers = [reader for reader in LIST_OF_IO_CLASSES if file_ending.lower() in reader.supported_file_endings]
    if not readers:
        raise ValueError(f"nnU-Net reads no {file_ending}; it reads {', '.join(_known_endings())}.")
    if len(readers) == 1:
        return readers[0].__name__
    able = (reader for example in examples for reader in readers if _can_read(reader, example))
    return next(able, readers[0]).__name__


def find_file_ending(files: Sequence[Path]) -> str:
    """Return the ending, of those that the host reads, that the files have in common.

    Raises:
        ValueError: if there is none, or several; lists what was found.
    """
    endings = sorted({ending for path in files if (ending := _known_ending(path.name))})
    if len(endings) == 1:
        return endings[0]
    folder = files[0].parent if files else "the folder"
    found = f"files of several formats ({', '.join(endings)})" if endings else "no file that nnU-Net reads"
    raise ValueError(f"{folder} holds {found}; one of {', '.join(_known_endings())} is wanted: give a dataset.json.")


def _known_endings() -> list[str]:
    from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES

    return sorted({ending for reader in LIST_OF_IO_CLASSES for ending in reader.supported_file_endings})


def _known_ending(name: str) -> str | None:
    return next((ending for ending in _known_endings() if name.lower().endswith(ending)), None)


def _whole_numbers(values: np.ndarray, path: Path) -> np.ndarray:
    low, high = values.min(), values.max()
    if not np.isfinite(low) or not np.isfinite(high):
        raise ValueError(f"{path} holds voxels that are not finite: label maps are whole numbers.")
    if low < 0:
        raise ValueError(f"{path} holds the negative label {low:g}: labels are 0 or more.")
    if high > _LARGEST_LABEL:
        raise ValueError(f"{path} holds the label {high:g}: labels are {_LARGEST_LABEL} or less.")
    labels = values.astype(np.uint8 if high < 256 else np.uint16)
    if not np.array_equal(labels, values):
        fraction = values[labels != values][0]
        raise ValueError(f"{path} holds the value {fraction:g}: label maps are whole numbers, not probabilities.")
    return labels


def _check_nifti(path: Path) -> None:
    """Raise OSError if a file ends before its last voxel or holds NaN: SimpleITK makes up the rest and reads 0."""
    import nibabel

    image: Any = nibabel.load(path)
    header = image.header
    wanted = image.dataobj.offset + math.prod(header.get_data_shape()) * header.get_data_dtype().itemsize
    found = gzip_size(path) if path.name.lower().endswith(".gz") else path.stat().st_size
    if found < wanted:
        raise OSError(f"it ends after {found} of {wanted} bytes")
    if header.get_data_dtype().kind == "f" and not np.isfinite(np.asanyarray(image.dataobj)).all():
        raise OSError("it holds voxels that are not finite")


@cache
def _reader_class(name: str) -> Any:
    from nnunetv2.imageio.reader_writer_registry import recursive_find_reader_writer_by_name

    try:
        return recursive_find_reader_writer_by_name(name)
    except RuntimeError as error:
        raise ValueError(f"dataset.json names the reader {name}, which nnU-Net does not have.") from error


def _can_read(reader: Any, example: Path) -> bool:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            values, _ = reader().read_seg(str(example))
    except Exception:  # as in `read_image`
        return False
    return len(values) == 1  # a .tif of three or four slices passes for colours


def _geometry(shape: tuple[int, ...], properties: dict[str, Any]) -> Geometry:
    spacing_mm = tuple(float(value) for value in properties["spacing"])
    sitk, nibabel = properties.get("sitk_stuff", {}), properties.get("nibabel_stuff", {})
    origin, direction = sitk.get("origin"), sitk.get("direction")
    if nibabel:
        affine = np.asarray(nibabel.get("reoriented_affine", nibabel["original_affine"]), dtype=float)
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        origin, direction = affine[:3, 3], (affine[:3, :3] / np.where(lengths > 0, lengths, 1)).ravel()
    has_one_slice = len(shape) == 3 and shape[0] == 1
    # A file of 2 axes is given a made-up spacing across them; one of 3 axes says how thick its slice is.
    says_thickness = has_one_slice and len(sitk.get("spacing", (0, 0, 0) if nibabel else ())) == 3
    return Geometry(
        size=tuple(shape[1:] if has_one_slice else shape),
        spacing_mm=spacing_mm[1:] if has_one_slice else spacing_mm,
        origin_mm=None if origin is None else tuple(float(value) for value in origin),
        direction=None if direction is None else tuple(float(value) for value in direction),
        thickness_mm=spacing_mm[0] if says_thickness else None,
    )
