"""Files that hold less than their headers say, or words that the libraries do not obey: every size by hand."""

import bz2
import gzip
import struct
import zlib
from contextlib import nullcontext

import numpy as np
import pytest
import tifffile
from PIL import Image

from acnn_nnunet.files.completeness import (
    check_bmp,
    check_gipl,
    check_lossless,
    check_metaimage,
    check_nrrd,
    check_png,
    check_tiff,
    gzip_size,
)
from acnn_nnunet.files.headers import ImageFileError

METAIMAGE = "NDims = 3\n{}DimSize = {}\nElementType = {}\nElementSpacing = 1 1 1\nElementDataFile = LOCAL\n"


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write_file


def metaimage(write, data, *, lines="", size="2 3 4", kind="MET_SHORT"):
    return write("a.mha", METAIMAGE.format(lines, size, kind).encode() + data)


def test_metaimage_that_is_whole(write):
    check_metaimage(metaimage(write, bytes(48)))
    check_metaimage(metaimage(write, zlib.compress(bytes(48)), lines="CompressedData = True\n"))


@pytest.mark.parametrize(
    ("lines", "size", "kind", "message"),
    [
        ("", "2 3 4", "MET_INT", "ends after 48 of 96 bytes"),
        ("", "2 3 4", "MET_inf", "its ElementType is MET_inf"),  # ITK never ends
        ("", "2 3", "MET_SHORT", "its size is 2 3 where it has 3 axes"),
        ("", "2 3 0", "MET_SHORT", "its size is 2 3 0"),
        ("", "2 3 1e1", "MET_SHORT", "its size is 2 3 1e1"),
        ("CompressedData = True\n", "2 3 4", "MET_SHORT", "decompressing"),  # the voxels are not compressed
        ("HeaderSize = 5\n", "2 3 4", "MET_SHORT", "it has a HeaderSize and voxels in the same file"),
        ("TransformMatrix = 1 0 0 0 1 0 0 0 1,0\n", "2 3 4", "MET_SHORT", "its TransformMatrix is 1 0 0"),
        ("ElementToIntensityFunctionSlope = 2\n", "2 3 4", "MET_SHORT", "Slope is 2, which nnU-Net ignores"),
        ("CompressedDataSize = 5\nCompressedData = True\n", "2 3 4", "MET_SHORT", "decompressing"),
        ("BinaryData = False\n", "2 3 4", "MET_SHORT", "ends after 1 of 24 numbers"),
        ("ElementByteOrderMSB = True\nBinaryDataByteOrderMSB = False\n", "2 3 4", "MET_SHORT", "MSB differ"),
    ],
)
def test_metaimage_that_is_not(write, lines, size, kind, message):
    path = metaimage(write, bytes(48), lines=lines, size=size, kind=kind)
    with pytest.raises((OSError, zlib.error), match=message):
        check_metaimage(path)


@pytest.mark.parametrize(
    ("encoding", "data", "message"),
    [
        ("raw", bytes(48), None),
        ("gzip", gzip.compress(bytes(48), mtime=0), None),
        ("raw", bytes(47), "ends after 47 of 48 bytes"),
        ("gzip", gzip.compress(bytes(40), mtime=0), "ends after 40 of 48 bytes"),
        ("gzip", bytes(48), "header"),  # teem reads it as if it were raw
        ("gzip", gzip.compress(bytes(48), mtime=0)[:-3], "compressed voxels have no end"),
        ("ascii", b"1 " * 24, None),
        ("ascii", b"1 " * 23, "ends after 23 of 24 numbers"),
        ("ascii", b"1 " * 23 + b"1.7", r"holds 1\.7, although its type is short"),  # teem makes it 1
        ("ascii", b"1 " * 23 + b"32768", "holds 32768, although its type is short"),  # teem makes it -32768
        ("bzip2", bz2.compress(bytes(48)), r"a\.nrrd is packed with bzip2, which ITK cannot read: save it"),
        ("raw\nbyte skip: -1\nline skip: 1", bytes(48), None),  # from the end, wherever the lines end
        ("raw\nbyte skip: -5", bytes(48), "its byte skip is -5"),  # teem takes the end of the header for voxels
        ("raw\nbyte skip: 0.5", bytes(48), r"its byte skip is 0\.5"),
        ("raw\nline skip: -1", bytes(48), "its line skip is -1"),
    ],
)
def test_nrrd(write, encoding, data, message):
    header = f"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 3 4\nencoding: {encoding}\nspacings: 1 1 1\n\n"
    path = write("a.nrrd", header.encode() + data)
    if message is None:
        check_nrrd(path)
    else:
        with pytest.raises((OSError, zlib.error, ImageFileError), match=message):
            check_nrrd(path)


