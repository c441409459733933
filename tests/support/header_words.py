"""What an image file says in its own words, read by hand with struct, regular expressions and zlib alone."""

import gzip
import json
import math
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

NIFTI_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
NIFTI_WORDS = {  # of NIfTI-1 and NIfTI-2: where the words lie
    b"n+1\0": {"dim": (40, "8h"), "type": (70, "h"), "pixdim": (76, "8f"), "offset": (108, "f"), "scale": (112, "2f"),
                "units": (123, "B"), "codes": (252, "2h"), "quaternion": (256, "6f"), "rows": (280, "12f")},
    b"n+2\0": {"dim": (16, "8q"), "type": (12, "h"), "pixdim": (104, "8d"), "offset": (168, "q"), "scale": (176, "2d"),
                "units": (500, "i"), "codes": (344, "2i"), "quaternion": (352, "6d"), "rows": (400, "12d")},
}  # fmt: skip
METAIMAGE_TYPES = {"UCHAR": "u1", "CHAR": "i1", "USHORT": "u2", "SHORT": "i2", "INT": "i4", "FLOAT": "f4"}
METAIMAGE_TYPES |= {"UINT": "u4", "DOUBLE": "f8"}
GIPL_TYPES = {7: "i1", 8: "u1", 15: "i2", 16: "u2", 31: "u4", 32: "i4", 64: "f4", 65: "f8"}
NRRD_TYPES = {"uchar": "u1", "uint8": "u1", "short": "i2", "ushort": "u2", "int": "i4", "float": "f4", "double": "f8"}


class UntoldError(Exception):
    """The file does not tell its numbers, or tells two: a reader must refuse it."""


@dataclass(frozen=True)
class Words:
    """The numbers of a file.

    Attributes:
        values: float64, in array order.
        sizes_mm: voxel size in array order; None where the format has none.
    """

    values: np.ndarray
    sizes_mm: tuple[float, ...] | None


def words_of(path: Path) -> Words:
    """Return the numbers of a file.

    Raises:
        UntoldError: if it tells none, or two that differ.
    """
    name = path.name.lower()
    content = path.read_bytes()
    if name.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise UntoldError from error
    beside = partial(_read_beside, path.parent)
    reader = {"nii": _nifti, "mha": partial(_metaimage, read_beside=beside), "nrrd": partial(_nrrd, read_beside=beside),
              "gipl": _gipl, "png": _png, "tif": _tiff}  # fmt: skip
    try:
        values, sizes = reader[name.removesuffix(".gz").rpartition(".")[2]](content)
        if name.endswith(".tif") and values.ndim == 3:
            sizes = _spacing_beside(path.with_suffix(".json"))
    except (struct.error, ValueError, LookupError, OSError, zlib.error, ArithmeticError, TypeError, EOFError) as error:
        raise UntoldError from error
    if sizes is not None and not all(0 < size < math.inf for size in sizes):
        raise UntoldError(sizes)
    if not values.size or not np.isfinite(values).all():
        raise UntoldError("values")
    return Words(values, sizes)


def _read_beside(folder: Path, name: str) -> bytes:
    if name.startswith("LIST") or "%" in name:
        raise UntoldError("several files")
    return (folder / name).read_bytes()


def _array(content: bytes, offset: int, dtype: str, shape: list[int]) -> np.ndarray:
    if min(shape) <= 0 or offset < 0 or len(content) < offset + math.prod(shape) * np.dtype(dtype).itemsize:
        raise UntoldError("too short")
    return np.frombuffer(content, dtype, math.prod(shape), offset).reshape(shape).astype(float)


def _right_angles(columns: np.ndarray) -> bool:
    return np.allclose(columns.T @ columns, np.eye(columns.shape[1]), rtol=0, atol=1e-3)


