"""The voxel size that an image file's own header tells; ITK silently takes 1 mm where the header tells none."""

import json
import math
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from acnn_nnunet.files.geometry import DIRECTION_TOLERANCE, SPACING_TOLERANCE

NIFTI_ENDINGS = (".nii.gz", ".nii")
TIFF_ENDINGS = (".tif", ".tiff")
GIPL_HEADER_BYTES = 256
_MM_PER_NIFTI_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}  # xyzt_units: metre, millimetre, micrometre; unknown is mm
_QFORM = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
_MM_NAMES = ("", "mm", "millimeter", "millimetre", "millimeters", "millimetres", "?", "???", "none")


class ImageFileError(ValueError):
    """A fault of an image file, in one sentence that begins with its path."""


def is_nifti(path: Path) -> bool:
    """Return whether the file's name has an ending of NIfTI, in lower or upper case."""
    return path.name.lower().endswith(NIFTI_ENDINGS)


def told_spacing_mm(path: Path, nifti_header: Any = None) -> tuple[float, ...] | None:
    """Return the voxel size that a file tells, in array order; None for formats that tell none, and for a lone TIFF.

    A NIfTI file whose pixdim holds no size has that of its sform; a TIFF has that of nnU-Net's spacing file.

    Args:
        path: of the file.
        nifti_header: what `read_nifti_header` returns, where it was read before.

    Raises:
        ImageFileError: if the header tells no size, two different ones, one that is not positive, or another unit.
    """
    name = path.name.lower()
    if is_nifti(path):
        sizes = _nifti_sizes(path, read_nifti_header(path) if nifti_header is None else nifti_header)
    elif name.endswith((".mha", ".mhd")):
        sizes = _metaimage_sizes(path)
    elif name.endswith(".nrrd"):
        sizes = _nrrd_sizes(path)
    elif name.endswith(".gipl"):
        sizes = list(read_gipl_header(path)[2])
    elif name.endswith(TIFF_ENDINGS) and (beside := spacing_file(path)).is_file():
        sizes = _sizes_beside(path, beside)
    else:
        return None
    if not are_sizes(sizes):
        raise ImageFileError(f"{path} says that its voxels measure {_shown(sizes)} mm: correct its header.")
    return tuple(reversed(sizes))


def spacing_file(path: Path) -> Path:
    """Return where nnU-Net keeps the voxel size of a TIFF: under its name, without the channel that an image has."""
    beside = path.with_suffix(".json")
    if beside.is_file():
        return beside
    return beside.with_name(re.sub(r"_\d{4}\.json$", ".json", beside.name))


def are_sizes(values: Sequence[float]) -> bool:
    """Return whether all values are finite and positive."""
    return all(0 < value < math.inf for value in values)


def at_right_angles(directions: ArrayLike) -> bool:
    """Return whether the columns of a matrix have length 1 and are at right angles; a square one may be flat."""
    found = np.asarray(directions, dtype=float)
    if found.ndim == 1:
        found = found.reshape(math.isqrt(found.size), -1)
    return bool((abs(found.T @ found - np.eye(found.shape[1])) <= DIRECTION_TOLERANCE).all())


def read_nifti_header(path: Path) -> Any:
    """Return nibabel's header as the file has it: without mending it, and without writing to the terminal."""
    import nibabel

    for kind in (nibabel.Nifti1Header, nibabel.Nifti2Header):
        with nibabel.openers.ImageOpener(str(path)) as file:
            content = file.read(kind.sizeof_hdr)
        if len(content) == kind.sizeof_hdr and kind.may_contain_header(content):
            return kind(content, check=False)
    if content[:2] == b"\x1f\x8b":
        raise ImageFileError(f"{path} is compressed: call it {path.stem}.nii.gz.")
    if content[:4] in (struct.pack("<i", 348), struct.pack(">i", 348)):
        raise ImageFileError(f"{path} has a header of Analyze 7.5, which tells no orientation: convert it to NIfTI.")
    raise OSError("it has no NIfTI header")


def mended_affine(header: Any) -> np.ndarray:
    """Return the affine (4, 4) that nibabel gives an image with this NIfTI header, whose small faults it mends.

    Raises:
        nibabel.spatialimages.HeaderDataError: if there is a fault that it does not mend, also in how values are scaled.
    """
    mended = type(header)(header.binaryblock, header.endianness)
    mended.get_slope_inter()
    return mended.get_best_affine()


def read_metaimage_header(path: Path) -> tuple[dict[str, str], int]:
    """Return the fields of a MetaImage file, and the byte after them."""
    fields, end = _fields(path, r"([^=:]+)[=:](.*)", last="ElementDataFile")
    if "DimSize" not in fields:
        raise OSError("it has no MetaImage header")
    return fields, end


def read_nrrd_header(path: Path) -> tuple[dict[str, str], int]:
    """Return the fields of a NRRD file by their names in lower case, without `key:=value` pairs, and the byte after."""
    fields, end = _fields(path, r"([^:#]+):(?!=)(.*)", last="")
    fields = {name.lower(): value for name, value in fields.items()}
    if "sizes" not in fields:
        raise OSError("it has no NRRD header")
    return fields, end


