"""Files that cannot be trusted first, then what is read and written."""

import gzip
import os

import nibabel
import numpy as np
import pytest
import SimpleITK
from stack_files import OBLIQUE, image_of, read, write

from acnn_nnunet.files.headers import NIFTI_ENDINGS
from acnn_nnunet.files.volumes import Volume, find_images, read_volume, write_volume

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


def test_the_volumes_of_a_folder(tmp_path):
    for name in ("b.nii", "a.nii.gz", ".hidden.nii", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_images(tmp_path, NIFTI_ENDINGS).values()] == ["a.nii.gz", "b.nii"]
    (tmp_path / "a.nii").touch()
    with pytest.raises(ValueError, match="holds a twice"):
        find_images(tmp_path, NIFTI_ENDINGS)


def test_a_folder_without_volumes(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no NIfTI file"):
        find_images(tmp_path, NIFTI_ENDINGS)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        find_images(tmp_path / "nowhere", NIFTI_ENDINGS)
