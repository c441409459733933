"""Files that cannot be trusted first, then what is read and written."""

import gzip
import os
import struct
import sys
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
from stack_files import OBLIQUE, image_of, read, write

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.headers import ImageFileError
from acnn_nnunet.files.volumes import (
    Volume,
    check_finite,
    check_labels,
    check_same_grid,
    check_whole,
    quiet,
    read_channels,
    read_series,
    read_volume,
    unreadable,
    write_volume,
)

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4) + 1


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.nii.gz"


def test_what_is_written_is_read(path):
    original = read_volume(write(image_of(VALUES, spacing=(0.5, 1.5, 7.0), direction=OBLIQUE), path))
    np.testing.assert_array_equal(original.values, VALUES)
    for name in ("b.nii.gz", "b.nii"):
        copy = path.with_name(name)
        write_volume(copy, original)
        again = read(copy)
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(again), VALUES)
        reference = read(path)
        for index in [(0, 0, 0), (3, 2, 1)]:
            assert again.TransformIndexToPhysicalPoint(index) == pytest.approx(
                reference.TransformIndexToPhysicalPoint(index), abs=1e-5
            )
    assert (copy.with_name("b.nii.gz")).read_bytes()[:2] == b"\x1f\x8b"
    assert {p.name for p in path.parent.iterdir()} == {"a.nii.gz", "b.nii", "b.nii.gz"}


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_every_type_is_read_as_float32(path, dtype):
    values = read_volume(write(image_of(VALUES.astype(dtype)), path), dtype=np.float32).values
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, VALUES)


def test_there_is_no_such_file(path):
    with pytest.raises(FileNotFoundError, match=r"a\.nii\.gz does not exist"):
        read_volume(path)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4, 5)])