def _nifti(content: bytes) -> tuple[np.ndarray, tuple[float, ...]]:
    magic = content[344:348] if content[344:348] == b"n+1\0" else content[4:8]
    where = NIFTI_WORDS[magic]
    order = "<" if 1 <= struct.unpack_from("<h", content, where["dim"][0])[0] <= 7 else ">"
    words = {name: struct.unpack_from(order + kind, content, at) for name, (at, kind) in where.items()}
    (num_axes, *dim), (_, *pixdim) = words["dim"], words["pixdim"]
    (datatype,), (offset,), (units,), (slope, intercept) = (words[key] for key in ("type", "offset", "units", "scale"))
    (qform_code, sform_code), quaternion = words["codes"], words["quaternion"]
    rows = np.array(words["rows"]).reshape(3, 4)
    if not 1 <= num_axes <= 7:
        raise UntoldError("axes")
    shape = dim[:num_axes][::-1]
    while len(shape) > 3 and shape[0] == 1:
        shape = shape[1:]
    offset = int(offset)
    if offset < (352 if magic == b"n+1\0" else 544):
        raise UntoldError("voxels in the header")
    values = _array(content, offset, order + NIFTI_TYPES[datatype], shape)
    if slope and math.isfinite(slope):
        values = values * slope + intercept
    axes = min(num_axes, 3)
    sizes = pixdim[:axes]
    if qform_code > 0 and not np.isfinite(quaternion).all():
        raise UntoldError("qform")
    if sform_code > 0:
        lengths = np.sqrt((rows[:, :axes] ** 2).sum(axis=0))
        if not np.isfinite(rows).all() or not lengths.all() or not _right_angles(rows[:, :axes] / lengths):
            raise UntoldError("sform")
        if not all(0 < size < math.inf for size in sizes):
            sizes = lengths.tolist()
        elif not np.allclose(sizes, lengths, rtol=1e-3, atol=0):
            raise UntoldError("two sizes")
    factor = {1: 1000.0, 3: 0.001}.get(units & 7, 1.0)
    return values, tuple(factor * size for size in reversed(sizes))


def _metaimage(content: bytes, read_beside: Callable[[str], bytes]) -> tuple[np.ndarray, tuple[float, ...]]:
    text, found, data = content.partition(b"ElementDataFile = ")
    named, _, data = data.partition(b"\n")
    if not found:
        raise UntoldError("no data")
    if named != b"LOCAL":
        data = read_beside(named.decode())
    fields = dict(re.findall(r"^([A-Za-z]+) ?[=:] ?(.*?)\r?$", text.decode("latin-1"), flags=re.MULTILINE))
    num_axes = int(fields["NDims"])
    size, spacing = fields["DimSize"].split(), (fields.get("ElementSpacing") or fields["ElementSize"]).split()
    directions = fields.get("TransformMatrix", fields.get("Rotation", fields.get("Orientation")))
    if len(size) != num_axes or len(spacing) != num_axes or fields.get("ElementNumberOfChannels", "1") != "1":
        raise UntoldError("axes")
    if fields.get("DistanceUnits", "mm") not in ("mm", "?"):
        raise UntoldError("unit")
    if directions and not _right_angles(np.array(directions.split(), float).reshape(num_axes, num_axes)):
        raise UntoldError("sheared")
    shape = [int(word) for word in reversed(size)]
    skip = int(fields.get("HeaderSize", "0"))
    if fields.get("CompressedData", "False")[0] == "T":
        if skip:
            raise UntoldError("skip")
        data = zlib.decompress(data[: int(fields.get("CompressedDataSize", "0")) or None])
    big = fields.get("ElementByteOrderMSB", fields.get("BinaryDataByteOrderMSB", "False"))[0] == "T"
    dtype = (">" if big else "<") + METAIMAGE_TYPES[fields["ElementType"].removeprefix("MET_")]
    if fields.get("BinaryData", "True")[0] == "T":
        if skip == -1:
            skip = len(data) - math.prod(shape) * np.dtype(dtype).itemsize
        values = _array(data, skip, dtype, shape)
    else:
        values = np.array(data.split()[: math.prod(shape)], float).reshape(shape)
    slope = float(fields.get("ElementToIntensityFunctionSlope", "1"))
    values = values * slope + float(fields.get("ElementToIntensityFunctionOffset", "0"))
    return values, tuple(float(word) for word in reversed(spacing))


