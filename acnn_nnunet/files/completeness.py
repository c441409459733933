"""Whether an image file holds all voxels that its header says: the libraries make up the rest, or never end."""

import gzip
import math
import struct
import zlib
from pathlib import Path

from acnn_nnunet.files.headers import ImageFileError, read_metaimage_header, read_nrrd_header

_METAIMAGE_BYTES = {
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG", "MET_FLOAT"), 4),
    **dict.fromkeys(("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"), 8),
}
_YES = ("T", "t", "1")
_NRRD_BYTES = {
    **dict.fromkeys(("char", "uchar", "int8", "uint8", "unsigned char", "signed char", "int8_t", "uint8_t"), 1),
    **dict.fromkeys(("short", "ushort", "int16", "uint16", "unsigned short", "int16_t", "uint16_t"), 2),
    **dict.fromkeys(("int", "uint", "int32", "uint32", "unsigned int", "int32_t", "uint32_t", "float"), 4),
    **dict.fromkeys(("longlong", "ulonglong", "int64", "uint64", "int64_t", "uint64_t", "double"), 8),
}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_DEFLATE_AT_BEST = 1032  # times that deflate makes bytes fewer
_ANY_AT_BEST = 100_000  # LZMA and Zstandard pack empty slices far better than deflate


def gzip_size(path: Path) -> int:
    """Return how many bytes a gzip file holds, by reading it to its end, where the checksum stands."""
    buffer = bytearray(1 << 20)
    try:
        with gzip.open(path) as file:
            return sum(iter(lambda: file.readinto(buffer), 0))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise OSError(f"it is damaged or cut off: {error}") from error


def check_metaimage(path: Path) -> None:
    """Raise OSError if the size, type or byte order is none, or too few voxels follow the header."""
    fields, start = read_metaimage_header(path)
    shape = _shape(fields["DimSize"], int(fields.get("NDims", "3")))
    item = _METAIMAGE_BYTES.get(fields.get("ElementType", ""))
    if item is None:
        raise OSError(f"its ElementType is {fields.get('ElementType')}")
    orders = {fields[name].lower()[:1] for name in ("ElementByteOrderMSB", "BinaryDataByteOrderMSB") if name in fields}
    if len(orders) > 1:
        raise OSError("ElementByteOrderMSB and BinaryDataByteOrderMSB differ")
    for name, plain in (("ElementToIntensityFunctionSlope", 1), ("ElementToIntensityFunctionOffset", 0)):
        if float(fields.get(name, plain)) != plain:
            raise OSError(f"its {name} is {fields[name]}, which nnU-Net ignores")
    for name in ("Offset", "Position", "Origin", "TransformMatrix", "Rotation", "Orientation"):
        _floats(fields.get(name, ""), name)
    if fields.get("ElementDataFile", "").upper() != "LOCAL":
        return
    if fields.get("HeaderSize", "0") != "0":
        raise OSError("it has a HeaderSize and voxels in the same file")
    if fields.get("BinaryData", "True")[:1] not in _YES:
        return
    wanted = math.prod(shape) * item * int(fields.get("ElementNumberOfChannels", "1"))
    found = path.stat().st_size - start
    if fields.get("CompressedData", "False")[:1] in _YES:
        _check_deflated(_bytes(path, start), wanted)
    else:
        _check_size(found, wanted)


def check_nrrd(path: Path) -> None:
    """Raise OSError if the size is none, or too few voxels follow the header."""
    fields, start = read_nrrd_header(path)
    shape = _shape(fields["sizes"], int(fields.get("dimension", "3")))
    item = _NRRD_BYTES.get(fields.get("type", "").lower())
    if item is None or "data file" in fields or "datafile" in fields:
        return
    wanted, encoding = math.prod(shape) * item, fields.get("encoding", "").lower()
    if encoding == "raw":
        _check_size(path.stat().st_size - start, wanted)
    elif encoding in ("gz", "gzip") and "line skip" not in fields:
        _check_deflated(_bytes(path, start), wanted, gzipped=True)


def check_png(path: Path) -> None:
    """Raise OSError if it has fewer lines than it says, ImageFileError for 2 or 4 bits, which are read as 0 to 255."""
    content = _bytes(path, 0)
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or len(content) < 33:
        raise OSError("it has no PNG header")
    width, height, depth, colour, method, filtering, interlaced = struct.unpack(">2I5B", content[16:29])
    if method or filtering or interlaced > 1:
        raise OSError("it is packed in a way that PNG does not know")
    if colour == 0 and depth in (2, 4):
        raise ImageFileError(f"{path} has {depth} bits a pixel, which are read as 0 to 255: save it with 8 or 16 bits.")
    position, parts = 33, []
    while position + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[position : position + 8])
        if kind == b"IDAT":
            parts.append(content[position + 8 : position + 8 + length])
        position += 12 + length
    bits = depth * {2: 3, 4: 2, 6: 4}.get(colour, 1)
    wanted = 0
    for x, y, dx, dy in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = max(0, -((x - width) // dx)), max(0, -((y - height) // dy))
        wanted += rows * (1 + math.ceil(columns * bits / 8)) if columns else 0
    _check_deflated(b"".join(parts), wanted)


def check_tiff(path: Path) -> None:
    """Raise OSError if the pages are larger than the file can hold, or one that should follow cannot be found."""
    import tifffile

    size = path.stat().st_size
    with tifffile.TiffFile(path) as file:
        for page in file.pages:
            at_best = 1 if page.compression == 1 else _ANY_AT_BEST
            _check_size(sum(page.databytecounts) * at_best, page.nbytes)
            _check_size(size, max(map(sum, zip(page.dataoffsets, page.databytecounts, strict=False)), default=0))
        if not file.is_bigtiff:
            last = file.pages[-1]
            file.filehandle.seek(last.offset)
            (tags,) = struct.unpack(file.byteorder + "H", file.filehandle.read(2))
            file.filehandle.seek(last.offset + 2 + 12 * tags)
            if struct.unpack(file.byteorder + "I", file.filehandle.read(4)) != (0,):
                raise OSError(f"it ends after {len(file.pages)} pages, although another one should follow")


def _shape(words: str, num_axes: int) -> list[int]:
    if not all(word.isdecimal() and int(word) for word in words.split()) or len(words.split()) != num_axes:
        raise OSError(f"its size is {words} where it has {num_axes} axes")
    return [int(word) for word in words.split()]


def _floats(words: str, name: str) -> None:
    try:
        finite = all(map(math.isfinite, map(float, words.split())))
    except ValueError:
        finite = False
    if not finite:
        raise OSError(f"its {name} is {words}")


def _bytes(path: Path, start: int) -> bytes:
    return path.read_bytes()[start:]


def _check_deflated(content: bytes, wanted: int, *, gzipped: bool = False) -> None:
    _check_size(len(content) * _DEFLATE_AT_BEST, wanted)
    unpack = zlib.decompressobj(31 if gzipped else 15)
    found = len(unpack.decompress(content, wanted)) if wanted else 0
    _check_size(found, wanted)


def _check_size(found: int, wanted: int) -> None:
    if found < wanted:
        raise OSError(f"it ends after {found} of {wanted} bytes")
