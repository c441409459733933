"""Image files with one or two words of their headers changed at random, from a seed."""

import gzip
import json
import math
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np

SHAPE = (2, 3, 4)
SIZES_MM = (5.0, 2.0, 1.5)  # of the files before they are changed, in array order
LABELS = np.random.default_rng(0).integers(0, 6, SHAPE)
_NUMBERS = (0.0, -5.0, math.nan, math.inf, -math.inf, 0.5, 2.0, 1e-30, 1e30, 1e-6)
_NIFTI_FIELDS = {  # offset and format
    **{f"pixdim{axis}": (76 + 4 * axis, "f") for axis in range(5)},
    **{f"dim{axis}": (40 + 2 * axis, "h") for axis in range(6)},
    **{f"srow{index}": (280 + 4 * index, "f") for index in range(12)},
    **{name: (256 + 4 * index, "f") for index, name in enumerate(("b", "c", "d", "x", "y", "z"))},
    "sizeof_hdr": (0, "i"), "datatype": (70, "h"), "bitpix": (72, "h"), "vox_offset": (108, "f"),
    "scl_slope": (112, "f"), "scl_inter": (116, "f"), "xyzt_units": (123, "B"), "qform_code": (252, "h"),
    "sform_code": (254, "h"), "extension": (348, "B"), "intent": (68, "h"), "slice_code": (122, "B"),
}  # fmt: skip
_NIFTI_WORDS = {
    "f": _NUMBERS,
    "h": (0, 1, 2, 3, 4, 5, 8, 16, 64, 128, 256, 512, 768, 1024, -1, 32767),
    "B": (0, 1, 2, 3, 4, 10, 18, 255),
    "i": (0, 540, 347, -1),
}
_OFFSETS = (0.0, 348.0, 320.0, 352.0, 353.0, 368.0, 352.5, -352.0, 1e9, math.nan)
_TEXT_NUMBERS = ("0", "-5", "nan", "inf", "2", "1,5", "0.5", "1e-30", "", "x")
_METAIMAGE_LINES = (
    "ElementSpacing = 1.5 2 {}", "ElementSize = 1.5 2 {}", "ElementSpacing = 1.5 2", "ElementSpacing = 1.5 2 5 1",
    "Spacing = 1 1 {}", "DimSize = 4 3 {}", "DimSize = 4 3", "DimSize = 3 4 2", "DimSize = 4 3 2 1", "NDims = {}",
    "NDims = 4", "NDims = 1", "Offset = 1 2 {}", "TransformMatrix = 1 0 0 0 1 0 0 0 {}",
    "TransformMatrix = 1 0 0 0 1 0 0 0.6 0.8", "TransformMatrix = 0 1 0 -1 0 0 0 0 1", "ElementType = MET_SHORT",
    "ElementType = MET_UCHAR", "ElementType = MET_FLOAT", "ElementType = MET_{}", "ElementType = MET_INT",
    "ElementByteOrderMSB = True", "BinaryDataByteOrderMSB = True", "BinaryData = False", "CompressedData = True",
    "HeaderSize = 5", "HeaderSize = {}", "ElementNumberOfChannels = {}", "DistanceUnits = cm", "DistanceUnits = mm",
    "ElementToIntensityFunctionSlope = 2", "ElementToIntensityFunctionOffset = 3", "Comment = {}", "ID = 3",
    "elementspacing = 3 3 3",
)  # fmt: skip
_NRRD_LINES = (
    "spacings: 1.5 2 {}", "spacings: 1.5 2", "spacings: 9 9 9", "sizes: 4 3 {}", "sizes: 3 4 2", "sizes: 4 3",
    "dimension: {}", "dimension: 4", "space directions: (1.5,0,0) (0,2,0) (0,0,{})",
    "space directions: (1.5,0,0) (0,2,0) (0,3,4)", "space directions: (1.5,0,0) (0,2,0) none",
    "space directions: (0,1.5,0) (2,0,0) (0,0,5)", "space: RAS", "space: left-posterior-superior", "space: scanner-xyz",
    "space dimension: 3", "type: uchar", "type: short", "type: float", "type: {}", "type: int", "endian: big",
    "endian: {}", "encoding: gzip", "encoding: ascii", "encoding: hex", "encoding: {}", "byte skip: 2",
    "byte skip: -1", "byte skip: {}", "line skip: 1", 'units: "cm" "cm" "cm"', 'space units: "mm" "mm" "mm"',
    "kinds: domain domain domain", "kinds: vector domain domain", "spacings:=9 9 9", "sizes:=9 9 9",
    "# spacings: 9 9 9",
    "axis mins: 0 0 0", "thicknesses: nan nan 7", "data file: other.raw", "content: {}", "Spacings: 1.5 2 7",
    "old min: 3", "centerings: cell cell node",
)  # fmt: skip