@pytest.mark.parametrize(
    ("lines", "named", "data", "message"),
    [
        ("", "d.raw", bytes(48), None),
        ("", "./d.raw", bytes(48), None),
        ("HeaderSize = 5\n", "d.raw", bytes(53), None),
        ("HeaderSize = -1\n", "d.raw", bytes(53), None),  # the last 48 bytes
        ("CompressedData = True\n", "d.raw", zlib.compress(bytes(48)), None),
        ("", "d.raw", bytes(47), "ends after 47 of 48 bytes"),
        ("HeaderSize = 5\n", "d.raw", bytes(52), "ends after 47 of 48 bytes"),
        ("HeaderSize = -2\n", "d.raw", bytes(48), "its HeaderSize is -2"),
        # ITK fills up what follows with what lies in memory:
        ("CompressedData = True\n", "d.raw", zlib.compress(bytes(40)), "ends after 40 of 48 bytes"),
        ("CompressedData = True\n", "d.raw", b"", "ends after 0 of 48 bytes"),
        ("CompressedData = True\n", "d.raw", zlib.compress(bytes(48))[:-2], "compressed voxels have no end"),
        ("CompressedData = True\nHeaderSize = 5\n", "d.raw", bytes(53), "a HeaderSize and compressed voxels"),
        ("CompressedData = True\n", "local", b"", "its ElementDataFile is local, not LOCAL"),
        ("", "gone.raw", b"", r"a\.mhd has its voxels in .*gone\.raw, which is not there: put the two files together"),
        ("", "LIST\nd.raw", bytes(48), r"a\.mhd has its voxels in several files \(LIST\): save them as one file"),
        ("", "%d.raw 1 2 1", bytes(48), r"has its voxels in several files \(%d\.raw 1 2 1\): save them"),
    ],
)
def test_metaimage_with_voxels_in_another_file(write, lines, named, data, message):
    write("d.raw", data)
    header = METAIMAGE.replace("LOCAL", named).format(lines, "2 3 4", "MET_SHORT")
    path = write("a.mhd", header.encode())
    if message is None:
        check_metaimage(path)
    else:
        with pytest.raises((OSError, ImageFileError), match=message):
            check_metaimage(path)


@pytest.mark.parametrize("field", ["data file", "datafile"])
def test_nrrd_with_voxels_in_another_file(write, field):
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 2 3 4\nencoding: raw\nspacings: 1 1 1\n{}: {}\n"
    path = write("a.nrrd", header.format(field, "d.raw").encode())
    write("d.raw", bytes(48))
    check_nrrd(path)
    write("d.raw", bytes(47))
    with pytest.raises(OSError, match="ends after 47 of 48 bytes"):
        check_nrrd(path)
    path = write("a.nrrd", header.format(field, "gone.raw").encode())
    with pytest.raises(ImageFileError, match=r"a\.nrrd has its voxels in .*gone\.raw, which is not there"):
        check_nrrd(path)


def gipl(size, kind, data):
    return struct.pack(">5H4f", *size, 1, kind, 1, 1, 1, 1).ljust(256, b"\0") + data


def test_gipl(write):
    check_gipl(write("a.gipl", gipl((2, 3, 4), 15, bytes(48))))  # 24 voxels of 2 bytes
    with pytest.raises(OSError, match="ends after 47 of 48 bytes"):  # ITK fills up with what lies in memory
        check_gipl(write("a.gipl", gipl((2, 3, 4), 15, bytes(47))))
    with pytest.raises(OSError, match="its type is 99"):
        check_gipl(write("a.gipl", gipl((2, 3, 4), 99, bytes(48))))


def bmp(bits):
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, 4, 3, 1, bits, 0, 0, 0, 0, 0, 0)


def test_bmp_of_a_few_bits(write):
    check_bmp(write("a.bmp", bmp(8)))
    with pytest.raises(ImageFileError, match=r"a\.bmp has 4 bits a pixel, which are not read as labels"):
        check_bmp(write("a.bmp", bmp(4)))
    with pytest.raises(OSError, match="it has no BMP header"):
        check_bmp(write("a.bmp", b"BM"))


