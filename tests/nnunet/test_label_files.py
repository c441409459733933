"""Label maps in the host's formats: grids in array order, and files that no score may be made of."""

import gzip
import json
import struct

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image
from scipy.ndimage import find_objects
from skimage.io import imsave

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.headers import ImageFileError
from acnn_nnunet.nnunet.label_files import LabelFileReader, LabelMap
from acnn_nnunet.nnunet.readers import choose_reader

LABELS = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(np.uint8) % 5


def write(path, values, *, spacing=None, origin=None, direction=None):
    image = SimpleITK.GetImageFromArray(values, isVector=False)
    if spacing:
        image.SetSpacing(spacing)
    if origin:
        image.SetOrigin(origin)
    if direction:
        image.SetDirection(direction)
    SimpleITK.WriteImage(image, str(path), True)
    return path


def read(path, reader="SimpleITKIO"):
    return LabelFileReader(reader).read(path)


@pytest.mark.parametrize("ending", [".nii.gz", ".mha", ".nrrd"])
def test_volumes_that_simpleitk_reads(tmp_path, ending):
    turned = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    path = write(tmp_path / f"a{ending}", LABELS, spacing=(0.5, 0.75, 8.0), origin=(1, 2, 3), direction=turned)

    label_map = read(path, choose_reader(ending, examples=[path]))

    assert np.array_equal(label_map.values, LABELS)
    assert label_map.values.dtype == np.uint8
    assert label_map.geometry.size == (2, 3, 4)
    assert label_map.geometry.spacing_mm == pytest.approx((8.0, 0.75, 0.5))
    assert label_map.geometry.origin_mm == pytest.approx((1, 2, 3))
    assert label_map.geometry.direction == pytest.approx(turned)


@pytest.mark.parametrize("reader", ["NibabelIO", "NibabelIOWithReorient", "SimpleITKIOWithReorient"])
def test_the_hosts_other_readers_of_nifti(tmp_path, reader):
    path = write(tmp_path / "a.nii.gz", LABELS, spacing=(0.5, 0.75, 8.0), origin=(1, 2, 3))

    geometry = read(path, reader).geometry

    assert geometry.spacing_mm == pytest.approx((8.0, 0.75, 0.5))
    assert len(geometry.direction) == 9
    assert np.abs(geometry.direction).sum() == pytest.approx(3)  # a turned or mirrored identity


@pytest.mark.parametrize("reader", ["SimpleITKIO", "NibabelIO", "NibabelIOWithReorient", "SimpleITKIOWithReorient"])
def test_left_is_the_same_side_for_every_reader(tmp_path, reader):
    values = np.zeros((3, 4, 5), dtype=np.uint8)
    values[:, :, 0], values[:, :, 4] = 1, 2
    # x runs to the patient's right: label 1 lies on the left.
    path = write(tmp_path / "a.nii.gz", values, spacing=(0.5, 0.75, 8.0), direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))
    label_map = LabelFileReader(reader).read(path)
    left_mm = np.array(label_map.geometry.left_mm)
    first, second = (np.argwhere(label_map.values == label) @ left_mm for label in (1, 2))
    assert first.mean() - second.mean() == pytest.approx(4 * 0.5)
    flat = LabelFileReader(reader).read(
        write(tmp_path / "b.nii.gz", values[:1], direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))
    )
    assert len(flat.geometry.left_mm) == 2


@pytest.mark.parametrize("reader", ["NibabelIO", "NibabelIOWithReorient", "SimpleITKIOWithReorient"])
def test_a_rounded_header_keeps_each_size_on_its_axis(tmp_path, reader):
    """x leads up, y to the right and z forwards; pixdim and sform differ in the last digits."""
    sizes_mm = np.array([8.0, 1.0, 2.0])
    affine = np.eye(4)[[1, 2, 0, 3]] @ np.diag([*sizes_mm, 1])
    image = nibabel.Nifti1Image(np.ones((12, 16, 20), dtype=np.uint8), affine)
    image.header["pixdim"][1:4] = sizes_mm * (1 + 1e-5)
    nibabel.save(image, tmp_path / "a.nii")

    geometry = read(tmp_path / "a.nii", reader).geometry

    by_size = dict(zip(geometry.size, geometry.spacing_mm, strict=True))
    assert by_size == pytest.approx({12: 8.0, 16: 1.0, 20: 2.0}, rel=1e-4)


def test_a_picture_does_not_tell_left(tmp_path):
    imsave(tmp_path / "a.png", np.eye(5, dtype=np.uint8), check_contrast=False)
    assert LabelFileReader("NaturalImage2DIO").read(tmp_path / "a.png").geometry.left_mm is None