def _nrrd(content: bytes, read_beside: Callable[[str], bytes]) -> tuple[np.ndarray, tuple[float, ...]]:
    text, found, data = content.replace(b"\r\n", b"\n").partition(b"\n\n")
    if not found or not re.match(rb"NRRD000[1-5]\n", text):
        raise UntoldError("no NRRD")
    pairs = re.findall(r"^([a-z ]+): ?(?!=)(.*)$", text.decode("latin-1").lower(), flags=re.MULTILINE)
    pairs = [(name, value) for name, value in pairs]
    fields = dict(pairs)
    num_axes = int(fields["dimension"])
    size = fields["sizes"].split()
    if len(size) != num_axes or len(pairs) != len(fields):
        raise UntoldError("fields")
    if named := fields.get("data file", fields.get("datafile")):
        data = read_beside(named)
    if any(unit != "mm" for key in ("units", "space units") for unit in re.findall('"(.*?)"', fields.get(key, ""))):
        raise UntoldError("unit")
    if any(kind not in ("domain", "space") for kind in fields.get("kinds", "").split()):
        raise UntoldError("channels")
    spacings = [float(word) for word in fields["spacings"].split()] if "spacings" in fields else None
    if "space directions" in fields:
        vectors = re.findall(r"\(.*?\)|none", fields["space directions"])
        columns = np.array([[float(word) for word in vector[1:-1].split(",")] for vector in vectors]).T
        lengths = np.sqrt((columns**2).sum(axis=0))
        if not np.isfinite(lengths).all():
            raise UntoldError("not finite")
        if not lengths.all() or not _right_angles(columns / lengths):
            raise UntoldError("sheared")
        if spacings is not None and not np.allclose(spacings, lengths, rtol=1e-3):
            raise UntoldError("two sizes")
        spacings = lengths.tolist()
    if spacings is None or len(spacings) != num_axes:
        raise UntoldError("no size")
    shape = [int(word) for word in reversed(size)]
    dtype = NRRD_TYPES[fields["type"]]
    if dtype[1] != "1" and fields["encoding"] in ("raw", "gzip"):
        dtype = {"little": "<", "big": ">"}[fields["endian"]] + dtype
    skip = int(fields.get("byte skip", fields.get("byteskip", "0")))
    if skip != -1 or fields["encoding"] != "raw":  # -1 counts from the end of the file, wherever its lines end
        for _ in range(int(fields.get("line skip", fields.get("lineskip", "0")))):
            data = data.partition(b"\n")[2]
    if fields["encoding"] in ("gzip", "gz"):
        data = gzip.decompress(data)
    if fields["encoding"] in ("raw", "gzip", "gz"):
        if skip == -1:
            skip = len(data) - math.prod(shape) * np.dtype(dtype).itemsize
        values = _array(data, skip, dtype, shape)
    elif fields["encoding"] in ("ascii", "text", "txt"):
        values = np.array(data.split()[: math.prod(shape)], float).reshape(shape)
    else:
        raise UntoldError("encoding")
    return values, tuple(reversed(spacings))


def _gipl(content: bytes) -> tuple[np.ndarray, tuple[float, ...]]:
    *size, _, kind = struct.unpack(">5H", content[:10])
    sizes = struct.unpack(">3f", content[10:22])
    (magic,) = struct.unpack(">I", content[252:256])
    if magic not in (719555000, 4026526128, 815):
        raise UntoldError("no GIPL")
    return _array(content, 256, ">" + GIPL_TYPES[kind], size[::-1]), sizes[::-1]