def test_other_than_three_axes(path, shape):
    nibabel.save(nibabel.Nifti1Image(np.ones(shape, np.float32), np.eye(4)), path)
    with pytest.raises(ValueError, match=rf"a\.nii\.gz has {len(shape)} axes .* one volume of three axes"):
        read_volume(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_voxels_that_are_not_finite(path, bad):
    values = VALUES.copy()
    values[0, 0, :2] = bad
    nibabel.save(nibabel.Nifti1Image(values.T, np.eye(4)), path)
    with pytest.raises(ValueError, match=r"a\.nii\.gz has 2 voxels that are not finite"):
        read_volume(path)


@pytest.mark.parametrize("with_qform", [False, True])
def test_gantry_tilt(path, with_qform):
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    affine[1, 2] = 0.5  # each slice half a millimetre further along y
    image = nibabel.Nifti1Image(VALUES.T, affine)
    if with_qform:  # ITK would take this one and say nothing
        image.set_qform(np.diag([1.0, 1.0, 5.0, 1.0]), code=1)
    nibabel.save(image, path)
    with pytest.raises(ValueError, match=r"a\.nii\.gz has slices that are not stacked at right angles"):
        read_volume(path)


def test_rounded_cosines_are_no_tilt(path):
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    affine[:3, :3] = OBLIQUE.round(5) * [1, 1, 5]
    nibabel.save(nibabel.Nifti1Image(VALUES.T, affine), path)
    np.testing.assert_array_equal(read_volume(path).values, VALUES)


def test_a_file_that_is_cut_off(path):
    whole = write(image_of(np.random.default_rng(0).random((5, 6, 7))), path).read_bytes()
    for length in (len(whole) - 4, len(whole) // 2, 10, 0):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.nii\.gz cannot be read: is it damaged"):
            read_volume(path)
    plain = path.with_suffix("")
    plain.write_bytes(gzip.decompress(whole)[:-8])
    with pytest.raises(ValueError, match=r"a\.nii cannot be read: is it damaged"):
        read_volume(plain)


def test_a_text_file(path):
    path.with_suffix("").write_text("no image")
    with pytest.raises(ValueError, match=r"a\.nii cannot be read: is it damaged, or no NIfTI file"):
        read_volume(path.with_suffix(""))


def test_voxels_without_a_size(path):
    nibabel.save(nibabel.Nifti1Image(VALUES.T, np.eye(4)), path)
    raw = bytearray(gzip.decompress(path.read_bytes()))
    for row in (280, 296, 312):  # srow_x, srow_y and srow_z: the third column of the affine
        raw[row + 8 : row + 12] = np.float32(0).tobytes()
    path.write_bytes(gzip.compress(bytes(raw)))
    with pytest.raises(ValueError, match=r"a\.nii\.gz says that its voxels measure \(1.0, 1.0, 0.0\) mm"):
        read_volume(path)


def test_a_failed_write_leaves_the_previous_file(path, monkeypatch):
    before = write(image_of(VALUES), path).read_bytes()
    volume = read_volume(path)

    def full(image, name, compress):
        with open(name, "wb") as file:
            file.write(b"half")
        raise RuntimeError("No space left on device")

    monkeypatch.setattr(SimpleITK, "WriteImage", full)
    with pytest.raises(OSError, match=r"Could not write .*a\.nii\.gz \(No space left.*The previous file is kept"):
        write_volume(path, Volume(volume.values * 2, volume.geometry))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["a.nii.gz"]


def test_a_write_clears_away_what_a_killed_one_left(path):
    folder = path.with_name(".a.nii.gz.partial")
    folder.mkdir()
    (folder / "a.nii.gz").write_bytes(b"half")
    volume = read_volume(write(image_of(VALUES), path.with_name("b.nii.gz")))

    write_volume(path, volume)

    assert sorted(os.listdir(path.parent)) == ["a.nii.gz", "b.nii.gz"]
    np.testing.assert_array_equal(read_volume(path).values, VALUES)


@pytest.mark.parametrize("name", ["A.NII.GZ", "A.NII"])
def test_an_ending_in_upper_case_is_kept(path, name):
    original = read_volume(write(image_of(VALUES), path))
    path.unlink()
    write_volume(path.with_name(name), original)
    assert [each.name for each in path.parent.iterdir()] == [name]
    assert path.with_name(name).read_bytes().startswith(b"\x1f\x8b") == name.endswith("GZ")
    np.testing.assert_array_equal(read_volume(path.with_name(name)).values, VALUES)


def test_a_flat_fourth_axis_is_none(path):
    nibabel.save(nibabel.Nifti1Image(VALUES.T[..., None], np.diag([2.0, 3.0, 5.0, 1.0])), path)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.values, VALUES)
    assert volume.geometry.spacing_mm == (5, 3, 2)


@pytest.mark.parametrize("pixdim", [0.0, np.nan, -5.0, np.inf])
def test_the_sform_says_the_size_where_pixdim_says_none(path, pixdim):
    nibabel.save(nibabel.Nifti1Image(VALUES.T, np.diag([1.5, 1.5, 5.0, 1.0])), path)
    spoil(path, 88, pixdim)  # pixdim[3]
    volume = read_volume(path)
    assert volume.geometry.spacing_mm == (5, 1.5, 1.5)
    write_volume(path.with_name("b.nii.gz"), volume)
    assert read(path.with_name("b.nii.gz")).GetSpacing() == (1.5, 1.5, 5)


def test_a_header_that_itk_mends_says_nothing_on_the_terminal(path, capfd):
    nibabel.save(nibabel.Nifti1Image(VALUES.T, np.diag([1.5, 1.5, 5.0, 1.0])), path)
    spoil(path, 88, 0.0)
    read_volume(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_a_sheared_grid_of_another_format(tmp_path, name):
    lines = {
        "a.nrrd": "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nspace: LPS\n"
        "space directions: (1,0,0) (0,1,0) (0,0.6,0.8)\n\n",
        "a.mha": "NDims = 3\nBinaryData = True\nTransformMatrix = 1 0 0 0 1 0 0 0.6 0.8\nElementSpacing = 1 1 1\n"
        "DimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n",
    }
    (tmp_path / name).write_bytes(lines[name].encode() + bytes(8))
    with pytest.raises(ImageFileError, match=rf"{name} has slices that are not stacked at right angles"):
        read_volume(tmp_path / name)


def test_voxels_that_begin_inside_the_header(path):
    nibabel.save(nibabel.Nifti1Image(VALUES.T, np.eye(4)), path)
    spoil(path, 108, 320.0)  # vox_offset, which ITK ignores and nibabel follows
    with pytest.raises(ImageFileError, match=r"cannot be read: .*its voxels begin at byte 320, inside its header"):
        read_volume(path)


def test_words_that_itk_and_nibabel_read_in_two_ways(path):
    for at, word, message in (
        (108, struct.pack("<f", 0.0), "its voxels begin at byte 0, inside its header"),
        (42, struct.pack("<h", -4), r"its size is \(-4, 3, 2\)"),
        (344, b"ni1\0", "its header belongs to voxels in another file"),
    ):
        nibabel.save(nibabel.Nifti1Image(VALUES.T, np.eye(4)), path)
        raw = bytearray(gzip.decompress(path.read_bytes()))
        raw[at : at + len(word)] = word
        path.write_bytes(gzip.compress(bytes(raw)))
        with pytest.raises(ImageFileError, match=rf"a\.nii\.gz cannot be read: .*{message}"):
            read_volume(path)


def test_a_tiff_without_a_spacing_file(tmp_path):
    # ITK takes 1 mm from slice to slice, and the resolution of a print in the plane.
    tifffile.imwrite(tmp_path / "a.tif", VALUES, photometric="minisblack")
    with pytest.raises(ImageFileError, match=r'a\.tif does not tell .*: write \{"spacing": .* to .*a\.json'):
        read_volume(tmp_path / "a.tif")
    (tmp_path / "a.json").write_text('{"spacing": [5, 2, 1.5]}')
    assert read_volume(tmp_path / "a.tif").geometry.spacing_mm == (5, 2, 1.5)


def test_colours_are_no_volume(tmp_path):
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((2, 3, 4, 3)), isVector=True), str(tmp_path / "a.mha"))
    with pytest.raises(ImageFileError, match=r"a\.mha has 3 values a voxel \(colours or a vector\)"):
        read_volume(tmp_path / "a.mha")


