"""Headers that do not tell a size first; every number is the header's own."""

import gzip
import struct

import nibabel
import numpy as np
import pytest

from acnn_nnunet.files.headers import (
    ImageFileError,
    are_sizes,
    at_right_angles,
    is_nifti,
    read_gipl_header,
    read_nifti_header,
    spacing_file,
    told_spacing_mm,
)

METAIMAGE = "ObjectType = Image\nNDims = 3\n{}DimSize = 4 5 6\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
NRRD = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 5 6\nencoding: raw\n{}\nspacings: 9 9 9\n"


def write_nifti(path, *, pixdim=(1.5, 2.0, 5.0), sform=None, unit=2, shape=(4, 5, 6), kind=nibabel.Nifti1Image):
    """A file with these words in its header, sensible or not."""
    nibabel.save(kind(np.zeros(shape, np.uint8), None), path)
    content = bytearray(path.read_bytes())
    content[80 : 80 + 4 * len(pixdim)] = struct.pack(f"<{len(pixdim)}f", *pixdim)
    content[123] = unit
    content[254:256] = struct.pack("<h", sform is not None)
    if sform is not None:
        content[280:328] = struct.pack("<12f", *np.asarray(sform, float)[:3].ravel())
    path.write_bytes(content)
    return path


@pytest.fixture
def nifti(tmp_path):
    return tmp_path / "a.nii"


def test_pixdim_without_a_form(nifti):
    assert told_spacing_mm(write_nifti(nifti)) == (5, 2, 1.5)


@pytest.mark.parametrize("bad", [0.0, -5.0, np.nan, np.inf])
def test_a_size_that_is_none_is_the_sforms_or_refused(nifti, bad):
    write_nifti(nifti, pixdim=(1.5, 2.0, bad), sform=np.diag([1.5, 2, 5, 1]))
    assert told_spacing_mm(nifti) == (5, 2, 1.5)

    write_nifti(nifti, pixdim=(1.5, 2.0, bad))
    with pytest.raises(ImageFileError, match=r"a\.nii says that its voxels measure \(1\.5, 2\.0, .*\) mm: correct"):
        told_spacing_mm(nifti)


def test_an_sform_without_a_size_is_refused(nifti):
    write_nifti(nifti, sform=np.diag([1.5, 2, 0, 1]))
    with pytest.raises(ImageFileError, match="says that its voxels measure"):
        told_spacing_mm(nifti)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("column", [2, 3])  # a direction, and the place of the first voxel
def test_an_sform_that_is_not_finite_is_refused(nifti, bad, column):
    sform = np.diag([1.5, 2, 5, 1])
    sform[2, column] = bad
    write_nifti(nifti, sform=sform)
    with pytest.raises(ImageFileError, match=r"a\.nii does not tell where its voxels lie"):
        told_spacing_mm(nifti)


def test_two_sizes_are_refused_with_both(nifti):
    write_nifti(nifti, sform=np.diag([1.5, 2, 4, 1]))
    with pytest.raises(ImageFileError, match=r"5\.0\) mm \(pixdim\) and \(1\.5, 2\.0, 4\.0\) mm \(sform\)"):
        told_spacing_mm(nifti)


def test_gantry_tilt_lengthens_the_sforms_column_but_not_the_slice(nifti):
    tilted = np.diag([1.5, 2, 5, 1])
    tilted[1, 2] = 2.0  # the column is √29 = 5.39 long
    assert told_spacing_mm(write_nifti(nifti, sform=tilted)) == (5, 2, 1.5)


@pytest.mark.parametrize(("unit", "factor"), [(1, 1000), (2, 1), (3, 0.001), (0, 1), (10, 1)])  # 10: mm and seconds
def test_units_of_nifti(nifti, unit, factor):
    assert told_spacing_mm(write_nifti(nifti, unit=unit)) == pytest.approx((5 * factor, 2 * factor, 1.5 * factor))


def test_a_flat_file_and_nifti_2(nifti):
    assert told_spacing_mm(write_nifti(nifti, shape=(4, 5), pixdim=(1.5, 2.0))) == (2, 1.5)
    nibabel.save(nibabel.Nifti2Image(np.zeros((4, 5, 6), np.uint8), np.diag([1.5, 2, 5, 1])), nifti)
    assert told_spacing_mm(nifti) == (5, 2, 1.5)