def test_reoriented_maps_share_a_grid_however_they_lie_in_the_file(tmp_path):
    mirrored = np.diag([-2.0, 1, 1, 1])
    mirrored[0, 3] = 2.0 * 3  # the last of four voxels along x comes first
    values = LABELS.transpose(2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 1, 1, 1])), tmp_path / "a.nii.gz")
    nibabel.save(nibabel.Nifti1Image(values[::-1], mirrored), tmp_path / "b.nii.gz")

    a, b = (read(tmp_path / name, "NibabelIOWithReorient") for name in ("a.nii.gz", "b.nii.gz"))

    assert a.geometry.differences(b.geometry) == []
    assert np.array_equal(a.values, b.values)
    assert read(tmp_path / "a.nii.gz", "NibabelIO").geometry.differences(
        read(tmp_path / "b.nii.gz", "NibabelIO").geometry
    )


def test_one_slice_of_a_volume_is_2d_and_keeps_its_thickness(tmp_path):
    for reader in ("SimpleITKIO", "NibabelIO"):
        label_map = read(write(tmp_path / "a.nii.gz", LABELS[:1], spacing=(0.5, 0.75, 8.0)), reader)

        assert label_map.values.shape == label_map.geometry.size == (3, 4)
        assert label_map.geometry.spacing_mm == pytest.approx((0.75, 0.5))
        assert label_map.geometry.thickness_mm == pytest.approx(8)


@pytest.mark.parametrize("reader", ["SimpleITKIO", "NibabelIO"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_slice_along_any_axis_is_2d(tmp_path, axis, reader):
    plane = np.arange(12, dtype=np.uint8).reshape(3, 4)
    spacing = np.insert([0.75, 0.5], axis, 8.0)  # array order
    path = write(tmp_path / "a.nii.gz", np.expand_dims(plane, axis), spacing=spacing[::-1].tolist())

    label_map = read(path, reader)

    assert np.array_equal(label_map.values, plane)
    assert label_map.geometry.size == (3, 4)
    assert label_map.geometry.spacing_mm == pytest.approx((0.75, 0.5))
    assert label_map.geometry.thickness_mm == pytest.approx(8)
    assert label_map.geometry.voxel_ml == pytest.approx(0.75 * 0.5 * 8 / 1000)
    assert label_map.slice_axis == axis
    assert np.array_equal(label_map.volume, np.expand_dims(plane, axis))
    assert label_map.volume_spacing_mm == pytest.approx(tuple(spacing))


def test_a_flat_file_lies_on_the_grid_of_a_volume_with_one_slice(tmp_path):
    flat = read(write(tmp_path / "flat.nii.gz", LABELS[0], spacing=(0.5, 0.75)))
    volume = read(write(tmp_path / "volume.nii.gz", LABELS[:1], spacing=(0.5, 0.75, 8.0), origin=(0, 0, 3)))
    other = read(write(tmp_path / "other.nii.gz", LABELS[:1], spacing=(0.5, 0.9, 8.0)))

    assert flat.geometry.differences(volume.geometry) == []
    assert flat.volume_spacing_mm == pytest.approx((999, 0.75, 0.5))
    assert flat.geometry.differences(other.geometry) == ["spacing (0.75, 0.5) against (0.9, 0.5) mm"]


@pytest.mark.parametrize("reader", ["SimpleITKIO", "SimpleITKIOWithReorient", "NibabelIO", "NibabelIOWithReorient"])
@pytest.mark.parametrize("pixdim", [0.0, np.nan, -5.0])
def test_the_sform_says_the_size_where_pixdim_says_none(tmp_path, pixdim, reader, capfd):
    # The file's axes x, y, z run along the world's y, z, x: the reorienting readers turn the spacing too.
    affine = np.zeros((4, 4))
    affine[1, 0], affine[2, 1], affine[0, 2], affine[3, 3] = 1.5, 2.0, 5.0, 1.0
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 3, 2), np.uint8), affine), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[88:92] = np.float32(pixdim).tobytes()  # pixdim[3]
    (tmp_path / "a.nii").write_bytes(content)

    label_map = read(tmp_path / "a.nii", reader)

    # Turned to RAS, z is the file's y (2 mm), y its x (1.5 mm), x its z (5 mm).
    turned = reader.endswith("Reorient")
    assert label_map.geometry.size == ((3, 4, 2) if turned else (2, 3, 4))
    assert label_map.geometry.spacing_mm == pytest.approx((2, 1.5, 5) if turned else (5, 2, 1.5))
    assert label_map.geometry.voxel_ml == pytest.approx(1.5 * 2 * 5 / 1000)
    assert capfd.readouterr() == ("", "")