def test_big_endian_voxels_are_the_machines_own(path):
    image = nibabel.Nifti1Image(VALUES.T.astype(">i2"), np.eye(4), nibabel.Nifti1Header(endianness=">"))
    image.set_data_dtype(np.int16)
    nibabel.save(image, path)
    values = read_volume(path).values
    np.testing.assert_array_equal(values, VALUES)
    assert values.dtype.isnative
    assert values.dtype == np.int16


def test_the_frames_of_a_series(path):
    frames = np.arange(48, dtype=np.int16).reshape(2, 2, 3, 4)
    nibabel.save(nibabel.Nifti1Image(frames.T, np.diag([1.5, 1.25, 10.0, 1.0])), path)
    first, second = read_series(path)
    np.testing.assert_array_equal(first.values, frames[0])
    np.testing.assert_array_equal(second.values, frames[1])
    assert second.geometry == read_volume(write_frame(path, second)).geometry
    assert second.geometry.spacing_mm == (10, 1.25, 1.5)
    with pytest.raises(ImageFileError, match=r"b\.nii\.gz has 3 axes \(2, 3, 4\): a series of volumes"):
        read_series(path.with_name("b.nii.gz"))


def test_voxels_in_a_file_of_their_own(tmp_path):
    volume = Volume(VALUES, read_volume(write(image_of(VALUES), tmp_path / "a.nii.gz")).geometry)
    write_volume(tmp_path / "a.mhd", volume)
    assert {each.name for each in tmp_path.iterdir()} == {"a.nii.gz", "a.mhd", "a.raw"}
    again = read_volume(tmp_path / "a.mhd")
    np.testing.assert_array_equal(again.values, VALUES)
    assert not again.geometry.differences(volume.geometry)


def test_label_values_and_type():
    check_labels(np.array([0, 3], np.uint8), "a", {0, 1, 3})
    with pytest.raises(ValueError, match="a is of type float64: labels must be integers"):
        check_labels(np.array([0.0]), "a", {0})
    with pytest.raises(ValueError, match=r"a has the labels 2, 3, 4, 5, 6, …; allowed are 0, 1$"):
        check_labels(np.arange(9), "a", {0, 1})


