"""Whether an image file holds all voxels that its header says: the libraries make up the rest, or never end."""

import gzip
import math
import re
import struct
import zlib
from contextlib import suppress
from pathlib import Path

from acnn_nnunet.files.headers import (
    GIPL_HEADER_BYTES,
    TIFF_ENDINGS,
    ImageFileError,
    read_gipl_header,
    read_metaimage_header,
    read_nrrd_header,
)

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
_GIPL_BYTES = {7: 1, 8: 1, 15: 2, 16: 2, 31: 4, 32: 4, 64: 4, 65: 8}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
# None, CCITT (1 bit), LZW, deflate, JBIG, PackBits, LZMA, PNG and Zstandard keep every value.
_LOSSLESS = frozenset({1, 2, 3, 4, 5, 8, 9, 32773, 32946, 34661, 34715, 34925, 34926, 34933, 50000})
_DEFLATE_AT_BEST = 1032  # times that deflate makes bytes fewer
_ANY_AT_BEST = 100_000  # LZMA and Zstandard pack empty slices far better than deflate


def gzip_size(path: Path) -> int:
    """Return how many bytes a gzip file holds, by reading it to its end, where the checksum stands."""
    buffer = bytearray(1 << 20)
    try:
        with gzip.open(path) as file:
            return sum(iter(lambda: file.readinto(buffer), 0))
    except gzip.BadGzipFile as error:
        if path.read_bytes()[:2] == b"\x1f\x8b":
            raise OSError(f"it is damaged: {error}") from error
        raise OSError(f"it is not compressed: call it {path.name[:-3]}") from error
    except (EOFError, zlib.error) as error:
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
    compressed = fields.get("CompressedData", "False")[:1] in _YES
    data, start = _metaimage_voxels(path, fields, start, compressed=compressed)
    count = math.prod(shape) * int(fields.get("ElementNumberOfChannels", "1"))
    if fields.get("BinaryData", "True")[:1] not in _YES:
        _check_text(_bytes(data, start), count, item, fields["ElementType"].removeprefix("MET_"))
    elif compressed:
        size = int(fields.get("CompressedDataSize", "0")) or None  # ITK reads no further
        _check_deflated(_bytes(data, start)[:size], count * item)
    else:
        _check_size(data.stat().st_size - start, count * item)


def _metaimage_voxels(path: Path, fields: dict[str, str], start: int, *, compressed: bool) -> tuple[Path, int]:
    """Return the file that holds the voxels, and the byte at which they begin; the last ones of a file count as 0."""
    named, skipped = fields.get("ElementDataFile", ""), int(fields.get("HeaderSize", "0"))
    if skipped < -1:
        raise OSError(f"its HeaderSize is {skipped}")
    if named.upper() == "LOCAL":
        if skipped:
            raise OSError("it has a HeaderSize and voxels in the same file")
        if named != "LOCAL" and compressed:
            raise OSError(f"its ElementDataFile is {named}, not LOCAL, so that ITK does not unpack it")
        return path, start
    if named.split()[:1] == ["LIST"] or "%" in named:
        raise ImageFileError(f"{path} has its voxels in several files ({named}): save them as one file.")
    if skipped and compressed:
        raise OSError("it has a HeaderSize and compressed voxels")
    return _data_file(path, named), max(0, skipped)


def check_nrrd(path: Path) -> None:
    """Raise OSError if the size is none, or too few voxels follow the header; ImageFileError for bzip2."""
    fields, start = read_nrrd_header(path)
    shape = _shape(fields["sizes"], int(fields.get("dimension", "3")))
    for name, allowed in (("byte skip", r"-1|\d+"), ("line skip", r"\d+")):
        skip = fields.get(name, fields.get(name.replace(" ", ""), "0"))
        if not re.fullmatch(allowed, skip):
            raise OSError(f"its {name} is {skip}")
    kind, encoding = fields.get("type", "").lower(), fields.get("encoding", "").lower()
    if encoding in ("bz2", "bzip2"):
        raise ImageFileError(f"{path} is packed with bzip2, which ITK cannot read: save it with the encoding gzip.")
    item, data, named = _NRRD_BYTES.get(kind), path, fields.get("data file", fields.get("datafile"))
    if named is not None:
        if named.split()[:1] == ["LIST"] or "%" in named:
            return  # ITK checks each of several files
        data, start = _data_file(path, named), 0
    if item is None:
        return
    count = math.prod(shape)
    if encoding == "raw":
        _check_size(data.stat().st_size - start, count * item)
    elif "line skip" in fields:
        return
    elif encoding in ("gz", "gzip"):
        _check_deflated(_bytes(data, start), count * item, gzipped=True)
    elif encoding in ("txt", "text", "ascii"):
        _check_text(_bytes(data, start), count, item, kind)