def test_properties_for_the_hosts_writer_have_the_size_too(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 3, 2), np.uint8), np.diag([1.5, 2, 5, 1])), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[88:92] = np.float32(0).tobytes()
    (tmp_path / "a.nii").write_bytes(content)

    _, properties = LabelFileReader("SimpleITKIO").read_image(tmp_path / "a.nii")

    assert properties["spacing"] == [5, 2, 1.5]
    assert properties["sitk_stuff"]["spacing"] == (1.5, 2, 5)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.mha", "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"),
        ("a.nrrd", "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n"),
    ],
)
def test_a_header_without_a_size_is_refused(tmp_path, name, header):
    (tmp_path / name).write_bytes(header.encode() + bytes(8))

    with pytest.raises(ImageFileError, match=f"{name} does not tell how large its voxels are"):
        read(tmp_path / name)


def test_rounded_labels_are_labels_and_fractions_are_shown_in_full(tmp_path):
    assert np.array_equal(read(write(tmp_path / "a.nii.gz", LABELS * 1.0000001)).values, LABELS)
    with pytest.raises(ImageFileError, match=r"a\.nii\.gz holds the value 1\.001: label maps are whole numbers"):
        read(write(tmp_path / "a.nii.gz", np.where(LABELS == 1, 1.001, LABELS)))


def test_a_file_whose_voxels_itk_takes_from_its_neighbour(tmp_path):
    path = write(tmp_path / "a.nii.gz", LABELS)
    write(tmp_path / "a.nii", np.zeros_like(LABELS))  # of these, ITK makes a.nii.gz
    with pytest.raises(ImageFileError, match=r"a\.nii\.gz lies next to a\.nii, from which ITK takes the voxels: move"):
        read(path, "SimpleITKIO")
    assert np.array_equal(read(path, "NibabelIO").values, LABELS)


@pytest.mark.parametrize(("slope", "intercept"), [(1e-30, 0.0), (0.0, 2.0)])
def test_a_scale_that_itk_does_not_obey(tmp_path, slope, intercept):
    path = write(tmp_path / "a.nii", LABELS)
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<2f", slope, intercept)
    path.write_bytes(content)
    with pytest.raises(ImageFileError, match=rf"a\.nii has a scl_slope of {slope:g}, which ITK does not obey"):
        read(path, "SimpleITKIO")


def test_pictures_have_no_spacing_file(tmp_path):
    Image.fromarray(np.ones((4, 3), np.uint8)).save(tmp_path / "a.png")
    assert (
        LabelFileReader("NaturalImage2DIO").read(tmp_path / "a.png").geometry.assumed == "pictures tell no pixel size"
    )


def test_a_label_map_that_jpeg_has_changed_is_refused_but_no_image(tmp_path):
    Image.fromarray(np.full((16, 16), 3, np.uint8)).save(tmp_path / "a.tif", compression="jpeg")
    Image.fromarray(np.full((16, 16), 3, np.uint8)).save(tmp_path / "b.tif", compression="tiff_lzw")

    with pytest.raises(ImageFileError, match=r"a\.tif is compressed by JPEG, which may change labels: save the label"):
        read(tmp_path / "a.tif", "NaturalImage2DIO")
    assert LabelFileReader("NaturalImage2DIO").read_image(tmp_path / "a.tif")[0].shape == (1, 1, 16, 16)
    assert read(tmp_path / "b.tif", "NaturalImage2DIO").values.tolist() == [[3] * 16] * 16


def test_a_digest_knows_labels_and_places_alone(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
    digests = []
    for index, each in enumerate((values, values.astype(np.float32), values[::-1], values.reshape(3, 4, 2))):
        path = tmp_path / f"{index}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(each, np.eye(4)), path)
        digests.append({LabelFileReader(reader).read(path).digest for reader in ("SimpleITKIO", "NibabelIO")})
    assert all(len(each) == 1 for each in digests)
    assert digests[0] == digests[1]
    assert len(set.union(*digests)) == 3


def test_nifti_2_is_read_by_nibabel_alone(tmp_path):
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti2Image(np.full((4, 3, 2), 7, np.uint8), np.diag([1.5, 2, 5, 1])), path)
    with pytest.raises(
        ImageFileError, match=r"a\.nii\.gz is NIfTI-2, which SimpleITK does not read: save it as NIfTI-1"
    ):
        LabelFileReader("SimpleITKIO").read(path)
    assert choose_reader(".nii.gz", examples=[path]) == "NibabelIO"
    labels = LabelFileReader("NibabelIO").read(path)
    assert (labels.values.shape, labels.values.max(), labels.geometry.spacing_mm) == ((2, 3, 4), 7, (5, 2, 1.5))


