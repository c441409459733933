"""NIfTI volumes and their place in the world: reading what can be trusted, writing what is whole."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from acnn_nnunet.files.geometry import DIRECTION_TOLERANCE, Geometry
from acnn_nnunet.files.safe_writes import gzip_size, replace_atomically

FILE_ENDINGS = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Volume:
    """An image of one channel.

    Attributes:
        values: (Z, Y, X), float32 where it was read from a file.
        geometry: where its voxels lie; the world is ITK's (LPS).
    """

    values: np.ndarray
    geometry: Geometry


def read_volume(path: Path) -> Volume:
    """Read a NIfTI image of three axes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: in one sentence that names the file, if it is damaged, has more or fewer axes, voxels that are not
            finite or without a size, or slices that are not stacked at right angles (gantry tilt).
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist.")
    try:
        values = _read_values(path)
        geometry = _read_geometry(path)
    except MemoryError:
        raise
    except _Unsuitable as error:
        raise ValueError(f"{path} {error}") from None
    # Nibabel, ITK and zlib have errors of their own; whichever comes, the file cannot be read.
    except Exception as error:
        reason = " ".join(str(error).split()).rpartition("ERROR: ")[2] or type(error).__name__
        raise ValueError(f"{path} cannot be read: is it damaged, or no NIfTI file? ({reason[-200:]})") from error
    return Volume(values, geometry)


def write_volume(path: Path, volume: Volume) -> None:
    """Write a NIfTI image beside its name and rename it, so that no half of it ever has that name.

    Raises:
        OSError: if it cannot be written.
    """
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(volume.values))
    geometry = volume.geometry
    image.SetSpacing(tuple(reversed(geometry.spacing_mm)))
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction)
    replace_atomically(path, lambda partial: _write(image, partial, ending=file_ending(path)))


def find_volumes(folder: Path) -> dict[str, Path]:
    """Return the NIfTI files of a folder by their names without ending, sorted.

    Raises:
        FileNotFoundError: if there is no such folder, or no NIfTI file in it.
        ValueError: if two files have one name.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"The folder {folder} does not exist.")
    volumes: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not file_ending(path) or not path.is_file():
            continue
        name = name_of(path)
        if name in volumes:
            raise ValueError(f"{folder} holds {name} twice, {volumes[name].name} and {path.name}: remove one.")
        volumes[name] = path
    if not volumes:
        raise FileNotFoundError(f"{folder} holds no NIfTI file ({' or '.join(FILE_ENDINGS)}).")
    return volumes


def file_ending(path: Path) -> str:
    """Return ".nii.gz" or ".nii" as the file's name has it; empty for any other."""
    ending = next((ending for ending in FILE_ENDINGS if path.name.lower().endswith(ending)), "")
    return path.name[len(path.name) - len(ending) :]


def name_of(path: Path) -> str:
    """Return a file's name without its NIfTI ending."""
    return path.name.removesuffix(file_ending(path))


class _Unsuitable(Exception):  # noqa: N818 - no error of the program: an image that this program does not take
    """The rest of a sentence that begins with the file."""


def _read_values(path: Path) -> np.ndarray:
    """Return the voxels (Z, Y, X) with nibabel: ITK reads NaN and what a truncated file lacks as 0, without a word."""
    import nibabel

    if path.name.lower().endswith(".gz"):
        gzip_size(path)
    image: Any = nibabel.load(path)
    if len(image.shape) != 3:
        raise _Unsuitable(f"has {len(image.shape)} axes {image.shape}: one volume of three axes a file is wanted.")
    spacing_mm = np.linalg.norm(image.affine[:3, :3], axis=0)
    if not all(0 < mm < np.inf for mm in spacing_mm):
        raise _Unsuitable(f"says that its voxels measure {tuple(spacing_mm.tolist())} mm: correct its header.")
    if not _is_orthonormal(image.affine[:3, :3] / spacing_mm):
        raise _Unsuitable(
            "has slices that are not stacked at right angles (gantry tilt or a sheared affine): resample it to a "
            "rectangular grid first."
        )
    values = image.get_fdata(dtype=np.float32, caching="unchanged").T
    if bad := values.size - np.count_nonzero(np.isfinite(values)):
        raise _Unsuitable(f"has {bad} voxels that are not finite: replace them by the background's value first.")
    return values


def _read_geometry(path: Path) -> Geometry:
    header = SimpleITK.ImageFileReader()
    header.SetFileName(str(path))
    header.ReadImageInformation()
    if not _is_orthonormal(np.reshape(header.GetDirection(), (3, 3))):
        raise _Unsuitable("has direction cosines that are not at right angles: correct its header.")
    return Geometry(
        size=tuple(reversed(header.GetSize())),
        spacing_mm=tuple(reversed(header.GetSpacing())),
        origin_mm=header.GetOrigin(),
        direction=header.GetDirection(),
    )


def _is_orthonormal(columns: np.ndarray) -> bool:
    return np.allclose(columns.T @ columns, np.eye(3), rtol=0, atol=DIRECTION_TOLERANCE)


def _write(image: SimpleITK.Image, partial: str, *, ending: str) -> None:
    named = f"{partial}{ending}"  # ITK chooses the format by the name
    try:
        SimpleITK.WriteImage(image, named, ending.lower() == ".nii.gz")
        os.replace(named, partial)
    finally:
        with contextlib.suppress(OSError):
            os.remove(named)