def check_gipl(path: Path) -> None:
    """Raise OSError if the type is unknown or too few voxels follow the header: ITK makes up the rest."""
    shape, kind, _ = read_gipl_header(path)
    if kind not in _GIPL_BYTES:
        raise OSError(f"its type is {kind}")
    _check_size(path.stat().st_size - GIPL_HEADER_BYTES, math.prod(shape) * _GIPL_BYTES[kind])


def check_bmp(path: Path) -> None:
    """Raise ImageFileError for 2 or 4 bits a pixel, whose bytes are read as if they were pixels."""
    content = _bytes(path, 0)
    if not content.startswith(b"BM") or len(content) < 30:
        raise OSError("it has no BMP header")
    (bits,) = struct.unpack("<H", content[28:30])
    if bits in (2, 4):
        raise ImageFileError(f"{path} has {bits} bits a pixel, which are not read as labels: save it with 8 bits.")


def check_png(path: Path) -> None:
    """Raise OSError if it has fewer lines than it says, ImageFileError for 2 or 4 bits, which are read as 0 to 255."""
    content = _bytes(path, 0)
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or len(content) < 33:
        raise OSError("it has no PNG header")
    width, height, depth, colour, method, filtering, interlaced = struct.unpack(">2I5B", content[16:29])
    if method or filtering or interlaced > 1:
        raise OSError("it is packed in a way that PNG does not know")
    if colour == 4:
        raise ImageFileError(f"{path} has an alpha channel: save it as grey values alone.")
    if colour == 0 and depth in (2, 4):
        raise ImageFileError(f"{path} has {depth} bits a pixel, which are read as 0 to 255: save it with 8 or 16 bits.")
    position, parts = 33, []
    while position + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[position : position + 8])
        if kind == b"IDAT":
            parts.append(content[position + 8 : position + 8 + length])
        position += 12 + length
        _check_size(len(content), position - 4)  # its last checksum is of no use
        if kind == b"IEND":
            break
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
            wanted = page.nbytes * page.bitspersample // (8 * page.dtype.itemsize)
            _check_size(sum(page.databytecounts) * at_best, wanted)
            _check_size(size, max(map(sum, zip(page.dataoffsets, page.databytecounts, strict=False)), default=0))
        if not file.is_bigtiff:
            last = file.pages[-1]
            file.filehandle.seek(last.offset)
            (tags,) = struct.unpack(file.byteorder + "H", file.filehandle.read(2))
            file.filehandle.seek(last.offset + 2 + 12 * tags)
            if struct.unpack(file.byteorder + "I", file.filehandle.read(4)) != (0,):
                raise OSError(f"it ends after {len(file.pages)} pages, although another one should follow")


def check_lossless(path: Path) -> None:
    """Raise ImageFileError for a TIFF whose compression may change values: those between two labels are labels too.

    What is absent or no TIFF is left to the reader's own words.
    """
    if not path.name.lower().endswith(TIFF_ENDINGS):
        return
    import tifffile

    compression = None
    with suppress(tifffile.TiffFileError, OSError, ValueError, struct.error), tifffile.TiffFile(path) as file:
        compression = next((page.compression for page in file.pages if page.compression not in _LOSSLESS), None)
    if compression is not None:
        raise ImageFileError(
            f"{path} is compressed by {getattr(compression, 'name', compression)}, which may change labels: save the "
            "label map uncompressed, or with LZW or deflate."
        )


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


def _data_file(path: Path, named: str) -> Path:
    """Return the file that a header names."""
    data = path.parent / named
    if not data.is_file():
        raise ImageFileError(f"{path} has its voxels in {data}, which is not there: put the two files together.")
    return data


def _check_text(content: bytes, count: int, item: int, kind: str) -> None:
    """Raise OSError unless a text holds so many numbers of a type: ITK cuts fractions off, and digits too many."""
    words = content.split()[:count]
    if len(words) < count:
        raise OSError(f"it ends after {len(words)} of {count} numbers")
    kind = kind.lower()
    if kind in ("float", "double"):
        return
    bits = 8 * item
    low, high = (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    wrong = [word for word in words if not re.fullmatch(rb"[+-]?\d{1,20}", word) or not low <= int(word) <= high]
    if wrong:
        raise OSError(f"it holds {wrong[0].decode('latin-1')}, although its type is {kind}")


def _bytes(path: Path, start: int) -> bytes:
    return path.read_bytes()[start:]


def _check_deflated(content: bytes, wanted: int, *, gzipped: bool = False) -> None:
    _check_size(len(content) * _DEFLATE_AT_BEST, wanted)
    unpack = zlib.decompressobj(31 if gzipped else 15)
    found = len(unpack.decompress(content, wanted)) if wanted else 0
    _check_size(found, wanted)
    while wanted and not unpack.eof:  # to the checksum
        if not unpack.decompress(unpack.unconsumed_tail, 1 << 20) and not unpack.eof:
            raise OSError("it is damaged or cut off: its compressed voxels have no end")


def _check_size(found: int, wanted: int) -> None:
    if found < wanted:
        raise OSError(f"it ends after {found} of {wanted} bytes")
