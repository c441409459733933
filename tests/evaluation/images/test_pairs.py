"""Pairing by name, and what is refused when a pair is read."""

import numpy as np
import pytest
import SimpleITK
from image_files import SPACING_MM, image_and_blurred, write_image

from acnn_nnunet.evaluation.images.pairs import ImagePair, ImageVolumes, pair_images, read_pair


@pytest.fixture
def folders(tmp_path):
    for name in ("gt", "pred", "mask"):
        (tmp_path / name).mkdir()
    return tmp_path / "gt", tmp_path / "pred", tmp_path / "mask"


def touch(folder, *names):
    for name in names:
        (folder / name).touch()


def test_channel_suffix_and_ending_may_differ(folders):
    gt, pred, _ = folders
    touch(gt, "a_0000.nii.gz", "b.nii.gz", "c.mha", "notes.txt", ".hidden.nii.gz", "dataset.json")
    touch(pred, "a.nii.gz", "b_0000.nrrd", "d.nii.gz")

    pairs, extra = pair_images(gt, pred)

    assert list(pairs.values()) == [
        ImagePair("a", gt / "a_0000.nii.gz", pred / "a.nii.gz"),
        ImagePair("b", gt / "b.nii.gz", pred / "b_0000.nrrd"),
        ImagePair("c", gt / "c.mha", None),
    ]
    assert extra == ["d"]


def test_numbers_at_the_end_of_a_name_are_no_channels(folders):
    gt, pred, mask = folders
    touch(gt, "IXI_0000.nii.gz", "IXI_0001.nii.gz")
    touch(pred, "IXI_0000_0000.nii.gz", "IXI_0001_0000.nii.gz", "IXI_0002_0000.nii.gz")
    touch(mask, "IXI_0000.nii.gz", "IXI_0001.nii.gz")

    pairs, extra = pair_images(gt, pred, mask)

    assert list(pairs.values()) == [
        ImagePair(f"IXI_{n}", gt / f"IXI_{n}.nii.gz", pred / f"IXI_{n}_0000.nii.gz", mask / f"IXI_{n}.nii.gz", True)
        for n in ("0000", "0001")
    ]
    assert extra == ["IXI_0002"]


def test_case_names_with_numbers_stay_where_both_folders_have_them(folders):
    gt, pred, _ = folders
    touch(gt, "IXI_0000.nii.gz", "IXI_0001.nii.gz")
    touch(pred, "IXI_0000.nii.gz", "IXI_0001.nii.gz")

    assert list(pair_images(gt, pred)[0]) == ["IXI_0000", "IXI_0001"]


def test_channel_suffixes_of_both_folders_are_left_out(folders):
    gt, pred, _ = folders
    touch(gt, "a_0000.nii.gz", "b_0000.nii.gz")
    touch(pred, "a_0000.nii.gz")

    assert list(pair_images(gt, pred)[0]) == ["a", "b"]


def test_masks_are_paired_too(folders):
    gt, pred, mask = folders
    touch(gt, "a.nii.gz", "b.nii.gz")
    touch(pred, "a.nii.gz", "b.nii.gz")
    touch(mask, "a.nii.gz")

    pairs, _ = pair_images(gt, pred, mask)
    first, second = pairs.values()

    assert (first.mask, second.mask, second.masked) == (mask / "a.nii.gz", None, True)
    with pytest.raises(ValueError, match="there is no mask"):
        read_pair(ImagePair("b", *written(gt, pred), masked=True))


def test_folders_that_do_not_fit_are_refused(folders, tmp_path):
    gt, pred, _ = folders
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist"):
        pair_images(tmp_path / "nowhere", pred)
    with pytest.raises(FileNotFoundError, match=r"gt holds no image; the endings known are \.nii\.gz"):
        pair_images(gt, pred)
    touch(gt, "a.nii.gz")
    touch(pred, "b.nii.gz")
    with pytest.raises(ValueError, match="namesake"):
        pair_images(gt, pred)
    touch(gt, "a_0000.nii.gz")
    with pytest.raises(ValueError, match=r"gt holds a twice, a\.nii\.gz and a_0000\.nii\.gz"):
        pair_images(gt, pred)


def written(gt, pred, *, name="a.nii.gz", **changed):
    reference, prediction = image_and_blurred(0)
    write_image(gt / name, reference)
    write_image(pred / name, changed.pop("values", prediction), **changed)
    return gt / name, pred / name