def mutated_nifti(random: Random, path: Path) -> Path:
    """Write a NIfTI file of 3 axes with 0 to 2 header words changed, cut off or with flipped bytes now and then."""
    order, dtype = random.choice("<<<>"), random.choice(("u1", "u1", "i2", "u2", "f4", "i4"))
    content = bytearray(nifti_bytes(LABELS, SIZES_MM, dtype=order + dtype, forms=random.choice(("", "s", "q", "sq"))))
    for _ in range(random.choice((0, 1, 1, 1, 2, 2))):
        name = random.choice(list(_NIFTI_FIELDS))
        at, kind = _NIFTI_FIELDS[name]
        word = random.choice(_OFFSETS if name == "vox_offset" else _NIFTI_WORDS[kind])
        struct.pack_into(order + kind, content, at, word)
    return _written(random, path, content, header=352)


def nifti_bytes(values: np.ndarray, sizes_mm=SIZES_MM, *, dtype: str = "<u1", forms: str = "s", **words) -> bytes:
    """Return a NIfTI file with the header's words as given: `scl_slope=2.0` and the like."""
    order = dtype[0]
    content = bytearray(352)
    code = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "u2": 512}[dtype[1:]]
    struct.pack_into(order + "i", content, 0, 348)
    struct.pack_into(order + "8h", content, 40, values.ndim, *values.shape[::-1], *[1] * (7 - values.ndim))
    struct.pack_into(order + "2h", content, 70, code, 8 * int(dtype[2]))
    sizes = [*sizes_mm[::-1], *[1.0] * (7 - len(sizes_mm))]
    struct.pack_into(order + "8f", content, 76, 1.0, *sizes)
    struct.pack_into(order + "3f", content, 108, 352.0, 1.0, 0.0)
    content[123] = 2
    struct.pack_into(order + "2h", content, 252, "q" in forms, "s" in forms)
    for axis in range(3):
        struct.pack_into(order + "f", content, 280 + 20 * axis, sizes[axis])
    content[344:348] = b"n+1\0"
    for name, word in words.items():
        struct.pack_into(order + _NIFTI_FIELDS[name][1], content, _NIFTI_FIELDS[name][0], word)
    return bytes(content) + values.astype(dtype).tobytes()


def mutated_nifti2(random: Random, path: Path) -> Path:
    """Write a NIfTI-2 file with 0 to 2 header words changed."""
    order = random.choice("<<>")
    content = bytearray(544)
    struct.pack_into(order + "i8s2h8q", content, 0, 540, b"n+2\0\r\n\x1a\n", 4, 16, 3, 4, 3, 2, 1, 1, 1, 1)
    struct.pack_into(order + "8dq2d", content, 104, 1, *SIZES_MM[::-1], 1, 1, 1, 1, 544, 1, 0)
    struct.pack_into(order + "2i", content, 344, 0, random.choice((0, 1)))
    for axis in range(3):
        struct.pack_into(order + "d", content, 400 + 40 * axis, SIZES_MM[2 - axis])
    struct.pack_into(order + "i", content, 500, 2)
    for _ in range(random.choice((0, 1, 1, 2))):
        kind, ats, words = random.choice((
            ("d", (104, 112, 120, 128), _NUMBERS), ("q", (16, 24, 32, 40, 48), (0, 1, 2, 3, 4, 5, -1, 2**40)),
            ("q", (168,), (0, 352, 540, 543, 544, 545, 560, -544, 2**40)), ("d", (176, 184), _NUMBERS),
            ("d", range(400, 496, 8), _NUMBERS), ("d", range(352, 400, 8), _NUMBERS), ("i", (344, 348), (0, 1, 2, -1)),
            ("i", (500,), (0, 1, 2, 3, 10, 18)), ("h", (12,), (0, 2, 4, 8, 16, 64, 512, 768, 1536)),
        ))  # fmt: skip
        struct.pack_into(order + kind, content, random.choice(ats), random.choice(words))
    return _written(random, path, bytes(content) + LABELS.astype(order + "i2").tobytes(), header=544)