def read_gipl_header(path: Path) -> tuple[tuple[int, ...], int, tuple[float, ...]]:
    """Return the size of a GIPL file, its type's number, and its voxel size in mm, both in the order x, y, z."""
    with open(path, "rb") as file:
        content = file.read(GIPL_HEADER_BYTES)
    if len(content) < GIPL_HEADER_BYTES:
        raise OSError("it has no GIPL header")
    shape = struct.unpack(">3H", content[:6])
    if not all(shape):
        raise OSError(f"its size is {shape}")
    return shape, struct.unpack(">H", content[8:10])[0], struct.unpack(">3f", content[10:22])


def _nifti_sizes(path: Path, header: Any) -> list[float]:
    axes = min(int(header["dim"][0]), 3)
    pixdim = [float(value) for value in header["pixdim"][1 : axes + 1]]
    sizes = pixdim
    quaternion = [header[name] for name in _QFORM] if header["qform_code"] > 0 else []
    rows = np.array([header[f"srow_{axis}"] for axis in "xyz"], dtype=float)
    if not np.isfinite(quaternion).all() or (header["sform_code"] > 0 and not np.isfinite(rows).all()):
        raise ImageFileError(
            f"{path} does not tell where its voxels lie (qform or sform not finite): correct its header."
        )
    if header["sform_code"] > 0:
        columns = rows[:, :axes]
        lengths = [float(length) for length in np.linalg.norm(columns, axis=0)]
        if not are_sizes(lengths) or not are_sizes(pixdim):
            sizes = lengths
        elif at_right_angles(columns / lengths) and not np.allclose(pixdim, lengths, rtol=SPACING_TOLERANCE, atol=0):
            raise ImageFileError(
                f"{path} says that its voxels measure {_shown(pixdim)} mm (pixdim) and {_shown(lengths)} mm (sform): "
                "correct its header."
            )
    scale = _MM_PER_NIFTI_UNIT.get(int(header["xyzt_units"]) % 8, 1.0)
    return [scale * size for size in sizes]


def _metaimage_sizes(path: Path) -> list[float]:
    fields = read_metaimage_header(path)[0]
    spacing = fields.get("ElementSpacing", fields.get("ElementSize"))
    if spacing is None:
        raise _tells_nothing(path, "ElementSpacing")
    _check_unit(path, fields.get("DistanceUnits", ""))
    sizes = _numbers(spacing.split())
    if len(sizes) != int(fields.get("NDims", "3")):
        raise ImageFileError(f"{path} has {len(sizes)} voxel sizes, not one for each axis: correct its header.")
    return sizes


def _nrrd_sizes(path: Path) -> list[float]:
    fields = read_nrrd_header(path)[0]
    axes = int(fields.get("dimension", "3"))
    if "space directions" in fields:
        vectors = re.findall(r"\(([^)]*)\)|none", fields["space directions"])
        sizes = [math.hypot(*_numbers(vector.split(","))) for vector in vectors if vector]
        units = fields.get("space units", "")
    elif "spacings" in fields:
        sizes = _numbers(fields["spacings"].split())
        units = fields.get("units", "")
    else:
        raise _tells_nothing(path, "spacings or space directions")
    for unit in re.findall(r'"([^"]*)"', units):
        _check_unit(path, unit)
    if axes > 3:  # an axis of channels or of time has no size
        sizes = [size for size in sizes if not math.isnan(size)][:3]
    if len(sizes) < min(axes, 3):
        raise _tells_nothing(path, "size for every axis")
    return sizes


def _fields(path: Path, line_of: str, *, last: str) -> tuple[dict[str, str], int]:
    """Return the fields of a text header, up to the one named last or an empty line, and how many bytes they take."""
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        while line := file.readline(10_000):
            text = line.decode("latin-1").strip()
            if not text:
                break
            if found := re.match(line_of, text):
                fields[found[1].strip()] = found[2].strip()
                if found[1].strip() == last:
                    break
        return fields, file.tell()


def _numbers(words: list[str]) -> list[float]:
    """Return the numbers; a word that is none becomes NaN."""
    numbers = []
    for word in words:
        try:
            numbers.append(float(word))
        except ValueError:
            numbers.append(math.nan)
    return numbers


def _sizes_beside(path: Path, beside: Path) -> list[float]:
    """Return the voxel size that nnU-Net's spacing file tells, in the order x, y, z."""
    try:
        spacing = json.loads(beside.read_text("utf-8-sig"))["spacing"]
        if len(spacing) != 3 or not all(type(size) in (int, float) for size in spacing):
            raise ValueError(spacing)
    except (ValueError, LookupError, TypeError) as error:
        raise ImageFileError(
            f'{path} has a spacing file {beside.name} that does not hold {{"spacing": [z, y, x]}} in mm: correct it.'
        ) from error
    return spacing[::-1]


def _check_unit(path: Path, unit: str) -> None:
    if unit.strip().lower() not in _MM_NAMES:
        raise ImageFileError(f"{path} gives lengths in {unit.strip()}: convert its header to mm.")


def _tells_nothing(path: Path, wanted: str) -> ImageFileError:
    return ImageFileError(f"{path} does not tell how large its voxels are (no {wanted}): correct its header.")


def _shown(sizes: Sequence[float]) -> str:
    return f"({', '.join(f'{size:.6g}' if size % 1 else f'{size:.1f}' for size in sizes)})"
