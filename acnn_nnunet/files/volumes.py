"""The one reader and writer of volumes: images of one channel on a rectangular grid."""

import contextlib
import io
import logging
import math
import os
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from acnn_nnunet.files.completeness import (
    check_bmp,
    check_gipl,
    check_metaimage,
    check_nrrd,
    check_png,
    check_tiff,
    gzip_size,
)
from acnn_nnunet.files.folders import image_ending
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.headers import (
    NIFTI_ENDINGS,
    TIFF_ENDINGS,
    ImageFileError,
    at_right_angles,
    is_nifti,
    read_nifti_header,
    spacing_file,
    told_spacing_mm,
)
from acnn_nnunet.files.safe_writes import replace_atomically


@dataclass(frozen=True)
class Volume:
    """An image of one channel.

    Attributes:
        values: `(Z, Y, X)`.
        geometry: where its voxels lie; the world is ITK's (LPS).
    """

    values: np.ndarray
    geometry: Geometry


def read_volume(path: Path, *, dtype: type | None = None) -> Volume:
    """Read an image of three axes.

    Args:
        path: NIfTI, MetaImage, NRRD or any other file that ITK reads.
        dtype: float32 or float64; None keeps the type of the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ImageFileError: if the file is damaged, has more or fewer axes, several channels, voxels that are not finite or
            without a size, or slices that are not stacked at right angles (gantry tilt).
    """
    return _read(path, dtype, num_axes=3)


def read_channels(files: Sequence[Path]) -> list[Volume]:
    """Read the images of a case, in float32.

    Raises:
        NotImplementedError: for another format than NIfTI.
        ValueError: if they are not on one grid or one of them cannot be read.
    """
    if unread := [path for path in files if not is_nifti(path)]:
        raise NotImplementedError(f"{unread[0]} is no NIfTI file ({' or '.join(NIFTI_ENDINGS)}): convert it.")
    volumes = [read_volume(path, dtype=np.float32) for path in files]
    for path, volume in zip(files, volumes, strict=True):
        if differences := volume.geometry.differences(volumes[0].geometry):
            raise ValueError(
                f"{path} is not on the grid of {files[0].name}: {'; '.join(differences)}: resample it to that grid."
            )
    return volumes


def read_series(path: Path) -> list[Volume]:
    """Read each image of a series, which is the fourth axis of its file.

    Raises:
        FileNotFoundError, ImageFileError: as `read_volume` does.
    """
    series = _read(path, None, num_axes=4)
    return [replace(series, values=frame) for frame in series.values]