def test_other_formats_tell_nothing_here(tmp_path):
    assert told_spacing_mm(tmp_path / "a.png") is None
    assert told_spacing_mm(tmp_path / "a.tif") is None


@pytest.mark.parametrize(
    ("lines", "sizes"),
    [
        ("ElementSpacing = 1.5 2 5\n", (5, 2, 1.5)),
        ("ElementSpacing: 1.5 2 5\r\n", (5, 2, 1.5)),
        ("ElementSize = 1.5 2 5\n", (5, 2, 1.5)),
        ("ElementSize = 1 1 1\nElementSpacing = 1.5 2 5\nDistanceUnits = mm\n", (5, 2, 1.5)),
    ],
)
def test_metaimage(tmp_path, lines, sizes):
    (tmp_path / "a.mha").write_bytes(METAIMAGE.format(lines).encode() + bytes(120))
    assert told_spacing_mm(tmp_path / "a.mha") == sizes


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", r"a\.mha does not tell how large its voxels are \(no ElementSpacing\)"),
        ("Spacing = 1.5 2 5\n", "no ElementSpacing"),
        ("ElementSpacing = 1.5 2 0\n", r"measure \(1\.5, 2\.0, 0\.0\) mm: correct its header"),
        ("ElementSpacing = 1.5 2 -5\n", r"measure \(1\.5, 2\.0, -5\.0\) mm"),
        ("ElementSpacing = 1.5 2\n", "has 2 voxel sizes, not one for each axis"),
        ("ElementSpacing = 1.5 2 5 1\n", "has 4 voxel sizes, not one for each axis"),
        ("ElementSpacing = 1,5 2 5\n", r"measure \(nan, 2\.0, 5\.0\) mm"),
        ("ElementSpacing = 1.5 2 5\nDistanceUnits = cm\n", r"a\.mha gives lengths in cm: convert its header to mm"),
    ],
)
def test_a_metaimage_that_itk_would_read_wrongly(tmp_path, lines, message):
    (tmp_path / "a.mha").write_bytes(METAIMAGE.format(lines).encode() + bytes(120))
    with pytest.raises(ImageFileError, match=message):
        told_spacing_mm(tmp_path / "a.mha")


@pytest.mark.parametrize(
    ("lines", "sizes"),
    [
        ("spacings: 1.5 2 5\n", (5, 2, 1.5)),
        ("space: RAS\nspace directions: (0,1.5,0) (2,0,0) (0,3,4)\n", (5, 2, 1.5)),  # 3, 4, 5 is a right triangle
        ('space: LPS\nspace directions: (1.5,0,0) (0,2,0) (0,0,5)\nspace units: "mm" "mm" "mm"\n', (5, 2, 1.5)),
    ],
)
def test_nrrd(tmp_path, lines, sizes):
    (tmp_path / "a.nrrd").write_bytes(NRRD.format(lines).encode())
    assert told_spacing_mm(tmp_path / "a.nrrd") == sizes


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", r"a\.nrrd does not tell how large its voxels are \(no spacings or space directions\)"),
        ("spacings:=1.5 2 5\n# spacings: 1.5 2 5\n", "does not tell how large"),  # a pair of the user's, a comment
        ("spacings: 1.5 2 nan\n", r"measure \(1\.5, 2\.0, nan\) mm"),
        ("spacings: 1.5 2 -5\n", r"measure \(1\.5, 2\.0, -5\.0\) mm"),
        ("space: LPS\nspace directions: (1.5,0,0) (0,2,0) none\n", "no size for every axis"),
        ('spacings: 1.5 2 5\nunits: "cm" "cm" "cm"\n', r"a\.nrrd gives lengths in cm"),
        ('space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace units: "m" "m" "m"\n', "gives lengths in m"),
    ],
)
def test_a_nrrd_that_itk_would_read_wrongly(tmp_path, lines, message):
    (tmp_path / "a.nrrd").write_bytes(NRRD.format(lines).encode())
    with pytest.raises(ImageFileError, match=message):
        told_spacing_mm(tmp_path / "a.nrrd")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.mhd", "a.nrrd"])
