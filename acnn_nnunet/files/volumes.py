"""Reading and checking image files, where a bad one must be told from a good one."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import SimpleITK

from acnn_nnunet.files.safe_writes import gzip_size


def read_volume(path: Path, *, dimension: int = 3) -> SimpleITK.Image:
    """Read an image file in full.

    Raises:
        ValueError: naming the file, if it is missing, unreadable, cut off or not of this dimension.
    """
    if not path.is_file():
        raise ValueError(f"{path.name} is missing")
    try:
        if path.name.endswith(".gz"):
            gzip_size(path)
        image = SimpleITK.ReadImage(str(path))
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path.name} cannot be read: {_last_line(error)}") from error
    if image.GetDimension() != dimension or image.GetNumberOfComponentsPerPixel() != 1:
        raise ValueError(f"{path.name} has {image.GetDimension()} dimensions where {dimension} are expected")
    return image


def write_volume(image: SimpleITK.Image, path: Path) -> None:
    """Write an image file.

    Raises:
        OSError: naming the path, if it cannot be written.
    """
    try:
        SimpleITK.WriteImage(image, str(path))
    except RuntimeError as error:
        raise OSError(f"Could not write {path}: free some space or fix its permissions.") from error


def check_image(image: SimpleITK.Image, name: str) -> None:
    """Raise ValueError, naming the image, unless all its intensities are finite (ITK reads NaN in NIfTI as 0)."""
    if not np.isfinite(SimpleITK.GetArrayViewFromImage(image)).all():
        raise ValueError(f"{name} has intensities that are not finite")


def check_label(label: SimpleITK.Image, name: str, allowed: Collection[int]) -> None:
    """Raise ValueError, naming the label map, unless it is of an integer type and all its values are allowed."""
    if "integer" not in label.GetPixelIDTypeAsString():
        raise ValueError(f"{name} is of type {label.GetPixelIDTypeAsString()}, labels must be integer")
    values = np.unique(SimpleITK.GetArrayViewFromImage(label)).tolist()
    if wrong := [value for value in values if value not in allowed]:
        shown = ", ".join(map(str, wrong[:5])) + (", …" if len(wrong) > 5 else "")
        raise ValueError(f"{name} has the labels {shown}; allowed are {', '.join(map(str, sorted(allowed)))}")


def check_same_grid(image: SimpleITK.Image, name: str, reference: SimpleITK.Image, reference_name: str) -> None:
    """Raise ValueError, saying what differs, unless both images have the same grid.

    Spacing may differ by 0.01 %, origin by 1 % of a voxel, direction cosines by 1e-4: more than writing a file costs.
    """
    differences = []
    if image.GetSize() != reference.GetSize():
        differences.append(f"size {image.GetSize()}, not {reference.GetSize()}")
    for what, relative, absolute in (
        ("Spacing", 1e-4, 0.0),
        ("Origin", 0.0, 0.01 * min(reference.GetSpacing())),
        ("Direction", 0.0, 1e-4),
    ):
        here, there = getattr(image, f"Get{what}")(), getattr(reference, f"Get{what}")()
        if not np.allclose(here, there, rtol=relative, atol=absolute):
            differences.append(f"{what.lower()} {_rounded(here)}, not {_rounded(there)}")
    if differences:
        raise ValueError(f"{name} lies on another grid than {reference_name}: {'; '.join(differences)}")


def _last_line(error: Exception) -> str:
    """The reason at the end of an ITK exception, without its file and line of C++."""
    return str(error).strip().splitlines()[-1].split("sitk::ERROR: ")[-1].removeprefix("Reason: ")


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)