def write_volume(path: Path, volume: Volume) -> None:
    """Write an image in the format that its name says, so that no half of it ever has that name.

    Raises:
        OSError: if it cannot be written.
    """
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(volume.values))
    image.SetSpacing(tuple(reversed(volume.geometry.spacing_mm)))
    image.SetOrigin(volume.geometry.origin_mm)
    image.SetDirection(volume.geometry.direction)
    replace_atomically(path, lambda partial: _write(image, Path(path), partial))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep from the terminal what nibabel mends in a header, ITK and tifffile wonder at, and nnU-Net assumes."""
    loggers = [logging.getLogger(name) for name in ("nibabel.global", "tifffile")]
    disabled = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    shown = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, before in zip(loggers, disabled, strict=True):
            logger.disabled = before
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(shown)


def check_whole(path: Path) -> Any:
    """Raise OSError if a file holds fewer voxels than its header says, or words that ITK and others do not obey.

    The libraries make up the rest without a word, or never end.

    Returns:
        The header of a NIfTI file as the file has it; None for other formats.
    """
    name = path.name.lower()
    found = gzip_size(path) if name.endswith(".gz") else path.stat().st_size
    if is_nifti(path):
        return _check_nifti(path, found)
    if name.endswith((".mha", ".mhd")):
        check_metaimage(path)
    elif name.endswith(".nrrd"):
        check_nrrd(path)
    elif name.endswith(".gipl"):
        check_gipl(path)
    elif name.endswith(".png"):
        check_png(path)
    elif name.endswith(".bmp"):
        check_bmp(path)
    elif name.endswith(TIFF_ENDINGS):
        with quiet():
            check_tiff(path)
    return None


def _check_nifti(path: Path, found: int) -> Any:
    header = read_nifti_header(path)
    if not bytes(header["magic"]).startswith(b"n+"):
        raise OSError("its header belongs to voxels in another file")
    offset = int(header["vox_offset"])
    if offset < header.single_vox_offset:
        raise OSError(f"its voxels begin at byte {offset}, inside its header")
    shape = header.get_data_shape()
    if not shape or min(shape) < 1:
        raise OSError(f"its size is {tuple(map(int, shape))}")
    wanted = offset + math.prod(shape) * header.get_data_dtype().itemsize
    if found < wanted:
        raise OSError(f"it ends after {found} of {wanted} bytes")
    return header


def check_finite(path: Path, header: Any) -> None:
    """Raise OSError if a NIfTI file holds voxels that are not finite: ITK reads NaN as 0.

    Args:
        path: of the file.
        header: that `check_whole` returned.
    """
    if header is not None and header.get_data_dtype().kind == "f":
        values = _load_nifti(path).dataobj
        if not np.isfinite(np.asanyarray(values)).all():
            raise OSError("it holds voxels that are not finite")


def check_itk_knows(path: Path, header: Any) -> None:
    """Raise ImageFileError for the header of NIfTI-2."""
    if header.sizeof_hdr == 540:
        raise ImageFileError(f"{path} is NIfTI-2, which SimpleITK does not read: save it as NIfTI-1.")


def check_rectangular(path: Path, affine: np.ndarray) -> None:
    """Raise ImageFileError if the affine of a NIfTI file is sheared: ITK may take its qform and say nothing."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if np.all(lengths > 0) and not at_right_angles(affine[:3, :3] / lengths):
        raise tilted(path)


def check_labels(values: np.ndarray, name: str, allowed: Collection[int]) -> None:
    """Raise ValueError, naming the label map, unless it is of an integer type and all its values are allowed."""
    if values.dtype.kind not in "iu":
        raise ValueError(f"{name} is of type {values.dtype}: labels must be integers")
    if wrong := [value for value in np.unique(values).tolist() if value not in allowed]:
        shown = ", ".join(map(str, wrong[:5])) + (", …" if len(wrong) > 5 else "")
        raise ValueError(f"{name} has the labels {shown}; allowed are {', '.join(map(str, sorted(allowed)))}")


def check_same_grid(mine: Geometry, name: str, reference: Geometry, reference_name: str) -> None:
    """Raise ValueError, saying what differs, unless both images have the same grid."""
    if differences := mine.differences(reference):
        raise ValueError(f"{name} lies on another grid than {reference_name}: {'; '.join(differences)}")


def unreadable(path: Path, error: Exception) -> ImageFileError:
    """Return the sentence for an error of a library, with its reason on one line."""
    if "orthonormal" in str(error):  # ITK's word
        return tilted(path)
    kind = "no NIfTI file" if is_nifti(path) else "of another format"
    reason = " ".join(str(error).split()).rpartition("ERROR: ")[2].removeprefix("Reason: ")
    # The innermost of teem's reasons, without the addresses of ITK's objects.
    reason = re.sub(r"^\w+\(0x[0-9a-f]+\): ", "", reason.rpartition("[nrrd] ")[2]) or type(error).__name__
    return ImageFileError(f"{path} cannot be read: is it damaged, or {kind}? ({reason[-200:]})")


def tilted(path: Path) -> ImageFileError:
    """Return the sentence for a grid that is not rectangular."""
    return ImageFileError(
        f"{path} has slices that are not stacked at right angles (gantry tilt or a sheared affine): resample it to a "
        "rectangular grid first."
    )