def test_text_is_no_header(tmp_path, name):
    (tmp_path / name).write_text("no image")
    with pytest.raises(OSError, match=r"header|gzip"):
        told_spacing_mm(tmp_path / name)


@pytest.mark.parametrize("beside", ["a_0000.json", "a.json"])
def test_a_tiff_has_the_size_of_its_spacing_file(tmp_path, beside):
    (tmp_path / beside).write_text('{"spacing": [5, 2, 1.5]}', encoding="utf-8-sig")
    assert spacing_file(tmp_path / "a_0000.tif") == tmp_path / beside
    assert told_spacing_mm(tmp_path / "a_0000.tif") == (5, 2, 1.5)


@pytest.mark.parametrize("content", ["", "{}", "[5, 2, 1.5]", '{"spacing": [5, 2]}', '{"spacing": [5, 2, true]}'])
def test_a_spacing_file_without_a_size_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ImageFileError, match=r"a\.tif has a spacing file a\.json that does not hold"):
        told_spacing_mm(tmp_path / "a.tif")


def test_small_questions(tmp_path):
    assert is_nifti(tmp_path / "a.NII.GZ")
    assert not is_nifti(tmp_path / "a.nii.png")
    assert are_sizes((0.1, 2))
    assert not any(are_sizes((1, bad)) for bad in (0, -1, np.nan, np.inf))
    assert at_right_angles((0.6, 0.8, 0.8, -0.6))
    assert not at_right_angles([[1, 0.1], [0, 1]])
    assert not at_right_angles([[2, 0], [0, 1]])


def test_a_header_is_read_as_the_file_has_it(nifti):
    write_nifti(nifti, pixdim=(-1.5, 0.0, 5.0))

    assert read_nifti_header(nifti)["pixdim"][1:4].tolist() == [-1.5, 0.0, 5.0]


@pytest.mark.parametrize("content", [b"", b"x" * 600])
def test_a_file_without_a_nifti_header(nifti, content):
    nifti.write_bytes(content)

    with pytest.raises(OSError, match=r"^it has no NIfTI header$"):
        read_nifti_header(nifti)


def test_no_sizes_are_sizes_and_one_that_is_none_spoils_them():
    assert are_sizes([])
    assert are_sizes([0.1, 3])
    assert not any(are_sizes([1.0, bad]) for bad in (0.0, -1.0, np.inf, np.nan))


def test_gipl(tmp_path):
    content = struct.pack(">5H4f", 4, 5, 6, 1, 15, 1.5, 2, 5, 1).ljust(256, b"\0")
    (tmp_path / "a.gipl").write_bytes(content)
    assert read_gipl_header(tmp_path / "a.gipl") == ((4, 5, 6), 15, (1.5, 2, 5))
    assert told_spacing_mm(tmp_path / "a.gipl") == (5, 2, 1.5)
    for bad in (0.0, -5.0, np.nan):
        (tmp_path / "a.gipl").write_bytes(content[:18] + struct.pack(">f", bad) + content[22:])
        with pytest.raises(
            ImageFileError, match=r"a\.gipl says that its voxels measure \(1\.5, 2\.0, .*\) mm: correct"
        ):
            told_spacing_mm(tmp_path / "a.gipl")
    (tmp_path / "a.gipl").write_bytes(content[:4] + bytes(2) + content[6:])
    with pytest.raises(OSError, match=r"its size is \(4, 5, 0\)"):
        read_gipl_header(tmp_path / "a.gipl")
    (tmp_path / "a.gipl").write_bytes(content[:-1])
    with pytest.raises(OSError, match="it has no GIPL header"):
        read_gipl_header(tmp_path / "a.gipl")


def test_what_passes_for_nifti_is_called_by_its_name(nifti):
    nibabel.save(nibabel.AnalyzeImage(np.zeros((4, 5, 6), np.int16), np.eye(4)), nifti.with_suffix(".img"))
    nifti.with_suffix(".hdr").rename(nifti)
    with pytest.raises(
        ImageFileError, match=r"a\.nii has a header of Analyze 7\.5, which tells no orientation: convert"
    ):
        read_nifti_header(nifti)
    nifti.write_bytes(gzip.compress(bytes(1000)))
    with pytest.raises(ImageFileError, match=r"a\.nii is compressed: call it a\.nii\.gz"):
        read_nifti_header(nifti)