def test_the_same_grid():
    grid = Geometry((2, 3, 4), (5.0, 1.5, 1.5), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    check_same_grid(grid, "a", grid, "b")
    with pytest.raises(ValueError, match=r"a lies on another grid than b: size \(2, 3, 3\) against \(2, 3, 4\)$"):
        check_same_grid(replace(grid, size=(2, 3, 3)), "a", grid, "b")


def spoil(path, offset, value):
    """Write a float into a compressed header."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[offset : offset + 4] = np.float32(value).tobytes()
    path.write_bytes(gzip.compress(bytes(content)))


def write_frame(path, volume):
    write_volume(path.with_name("b.nii.gz"), volume)
    return path.with_name("b.nii.gz")


def test_a_plain_file_that_lacks_its_last_voxel(tmp_path):
    # 352 bytes of header, 24 voxels of 4 bytes.
    whole = write(image_of(VALUES), tmp_path / "a.nii")
    check_whole(whole)
    whole.write_bytes(whole.read_bytes()[:-4])

    with pytest.raises(OSError, match=r"^it ends after 444 of 448 bytes$"):
        check_whole(whole)


def test_a_gzip_file_of_any_kind_is_read_to_its_checksum(tmp_path):
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(b"text"))
    check_whole(packed)
    packed.write_bytes(packed.read_bytes()[:-1])

    with pytest.raises(OSError, match=r"^it is damaged or cut off: "):
        check_whole(packed)


def test_other_files_are_not_looked_into(tmp_path):
    (tmp_path / "a.jpg").write_text("no picture")

    assert check_whole(tmp_path / "a.jpg") is None
    check_finite(tmp_path / "a.bmp", None)


def check_file(path):
    check_finite(path, check_whole(path))


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_one_voxel_that_is_not_finite(path, bad):
    values = VALUES.copy()
    check_file(write(image_of(values), path))
    values[1, 2, 3] = bad

    with pytest.raises(OSError, match=r"^it holds voxels that are not finite$"):
        check_file(write(image_of(values), path))


def test_integers_are_finite(path):
    check_file(write(image_of(VALUES.astype(np.uint8)), path))


def test_the_terminal_is_quiet_and_as_before_afterwards(capsys):
    shown = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    with quiet():
        sys.stdout.write("hidden")
    sys.stdout.write("shown\n")

    assert capsys.readouterr().out == "shown\n"
    assert SimpleITK.ProcessObject.GetGlobalWarningDisplay() == shown


def test_an_error_of_many_lines_becomes_one_sentence(path):
    error = RuntimeError("Exception in ITK:\n/src/io.cxx:12:\nsitk::ERROR: Unable  to\nread")

    assert str(unreadable(path, error)) == (f"{path} cannot be read: is it damaged, or no NIfTI file? (Unable to read)")


def test_the_innermost_reason_is_the_one_that_counts(path):
    teem = RuntimeError(
        "ITK ERROR: NrrdImageIO(0x5): Error reading a [nrrd] nrrdRead: trouble [nrrd] expected 48 bytes"
    )
    assert str(unreadable(path, teem)).endswith("(expected 48 bytes)")
    assert str(unreadable(path, RuntimeError("ITK ERROR: MetaImageIO(0x55a): it ends"))).endswith("(it ends)")


def test_itk_does_not_know_nifti_2(path):
    import nibabel

    nibabel.save(nibabel.Nifti2Image(np.zeros((4, 3, 2), np.uint8), np.eye(4)), path)
    with pytest.raises(ImageFileError, match=r"is NIfTI-2, which SimpleITK does not read: save it as NIfTI-1"):
        read_volume(path)


def test_an_error_without_words_is_called_by_its_kind(tmp_path):
    assert str(unreadable(tmp_path / "a.mha", EOFError())).endswith("is it damaged, or of another format? (EOFError)")


def test_itks_word_for_a_tilted_grid_is_translated(path):
    assert "not stacked at right angles (gantry tilt" in str(unreadable(path, RuntimeError("orthonormal definition")))


def test_one_voxel_is_a_volume(path):
    volume = read_volume(write(image_of(np.full((1, 1, 1), 7.0, np.float32), spacing=(1, 2, 3)), path))

    assert volume.values.tolist() == [[[7.0]]]
    assert (volume.geometry.size, volume.geometry.spacing_mm) == ((1, 1, 1), (3, 2, 1))


def test_unknown_labels_that_fit_are_all_named():
    with pytest.raises(ValueError, match=r"^a has the labels 7; allowed are 0, 3$"):
        check_labels(np.array([3, 7, 7]), "a", {3, 0})


def test_a_label_map_without_voxels_has_no_wrong_label():
    check_labels(np.zeros((0, 3), np.uint8), "a", {1})


def test_one_channel_is_read(tmp_path):
    (volume,) = read_channels([write(image_of(np.ones((2, 3, 4))), tmp_path / "a_0000.nii.gz")])

    assert (volume.values.dtype, volume.geometry.size) == (np.float32, (2, 3, 4))


def test_channels_of_another_format_are_refused(tmp_path):
    with pytest.raises(NotImplementedError, match=r"b\.mha is no NIfTI file \(\.nii\.gz or \.nii\): convert it"):
        read_channels([tmp_path / "a.nii.gz", tmp_path / "b.mha"])


def test_channels_on_two_grids_are_refused(tmp_path):
    files = [
        write(image_of(np.ones(shape)), tmp_path / f"{name}.nii.gz")
        for name, shape in (("a", (2, 3, 4)), ("b", (3, 3, 4)))
    ]

    with pytest.raises(
        ValueError, match=r"b\.nii\.gz is not on the grid of a\.nii\.gz: size \(3, 3, 4\) against \(2, 3, 4\)"
    ):
        read_channels(files)