def png(width, height, depth, lines, *, interlaced=0):
    chunks = [
        (b"IHDR", struct.pack(">2I5B", width, height, depth, 0, 0, 0, interlaced)),
        (b"IDAT", zlib.compress(lines)),
    ]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_png(write):
    check_png(write("a.png", png(4, 3, 8, bytes(15))))  # 3 lines of 1 + 4 bytes
    with pytest.raises(OSError, match="ends after 15 of 20 bytes"):  # Pillow makes up a fourth line
        check_png(write("a.png", png(4, 4, 8, bytes(15))))
    # Interlaced, a 4 × 3 image has pass 1 (1 × 1), 4 (1 × 1), 5 (2 × 1), 6 (2 × 2) and 7 (4 × 1): 2 + 2 + 3 + 6 + 5.
    check_png(write("a.png", png(4, 3, 8, bytes(18), interlaced=1)))
    with pytest.raises(OSError, match="ends after 17 of 18 bytes"):
        check_png(write("a.png", png(4, 3, 8, bytes(17), interlaced=1)))
    with pytest.raises(OSError, match="ends after"):  # its last bytes are missing
        check_png(write("a.png", png(4, 3, 8, bytes(15))[:-6]))
    check_png(write("a.png", png(4, 3, 8, bytes(15)) + bytes(4) + b"IEND\xae\x42\x60\x82" + b"what follows the end"))
    with pytest.raises(OSError, match="no PNG header"):
        check_png(write("a.png", b"text"))


@pytest.mark.parametrize("depth", [2, 4])
def test_labels_of_a_few_bits_would_be_read_as_0_to_255(write, depth):
    with pytest.raises(ImageFileError, match=rf"a\.png has {depth} bits a pixel, which are read as 0 to 255: save it"):
        check_png(write("a.png", png(4, 3, depth, bytes(15))))


def test_tiff(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((2, 3, 4), np.uint8), photometric="minisblack", metadata=None)
    check_tiff(path)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[1].tags["StripByteCounts"].overwrite(9999)
        start = file.pages[1].dataoffsets[0]
    with pytest.raises(OSError, match=f"ends after {path.stat().st_size} of {start + 9999} bytes"):
        check_tiff(path)


def test_png_with_an_alpha_channel(write):
    content = bytearray(png(4, 3, 8, bytes(15)))
    content[25] = 4
    with pytest.raises(ImageFileError, match=r"a\.png has an alpha channel: save it as grey values alone"):
        check_png(write("a.png", content))


def test_a_tiff_of_bits(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((2, 3, 12), bool), photometric="minisblack", metadata=None)
    check_tiff(path)  # 12 bits in 2 bytes: 6 bytes a page


def test_a_tiff_whose_next_page_cannot_be_found(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((3, 4), np.uint8), metadata=None)
    with tifffile.TiffFile(path) as file:
        next_page = file.pages[0].offset + 2 + 12 * len(file.pages[0].tags)
    content = bytearray(path.read_bytes())
    content[next_page : next_page + 4] = struct.pack("<I", 99_999)
    path.write_bytes(content)
    with pytest.raises(OSError, match="ends after 1 pages, although another one should follow"):
        check_tiff(path)


def test_a_tiff_that_claims_far_more_than_it_holds(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((3, 4), np.uint8), metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["ImageWidth"].overwrite(60_000)
        file.pages[0].tags["ImageLength"].overwrite(60_000)
    with pytest.raises(OSError, match="ends after 12 of 3600000000 bytes"):
        check_tiff(path)


@pytest.mark.parametrize(("compression", "refused"), [("jpeg", True), ("tiff_deflate", False), ("packbits", False)])
def test_a_tiff_that_may_have_changed_values(compression, refused, tmp_path):
    path = tmp_path / "a.TIF"
    Image.fromarray(np.eye(16, dtype=np.uint8)).save(path, format="TIFF", compression=compression)
    found = pytest.raises(ImageFileError, match=r"a\.TIF is compressed by JPEG, which may change labels")
    with found if refused else nullcontext():
        check_lossless(path)


@pytest.mark.parametrize(("name", "content"), [("a.tif", b""), ("a.tif", b"II*\0\xff"), ("a.png", b""), (None, b"")])
def test_what_is_no_tiff_is_left_to_its_reader(name, content, write, tmp_path):
    check_lossless(tmp_path / "absent.tif" if name is None else write(name, content))


def test_how_much_a_gzip_file_holds(write):
    assert gzip_size(write("a.gz", gzip.compress(bytes(1000)))) == 1000
    with pytest.raises(OSError, match=r"it is not compressed: call it a\.nii"):
        gzip_size(write("a.nii.gz", bytes(1000)))
    with pytest.raises(OSError, match="damaged or cut off"):
        gzip_size(write("a.gz", gzip.compress(bytes(1000))[:-3]))