def _png(content: bytes) -> tuple[np.ndarray, None]:
    position, parts, header = 8, b"", None
    while position + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[position : position + 8])
        chunk = content[position + 8 : position + 8 + length]
        if len(chunk) != length:
            raise UntoldError("cut off")
        if kind == b"IHDR":
            header = struct.unpack(">2I5B", chunk)
        parts += chunk if kind == b"IDAT" else b""
        position += 12 + length
    width, height, depth, colour, _, _, interlaced = header or ()
    lines = np.frombuffer(zlib.decompress(parts), np.uint8)
    wanted = -(-width * depth // 8) + 1
    if colour or interlaced or depth not in (1, 2, 4, 8, 16) or lines.size < wanted * height:
        raise UntoldError("no grey values")
    lines = _unfiltered(lines[: wanted * height].reshape(height, wanted), max(1, depth // 8))
    if depth == 16:
        return lines[:, 1:].copy().view(">u2").astype(float), None
    bits = np.unpackbits(lines[:, 1:], axis=1)[:, : width * depth].reshape(height, width, depth)
    return (bits @ (1 << np.arange(depth)[::-1])).astype(float), None


def _unfiltered(lines: np.ndarray, step: int) -> np.ndarray:
    lines = lines.astype(int)
    above = np.zeros(lines.shape[1], int)
    for line in lines:
        for at in range(1, lines.shape[1]):
            a, b, c = (line[at - step], above[at], above[at - step]) if at > step else (0, above[at], 0)
            nearest = min((a, b, c), key=lambda value: abs(a + b - c - value))
            line[at] = (line[at] + [0, a, b, (a + b) // 2, nearest][line[0]]) % 256
        above = line
    return lines.astype(np.uint8)


def _tiff(content: bytes) -> tuple[np.ndarray, None]:
    order = {b"II*\0": "<", b"MM\0*": ">"}[content[:4]]
    (position,) = struct.unpack(order + "I", content[4:8])
    pages = []
    while position and len(pages) < 100:
        (count,) = struct.unpack(order + "H", content[position : position + 2])
        tags = dict(_tiff_tag(content, position + 2 + 12 * index, order) for index in range(count))
        pages.append(_tiff_page(content, tags, order))
        (position,) = struct.unpack(order + "I", content[position + 2 + 12 * count : position + 6 + 12 * count])
    stacked = np.stack(pages)
    return (stacked if len(pages) > 1 else stacked[0]), None


def _tiff_tag(content: bytes, position: int, order: str) -> tuple[int, tuple | None]:
    """Return a tag and its whole numbers; None for numbers of another kind, or that lie outside the file."""
    tag, kind, count = struct.unpack(order + "HHI", content[position : position + 8])
    letter = {1: "B", 3: "H", 4: "I"}.get(kind)
    if letter is None:
        return tag, None
    size = count * struct.calcsize("=" + letter)
    at = position + 8 if size <= 4 else struct.unpack(order + "I", content[position + 8 : position + 12])[0]
    return tag, struct.unpack(f"{order}{count}{letter}", content[at : at + size]) if at + size <= len(content) else None


def _tiff_page(content: bytes, tags: dict[int, tuple | None], order: str) -> np.ndarray:
    width, height, depth = tags[256][0], tags[257][0], tags[258][0]
    if tags.get(259, (1,))[0] != 1 or tags.get(277, (1,))[0] != 1 or (not 1 <= depth <= 8 and depth != 16):
        raise UntoldError("not plain")
    data = b"".join(content[at : at + size] for at, size in zip(tags[273], tags[279], strict=True))
    if depth == 16:
        return _array(data, 0, order + "u2", [height, width])
    rows = _array(data, 0, "u1", [height, -(-width * depth // 8)]).astype(np.uint8)
    bits = np.unpackbits(rows, axis=1)[:, : width * depth].reshape(height, width, depth)
    return (bits @ (1 << np.arange(depth)[::-1])).astype(float)


def _spacing_beside(path: Path) -> tuple[float, ...]:
    """Return the sizes of the spacing file; 1 mm, as the host assumes, where there is none."""
    if not path.is_file():
        return (1.0, 1.0, 1.0)
    sizes = json.loads(path.read_text())["spacing"]
    if len(sizes) != 3 or not all(type(size) in (int, float) for size in sizes):
        raise UntoldError("spacing file")
    return tuple(sizes)