def mutated_gipl(random: Random, path: Path) -> Path:
    """Write a GIPL file with 0 to 2 header words changed."""
    content = bytearray(256)
    struct.pack_into(">5H4f", content, 0, 4, 3, 2, 1, 15, *SIZES_MM[::-1], 1)
    struct.pack_into(">I", content, 252, 719555000)
    for _ in range(random.choice((0, 1, 1, 2))):
        if random.random() < 0.5:
            struct.pack_into(">f", content, random.choice((10, 14, 18, 22)), random.choice(_NUMBERS))
        else:
            word = random.choice((0, 1, 2, 3, 4, 8, 16, 64, 9999))
            struct.pack_into(">H", content, random.choice((0, 2, 4, 8)), word)
    return _written(random, path, bytes(content) + LABELS.astype(">i2").tobytes(), header=26)


def mutated_detached(random: Random, path: Path) -> Path:
    """Write a MetaImage or NRRD header, and its voxels next to it: too few, too many, packed, elsewhere or nowhere."""
    whole = LABELS.astype("<i2").tobytes()
    data = random.choice((*[whole] * 6, whole[:-4], whole + whole, b"12345" + whole, whole + b"12", b""))
    packing = random.choice(("raw", "raw", "gzip" if path.suffix == ".nrrd" else "zlib"))
    data = {"raw": bytes, "gzip": gzip.compress, "zlib": zlib.compress}[packing](data)
    skip = random.choice((*[0] * 8, 5, 2, -1, -3))
    named = random.choice((*["d.raw"] * 8, "./d.raw", "gone.raw", "LIST\nd.raw", "%d.raw 1 1 1"))
    (path.parent / "d.raw").write_bytes(data[: -random.choice((*[0] * 7, 3)) or None])
    if path.suffix == ".nrrd":
        lines = ["NRRD0004", "type: short", "dimension: 3", "sizes: 4 3 2", "endian: little", "spacings: 1.5 2 5"]
        lines += [f"encoding: {random.choice(('raw', 'gzip', 'bzip2')) if random.random() < 0.2 else packing}"]
        lines += [f"byte skip: {skip}"] if skip else []
        lines += [f"data file: {named}"]
    else:
        lines = ["NDims = 3", "DimSize = 4 3 2", "ElementType = MET_SHORT", "ElementSpacing = 1.5 2 5"]
        lines += ["CompressedData = True"] if packing != "raw" or random.random() < 0.1 else []
        lines += [
            f"CompressedDataSize = {random.choice((0, 5, len(data), len(data), len(data) + 9))}"
        ] * random.randrange(2)
        lines += [f"HeaderSize = {skip}"] if skip else []
        lines += [f"ElementDataFile = {named}"]
    path.write_text("\n".join([*lines, "", ""]))
    return path


def mutated_metaimage(random: Random, path: Path) -> Path:
    """Write a MetaImage file with 0 to 2 lines of its header changed, doubled or left out."""
    lines = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "CompressedData = False", "DimSize = 4 3 2",
             "ElementType = MET_SHORT", "ElementSpacing = 1.5 2 5", "ElementByteOrderMSB = False"]  # fmt: skip
    lines = _changed(random, lines, _METAIMAGE_LINES, separator=" =")
    content = "\n".join([*lines, "ElementDataFile = LOCAL", ""]).encode() + LABELS.astype("<i2").tobytes()
    return _written(random, path, content, header=len(content) - 2 * LABELS.size)


def mutated_nrrd(random: Random, path: Path) -> Path:
    """Write a NRRD file with 0 to 2 lines of its header changed, doubled or left out."""
    lines = ["type: short", "dimension: 3", "sizes: 4 3 2", "encoding: raw", "endian: little"]
    lines += random.choice((
        ["spacings: 1.5 2 5"], ["space: left-posterior-superior", "space directions: (1.5,0,0) (0,2,0) (0,0,5)"]
    ))  # fmt: skip
    lines = _changed(random, lines, _NRRD_LINES, separator=":")
    data = LABELS.astype("<i2").tobytes()
    content = "\n".join(["NRRD0004", *lines, "", ""]).encode()
    return _written(random, path, content + data, header=len(content))