def test_a_sheared_sform_beside_a_straight_qform_is_refused(tmp_path):
    sheared = np.diag([1.0, 1, 5, 1])
    sheared[1, 2] = 0.5
    image = nibabel.Nifti1Image(LABELS.T, sheared)
    image.set_qform(np.diag([1.0, 1, 5, 1]), code=1)  # that ITK takes
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.raises(ImageFileError, match=r"a\.nii has slices that are not stacked at right angles"):
        read(tmp_path / "a.nii", "SimpleITKIO")


@pytest.mark.parametrize("palette", [False, True])
def test_a_colour_png_is_no_label_map(tmp_path, palette):
    image = Image.fromarray(LABELS[0], mode="P") if palette else Image.fromarray(np.stack([LABELS[0]] * 3, axis=-1))
    if palette:
        image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(tmp_path / "a.png")

    with pytest.raises(ImageFileError, match=r"a\.png is a colour image or has a palette \(3 channels\): save"):
        read(tmp_path / "a.png", "NaturalImage2DIO")


@pytest.mark.parametrize("num_slices", [1, 2])
def test_several_values_a_voxel_are_no_volumes(tmp_path, num_slices):
    values = np.zeros((num_slices, 4, 5, 3), np.uint8)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values, isVector=True), str(tmp_path / "a.nrrd"))

    with pytest.raises(ImageFileError, match=r"a\.nrrd has several values a voxel \(colours or a vector\)"):
        read(tmp_path / "a.nrrd")


def test_a_colour_tif_is_no_volume_of_three_columns(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5, 3), np.uint8), photometric="rgb")
    with pytest.raises(ImageFileError, match=r"a\.tif is a colour image: save the label map as grey values"):
        read(tmp_path / "a.tif", "Tiff3DIO")
    (tmp_path / "a.json").write_text('{"spacing": [4.0, 1.5, 1.0]}')  # as nnU-Net writes a volume of three columns
    assert read(tmp_path / "a.tif", "Tiff3DIO").values.shape == (4, 5, 3)


def test_a_tif_without_its_spacing_file_names_it(tmp_path):
    for folder in ("gt", "pred"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", np.zeros((5, 6, 7), np.uint8))
    (tmp_path / "pred" / "a.json").write_text('{"spacing": [5, 1.5, 1.5]}')

    reference, prediction = (read(tmp_path / folder / "a.tif", "Tiff3DIO") for folder in ("gt", "pred"))

    assert prediction.geometry.differences(reference.geometry) == [
        "spacing (5.0, 1.5, 1.5) against (1.0, 1.0, 1.0) mm, assumed because there is no spacing file "
        f"{tmp_path / 'gt' / 'a.json'}"
    ]


def test_a_tiff_of_one_column_keeps_its_thickness(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((2, 3, 1), np.uint8), photometric="minisblack")
    (tmp_path / "a.json").write_text('{"spacing": [5, 2, 1.5]}')
    label_map = read(tmp_path / "a.tif", "Tiff3DIO")
    assert label_map.values.shape == (2, 3)
    assert label_map.geometry.spacing_mm == (5, 2)
    assert label_map.geometry.voxel_ml == pytest.approx(5 * 2 * 1.5 / 1000)


def test_a_flat_file_tells_no_thickness(tmp_path):
    label_map = read(write(tmp_path / "a.mha", LABELS[0], spacing=(0.5, 0.75)))

    assert label_map.geometry.size == (3, 4)
    assert label_map.geometry.spacing_mm == pytest.approx((0.75, 0.5))
    assert label_map.geometry.thickness_mm is None
    assert label_map.geometry.voxel_ml is None


def test_png(tmp_path):
    imsave(tmp_path / "a.png", LABELS[0], check_contrast=False)

    assert choose_reader(".png", examples=[tmp_path / "a.png"]) == "NaturalImage2DIO"
    label_map = read(tmp_path / "a.png", "NaturalImage2DIO")
    assert np.array_equal(label_map.values, LABELS[0])
    assert label_map.geometry.spacing_mm == (1, 1)
    assert label_map.geometry.voxel_ml is None


def test_tif_of_a_volume_with_its_spacing_beside_it(tmp_path, capfd):
    values = np.zeros((5, 6, 7), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values)

    assert choose_reader(".tif", examples=[tmp_path / "a.tif"]) == "Tiff3DIO"
    assert read(tmp_path / "a.tif", "Tiff3DIO").geometry.spacing_mm == (1, 1, 1)
    (tmp_path / "a.json").write_text(json.dumps({"spacing": [4, 0.5, 0.5]}))
    assert read(tmp_path / "a.tif", "Tiff3DIO").geometry.spacing_mm == (4, 0.5, 0.5)
    assert capfd.readouterr().out == ""


def test_large_labels_keep_their_value(tmp_path):
    values = np.array([[[0, 255, 256, 65535]]], np.int32)

    label_map = read(write(tmp_path / "a.nii.gz", values))

    assert label_map.values.ravel().tolist() == [0, 255, 256, 65535]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (LABELS.astype(np.float32) / 2, "holds the value 0.5: label maps are whole numbers, not probabilities"),
        (LABELS.astype(np.int16) - 1, "holds the negative label -1"),
        (LABELS.astype(np.int32) * 20_000, "holds the label 80000: labels are 65535 or less"),
        (np.where(LABELS == 4, 1e20, LABELS).astype(np.float32), "holds the label 1e\\+20"),
        (np.where(LABELS == 4, np.nan, LABELS).astype(np.float32), "not finite"),
        (np.where(LABELS == 4, np.inf, LABELS).astype(np.float32), "not finite"),
        (np.stack([LABELS, LABELS]), "holds 2 volumes: a label map is 2D or 3D, so split it first"),
    ],
)
@pytest.mark.parametrize("ending", [".nii.gz", ".mha"])
def test_values_that_are_no_labels(tmp_path, values, message, ending):
    path = write(tmp_path / f"a{ending}", values)

    with pytest.raises(ValueError, match=message) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("reader", ["SimpleITKIO", "NibabelIO"])