def _read(path: Path, dtype: type | None, *, num_axes: int) -> Volume:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist.")
    try:
        nifti_header = check_whole(path)
        told_mm = told_spacing_mm(path, nifti_header)
        if told_mm is None and path.name.lower().endswith(TIFF_ENDINGS):
            raise ImageFileError(
                f"{path} does not tell how large its voxels are: write "
                f'{{"spacing": [z, y, x]}} in mm to {spacing_file(path)}, as nnU-Net does.'
            )
        if nifti_header is not None:
            check_itk_knows(path, nifti_header)
        header = SimpleITK.ImageFileReader()
        header.SetFileName(str(path))
        with quiet():
            header.ReadImageInformation()
        _check_shape(path, header, num_axes)
        values = _nifti_values(path, dtype) if is_nifti(path) else SimpleITK.GetArrayFromImage(header.Execute())
    except (MemoryError, ImageFileError):
        raise
    # Nibabel, ITK and zlib have errors of their own; whichever comes, the file cannot be read.
    except Exception as error:
        raise unreadable(path, error) from error
    values = values.astype(dtype or values.dtype.newbyteorder("="), copy=False).reshape(
        tuple(reversed(header.GetSize()))
    )
    if not values.size:
        raise ImageFileError(f"{path} holds no voxels.")
    if bad := values.size - np.count_nonzero(np.isfinite(values)):
        raise ImageFileError(
            f"{path} has {bad} voxels that are not finite: replace them by the background's value first."
        )
    return Volume(values, _geometry(path, header, told_mm))


def _check_shape(path: Path, header: SimpleITK.ImageFileReader, num_axes: int) -> None:
    if (channels := header.GetNumberOfComponents()) != 1:
        raise ImageFileError(f"{path} has {channels} values a voxel (colours or a vector): one channel is wanted.")
    if header.GetDimension() != num_axes:
        wanted = "one volume of three axes" if num_axes == 3 else "a series of volumes, four axes,"
        raise ImageFileError(
            f"{path} has {header.GetDimension()} axes {tuple(reversed(header.GetSize()))}: {wanted} a file is wanted."
        )


def _nifti_values(path: Path, dtype: type | None) -> np.ndarray:
    """Return the voxels (Z, Y, X) with nibabel: ITK reads NaN as 0, without a word."""
    image = _load_nifti(path)
    check_rectangular(path, image.affine)
    if dtype is None:
        return np.asanyarray(image.dataobj).T
    return image.get_fdata(dtype=dtype, caching="unchanged").T


def _load_nifti(path: Path) -> Any:
    import nibabel

    with quiet():
        return nibabel.load(path)


def _geometry(path: Path, header: SimpleITK.ImageFileReader, told_mm: Sequence[float] | None) -> Geometry:
    """Return the grid that ITK reads, of the first three axes, with the voxel size that the file tells."""
    axes = header.GetDimension()
    direction = np.reshape(header.GetDirection(), (axes, axes))[:3, :3]
    if not at_right_angles(direction):
        raise tilted(path)
    itk_mm = tuple(reversed(header.GetSpacing()[:3]))
    same = told_mm is None or np.allclose(itk_mm, told_mm, rtol=1e-6, atol=0)
    return Geometry(
        size=tuple(reversed(header.GetSize()[:3])),
        spacing_mm=itk_mm if same or told_mm is None else tuple(told_mm),
        origin_mm=header.GetOrigin()[:3],
        direction=tuple(direction.ravel().tolist()),
    )


def _write(image: SimpleITK.Image, path: Path, partial: str) -> None:
    """Write a file, and the voxels beside it where the format has a file of its own for them."""
    folder = path.with_name(f".{path.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir()
    try:
        ending = image_ending(path)
        named = folder / f"{path.name.removesuffix(ending)}{ending.lower()}"  # by which ITK chooses the format
        SimpleITK.WriteImage(image, str(named), named.name.endswith(".gz"))
        for each in folder.iterdir():
            if each != named:
                os.replace(each, path.with_name(each.name))
        os.replace(named, partial)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