def mutated_png(random: Random, path: Path) -> Path:
    """Write a PNG with another size, depth, colour type or pHYs, or with a chunk more."""
    depth = random.choice((8, 8, 16, 1, 2, 4))
    labels = LABELS[0].astype(">u2" if depth == 16 else np.uint8) & min((1 << depth) - 1, 7)
    if depth < 8:
        bits = labels[..., None] >> np.arange(depth)[::-1] & 1
        rows = np.packbits(bits.reshape(3, -1).astype(np.uint8), axis=1)
    else:
        rows = labels
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = [4, 3, depth, 0, 0, 0, 0]
    if random.random() < 0.5:
        index = random.randrange(7)
        header[index] = random.choice(
            (0, 1, 2, 3, 4, 6, 8, 16, 5, 100_000, 2**31 - 1) if index < 2 else (1, 2, 3, 4, 6)
        )
    chunks = [(b"IHDR", struct.pack(">2I5B", *header)), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    extra = [(b"pHYs", struct.pack(">2IB", random.choice((0, 1, 2835, 2**31)), 2835, random.choice((0, 1, 7)))),
             (b"tRNS", b"\0\1"), (b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\0"), (b"abCd", b"x")]  # fmt: skip
    if random.random() < 0.5:
        chunks.insert(1, random.choice(extra))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return _written(random, path, content, header=len(content))


def mutated_tiff(random: Random, path: Path) -> Path:
    """Write a TIFF of two or three pages with changed tags, and a spacing file next to it now and then."""
    order = random.choice("<>")
    tags = {256: (4, 4), 257: (4, 3), 258: (3, 8), 259: (3, 1), 262: (3, 1), 273: (4, 0), 277: (3, 1), 278: (4, 3),
            279: (4, 12), 282: (5, 72), 283: (5, 72), 296: (3, 2)}  # fmt: skip
    if random.random() < 0.6:
        tag = random.choice([tag for tag in tags if tag != 259])  # a wrong codec has no checksum to notice it by
        word = random.choice((0, 1, 2, 3, 4, 5, 8, 16, 1000, 65535))
        tags[tag] = (tags[tag][0], word)
    num_pages = random.choice((1, 2, 2, 2, 3, 4))
    content = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8))
    for page in range(num_pages):
        length = 2 + 12 * len(tags) + 4
        data = len(content) + length
        content += struct.pack(order + "H", len(tags))
        for tag, (kind, word) in tags.items():
            value = {273: data, 282: data + 12, 283: data + 12}.get(tag, word)
            packed = struct.pack(order + "H", value).ljust(4, b"\0") if kind == 3 else struct.pack(order + "I", value)
            content += struct.pack(order + "HHI", tag, kind, 1) + packed
        content += struct.pack(order + "I", 0 if page == num_pages - 1 else data + 20)
        content += LABELS[page % 2].astype("u1").tobytes() + struct.pack(order + "II", tags[282][1], 1)
    beside = random.choice((*[spacing_file()] * 8, "", '{"spacing": [5, 2]}', '{"spacing": [5, 2, 0]}', "{}", "[",
                            '{"spacing": [5, 2, "1.5"]}', '{"spacing": [5, 2, -1.5]}', '{"spacing": [5, 2, NaN]}',
                            '{"spacing": 5}', '{"spacing": [5, 2, 1e999]}', '{"spacing": [5, 2, true]}'))  # fmt: skip
    path.with_suffix(".json").unlink(missing_ok=True)
    if beside:
        path.with_suffix(".json").write_text(beside)
    return _written(random, path, content, header=0)


def spacing_file(sizes_mm=SIZES_MM) -> str:
    """Return what nnU-Net writes next to a TIFF."""
    return json.dumps({"spacing": sizes_mm})


def _changed(random: Random, lines: list[str], others: tuple[str, ...], *, separator: str) -> list[str]:
    lines = list(lines)
    for _ in range(random.choice((0, 1, 1, 1, 2, 2))):
        if random.random() < 0.15:
            lines.pop(random.randrange(len(lines)))
            continue
        other = random.choice(others).format(random.choice(_TEXT_NUMBERS))
        name = other.partition(separator)[0]
        places = [index for index, line in enumerate(lines) if line.partition(separator)[0] == name]
        if places and random.random() < 0.85:
            lines[places[0]] = other
        else:
            lines.insert(random.randrange(len(lines) // 2, len(lines) + 1), other)
    return lines


def _written(random: Random, path: Path, content: bytes | bytearray, *, header: int) -> Path:
    content = bytearray(content)
    chance = random.random()
    if chance < 0.05:
        content = content[: random.randrange(len(content))]
    elif chance < 0.12 and header:
        content[random.randrange(min(header, len(content)))] = random.randrange(256)
    path.write_bytes(gzip.compress(bytes(content), mtime=0) if path.name.lower().endswith(".gz") else bytes(content))
    return path