@pytest.mark.parametrize("kept", [0.98, 0.6, 0.3, 0.01, 0])
def test_a_cut_nifti_is_refused_wherever_it_was_cut(tmp_path, kept, reader):
    # SimpleITK alone reads these without a word and makes the missing voxels up.
    values = np.random.default_rng(0).integers(0, 4, (6, 30, 30)).astype(np.uint8)
    path = write(tmp_path / "a.nii.gz", values)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])

    with pytest.raises(ValueError, match=r"a\.nii\.gz cannot be read: is it damaged"):
        read(path, reader)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_a_nifti_whose_stream_ends_well_but_early(tmp_path, name):
    content = write(tmp_path / "whole.nii", LABELS).read_bytes()
    cut = content[:-3]
    (tmp_path / name).write_bytes(gzip.compress(cut) if name.endswith("gz") else cut)

    with pytest.raises(ValueError, match=f"it ends after {len(content) - 3} of {len(content)} bytes"):
        read(tmp_path / name, "NibabelIO" if name == "a.nii" else "SimpleITKIO")


def test_a_flipped_bit_is_noticed(tmp_path):
    values = np.random.default_rng(0).integers(0, 4, (6, 30, 30)).astype(np.uint8)
    content = bytearray(write(tmp_path / "a.nii.gz", values).read_bytes())
    content[-1000] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(content)

    with pytest.raises(ValueError, match="cannot be read"):
        read(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd"])
def test_a_file_of_another_kind(tmp_path, name, capfd):
    (tmp_path / name).write_text("not an image")

    with pytest.raises(ValueError, match=f"{name} cannot be read"):
        read(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.nii\.gz does not exist"):
        read(tmp_path / "a.nii.gz")


def test_voxels_without_a_size(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6, 7), np.uint8))
    (tmp_path / "a.json").write_text('{"spacing": [NaN, 1, 1]}')

    with pytest.raises(ValueError, match=r"cannot be read|correct its header"):
        read(tmp_path / "a.tif", "Tiff3DIO")


def test_want_of_memory_is_not_called_a_damaged_file(tmp_path, monkeypatch):
    reader = LabelFileReader("SimpleITKIO")

    class Large:
        def read_seg(self, path):
            raise MemoryError

    monkeypatch.setattr(reader, "_reader", Large)
    with pytest.raises(MemoryError):
        reader.read(write(tmp_path / "a.nii.gz", LABELS))


@pytest.mark.parametrize("shape", [(1,) * 3, (2, 1), (5, 6, 7), (9, 8)])
@pytest.mark.parametrize("largest", [0, 1, 4, 60_000])
def test_boxes_are_those_of_scipy(shape, largest):
    rng = np.random.default_rng(0)
    for share in (0.1, 0.5, 1.0):
        values = (rng.integers(0, largest + 1, shape) * (rng.random(shape) < share)).astype(np.uint16)

        assert LabelMap(values, Geometry(shape, (1.0,) * len(shape))).boxes == find_objects(values)