def test_a_pair_is_read_as_it_is(folders):
    gt, pred, mask = folders
    reference, prediction = image_and_blurred(0)
    write_image(mask / "a.nii.gz", (reference > 50).astype(np.uint8) * 7)

    found = read_pair(ImagePair("a", *written(gt, pred), mask / "a.nii.gz", masked=True))

    np.testing.assert_array_equal(found.reference, reference)
    np.testing.assert_array_equal(found.prediction, prediction)
    np.testing.assert_array_equal(found.mask, reference > 50)
    assert found.reference.dtype == np.float64
    assert found.spacing_mm == SPACING_MM


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"values": np.zeros((12, 14, 16), np.float32)}, r"size \(12, 14, 16\) against \(12, 14, 15\)"),
        ({"spacing_mm": (2.5, 1, 1)}, r"spacing \(2\.5, 1\.0, 1\.0\) against \(2\.0, 1\.0, 1\.0\)"),
        ({"origin_mm": (0, 0, 5)}, r"origin \(0\.0, 0\.0, 5\.0\) against \(0\.0, 0\.0, 0\.0\)"),
        ({"direction": (-1, 0, 0, 0, -1, 0, 0, 0, 1)}, r"direction \(-1\.0,"),
    ],
)
def test_another_grid_is_refused_and_what_differs_is_told(folders, changed, message):
    gt, pred, _ = folders
    pair = ImagePair("a", *written(gt, pred, **changed))

    with pytest.raises(ValueError, match=rf"a\.nii\.gz is not on its reference's grid: .*{message}"):
        read_pair(pair)


def test_a_mask_on_another_grid_or_empty_is_refused(folders):
    gt, pred, mask = folders
    pair = ImagePair("a", *written(gt, pred), mask / "a.nii.gz", masked=True)

    write_image(mask / "a.nii.gz", np.ones((12, 14, 14), np.uint8))
    with pytest.raises(ValueError, match=r"mask/a\.nii\.gz is not on its reference's grid"):
        read_pair(pair)
    write_image(mask / "a.nii.gz", np.zeros((12, 14, 15), np.uint8))
    with pytest.raises(ValueError, match=r"mask .* is empty"):
        read_pair(pair)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_not_finite_are_refused(folders, value):
    gt, pred, _ = folders
    values = image_and_blurred(0)[1]
    values[0, 0, :3] = value

    with pytest.raises(ValueError, match=r"pred/a\.nii\.gz has 3 voxels that are not finite"):
        read_pair(ImagePair("a", *written(gt, pred, values=values)))


def test_more_axes_and_channels_are_refused(folders):
    gt, pred, _ = folders
    pair = ImagePair("a", *written(gt, pred))
    values = image_and_blurred(0)[0]

    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.stack([values] * 3), isVector=False), str(pair.prediction))
    with pytest.raises(ValueError, match="4 axes"):
        read_pair(pair)
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.stack([values] * 3, axis=-1), isVector=True), str(pair.prediction)
    )
    with pytest.raises(ValueError, match="3 values a voxel"):
        read_pair(pair)


@pytest.mark.parametrize("kept", [0, 100, 4000, -5])
def test_a_truncated_file_is_refused(folders, kept):
    gt, pred, _ = folders
    pair = ImagePair("a", *written(gt, pred))
    pair.prediction.write_bytes(pair.prediction.read_bytes()[:kept])

    with pytest.raises(ValueError, match=r"pred/a\.nii\.gz (is damaged or cut off|cannot be read)"):
        read_pair(pair)


@pytest.mark.parametrize("ending", [".nii", ".mha", ".nrrd"])
def test_a_truncated_file_without_gzip_is_refused(folders, ending):
    gt, pred, _ = folders
    pair = ImagePair("a", *written(gt, pred, name=f"a{ending}"))
    pair.prediction.write_bytes(pair.prediction.read_bytes()[:4000])

    with pytest.raises(ValueError, match="cannot be read"):
        read_pair(pair)


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "axis"),
    [
        ((12, 14, 15), (2.0, 1.0, 1.0), 0),
        ((12, 14, 15), (1.0, 2.0, 1.0), 1),
        ((12, 14, 15), (1.0, 1.0, 1.2), 2),
        ((12, 14, 15), (1.0, 1.0, 1.0), 0),  # isotropic: NIfTI's last axis
        ((12, 14, 15), (1.0, 1.0000001, 1.0), 0),
        ((12, 14, 1), (1.0, 2.0, 1.0), 2),  # a single slice
    ],
)
def test_the_axis_across_the_slices(shape, spacing_mm, axis):
    image = np.zeros(shape)

    assert ImageVolumes(image, image, None, spacing_mm).slice_axis == axis
