"""Raw files on a prior's grid: as the host preprocesses them, and what is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everyone writes it
import torch
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from phantom_prior import CODE_SIZE, PATCH, SHAPE, SPACING_MM, write_phantom_prior, write_raw
from PIL import Image

from acnn_nnunet.fold_prior.coder import load_coder
from acnn_nnunet.fold_prior.held_out import load_on_grid
from acnn_nnunet.shape_prior.grids.roi_box import RoiBox
from acnn_nnunet.shape_prior.networks.tl_network import Stage

CASE = "phantom_tr004"
KINDS = {
    "patch": {},
    "resampled": {"spacing_mm": (12.0, 6.0, 7.0), "patch": (12, 20, 20)},
    "roi": {
        "spacing_mm": (7.0, 12.0, 6.0),
        "transpose": (2, 0, 1),
        "patch": (20, 12, 20),
        "box": RoiBox((16, 8, 16), (8.0, 15.0, 8.0)),
    },
    "2d": {"spacing_mm": (7.0, 6.0), "patch": (20, 20)},
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def priors(raw, tmp_path_factory):
    """Prior files by kind, untrained."""
    return {
        kind: write_phantom_prior(raw, tmp_path_factory.mktemp(kind), steps=0, **options)
        for kind, options in KINDS.items()
    }


@pytest.fixture(scope="module")
def coder(priors):
    return load_coder(priors["patch"])


def files_of(raw, case=CASE):
    return raw / "labelsTr" / f"{case}.nii.gz", raw / "imagesTr" / f"{case}_0000.nii.gz"


def write_label(path, values, spacing_mm=SPACING_MM, dtype=np.uint8):
    """Write a label map (Z, Y, X) and return its path."""
    image = sitk.GetImageFromArray(np.asarray(values, dtype=dtype))
    image.SetSpacing(tuple(reversed(spacing_mm)))
    sitk.WriteImage(image, str(path))
    return path


def ball(shape=SHAPE):
    distance = sum((axis - n / 2) ** 2 for axis, n in zip(np.indices(shape), shape, strict=True))
    return (distance < 9).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_files_lie_on_the_grid_as_the_hosts_preprocessed_cases_do(kind, priors, raw, tmp_path):
    coder = load_coder(priors[kind])
    label_file, image_file = files_of(raw)
    data, seg, properties = DefaultPreprocessor(verbose=False).run_case(
        [str(image_file)], str(label_file), coder.bundle.plans, coder.bundle.configuration, coder.bundle.dataset_json
    )
    chunks = dict.fromkeys(("chunks", "blocks"), data.shape) | dict.fromkeys(("chunks_seg", "blocks_seg"), seg.shape)
    nnUNetDatasetBlosc2.save_case(
        data.astype(np.float32), seg.astype(np.int16), properties, str(tmp_path / CASE), **chunks
    )
    dataset = nnUNetDatasetBlosc2(str(tmp_path), [CASE])
    image, maps, _ = load_on_grid(dataset, CASE, coder.bundle.dataset_json["labels"], coder.labels, coder.grid)

    alone, with_image = coder.load(label_file), coder.load(label_file, image_files=[image_file])

    assert maps[0, 1:].sum() > 20
    # The host crops an image to what is not zero, which phantoms are not anywhere: the same with and without one.
    torch.testing.assert_close(alone.maps, maps[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(with_image.maps, maps[0], rtol=0, atol=0)
    torch.testing.assert_close(with_image.image, image[0], rtol=0, atol=0)


def test_where_spacings_agree_the_grid_is_a_crop(coder, tmp_path):
    # A ball in a corner of a larger volume: its box begins at 2 and is 5 long, so that its middle 4.5 comes to 8 // 2.
    values = np.zeros((8, 30, 30), dtype=np.uint8)
    values[2:7, 20:25, 5:10] = 3

    case = coder.load(write_label(tmp_path / "corner.nii.gz", values))

    # z: the whole volume fits; y and x: cut from 22 - 8 and 7 - 8 on, padded with background.
    expected = np.zeros(PATCH, dtype=np.uint8)
    expected[2:7, 6:11, 6:11] = 3
    assert np.array_equal(case.maps.argmax(0).numpy(), expected)
    assert (case.empty, case.cut_off, case.outside_share) == (False, False, 0.0)


@pytest.mark.parametrize("kind", ["patch", "roi", "2d"])
def test_islands_do_not_draw_the_grid(kind, priors):
    coder = load_coder(priors[kind])
    heart, island = np.zeros((20, 80, 80), dtype=np.uint8), np.zeros((20, 80, 80), dtype=np.uint8)
    heart[6:12, 20:30, 40:50] = 3
    island[6:9, 70:74, 4:8] = 3  # 48 of 600 voxels

    alone = coder.place(heart, SPACING_MM)
    with_island = coder.place(heart | island, SPACING_MM)

    assert alone.maps[1:].sum() > 50
    assert torch.equal(with_island.maps, alone.maps)
    assert (with_island.cut_off, with_island.empty) == (alone.cut_off, False)
    if kind != "2d":  # 48 of 648 voxels, before they are resampled
        assert alone.outside_share == 0
        assert with_island.outside_share == pytest.approx(48 / 648, abs=0.02)


def test_an_empty_label_map_is_known_as_such(coder, tmp_path):
    empty = write_label(tmp_path / "empty.nii.gz", np.zeros(SHAPE))

    case = coder.load(empty)

    assert (case.empty, case.cut_off) == (True, False)
    assert torch.equal(case.maps.argmax(0), torch.zeros(PATCH, dtype=torch.long))


def test_anatomy_beyond_the_patch_is_cut_off(coder, tmp_path):
    case = coder.load(write_label(tmp_path / "long.nii.gz", np.ones((8, 30, 30))))

    assert (case.empty, case.cut_off) == (False, True)


def test_without_a_label_map_the_grid_lies_in_the_images_middle(coder, raw):
    _, image_file = files_of(raw)

    alone = coder.load(None, image_files=[image_file])

    # 20 voxels with a patch of 16: from 2 on; the host's z-score of the whole image.
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(image_file))).astype(np.float64)
    normal = (values - values.mean()) / values.std()
    np.testing.assert_allclose(alone.image[0], normal[:, 2:18, 2:18], atol=1e-4)
    assert alone.empty


def test_codes_and_decoded_codes_belong_together(coder, raw):
    maps = torch.stack([coder.load(file).maps for file in sorted((raw / "labelsTr").glob("*.nii.gz"))])
    network = coder.prior.network

    codes = coder.codes_of(maps)

    assert codes.shape == (12, CODE_SIZE)
    with torch.no_grad():
        # Batches do not matter: one by one.
        alone = torch.cat([network.encoder(one[None]) for one in maps])
        logits = network.decoder(codes[:3])
    torch.testing.assert_close(codes, alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(coder.decode(codes[:3]), torch.softmax(logits, 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("values", "spacing_mm", "message"),
    [
        (ball() * 7, SPACING_MM, r"bad.nii.gz holds the label 7, which the prior of Dataset099_PhantomHeart does not "),
        (ball((1, 20, 20)) + 1, SPACING_MM, r"bad.nii.gz has one slice, the prior of .* is of volumes"),
        (ball(), (3.0, 15.0, 3.0), r"bad.nii.gz has its thick slices along another axis .*: permute its axes"),
    ],
)
def test_other_labels_and_dimensions_are_refused(values, spacing_mm, message, priors, raw, tmp_path):
    # A prior of thick slices; the phantoms' own are 2.2 times as thick as wide, too little to tell an axis.
    folder = tmp_path / "model"
    shutil.copytree(priors["patch"].parents[1], folder)
    plans = json.loads((folder / "plans.json").read_text())
    plans["original_median_spacing_after_transp"] = [10.0, 1.5, 1.5]
    (folder / "plans.json").write_text(json.dumps(plans))
    coder = load_coder(folder / "fold_0" / "checkpoint_final.pth")

    with pytest.raises(ValueError, match=message):
        coder.load(write_label(tmp_path / "bad.nii.gz", values, spacing_mm))


def test_a_header_in_another_unit_costs_its_case_only(coder, tmp_path):
    small = write_label(tmp_path / "small.nii.gz", ball(), (0.015, 0.0068, 0.0068))  # in metres, read as mm

    with pytest.raises(ValueError, match=r"not half a voxel of the plans long: does its header tell mm\?"):
        coder.load(small)


def test_another_orientation_than_the_training_cases_is_refused(priors, raw, tmp_path, monkeypatch):
    label_file, image_file = files_of(raw)
    mirrored = []
    for path in (label_file, image_file):
        mirrored.append(tmp_path / path.name)
        sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), "RAS"), str(mirrored[-1]))
    monkeypatch.setenv("nnUNet_raw", str(raw.parent))
    message = r"lies RAS, the prior's training cases of Dataset099_PhantomHeart lie LPS: reorient it"

    knowing = load_coder(priors["patch"])
    knowing.load(label_file, image_files=[image_file])
    for label, images in ((mirrored[0], []), (None, mirrored[1:])):
        with pytest.raises(ValueError, match=message):
            knowing.load(label, image_files=images)

    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    assert load_coder(priors["patch"]).load(mirrored[0]).maps.any()  # nobody can tell


def test_other_readers_than_simpleitk_say_nothing_of_orientations(priors, raw, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(priors["patch"].parents[1], folder)
    plans = json.loads((folder / "plans.json").read_text())
    (folder / "plans.json").write_text(json.dumps({**plans, "image_reader_writer": "NibabelIO"}))
    monkeypatch.setenv("nnUNet_raw", str(raw.parent))

    coder = load_coder(folder / "fold_0" / "checkpoint_final.pth")

    assert coder.layout.orientation is None
    assert coder.load(files_of(raw)[0]).maps.any()


def test_voxels_that_are_not_finite_are_refused(coder, tmp_path):
    values = np.where(ball() > 0, np.nan, 0)

    with pytest.raises(ValueError, match=r"bad.nii.gz .*not finite"):
        coder.load(write_label(tmp_path / "bad.nii.gz", values, dtype=np.float32))


def test_images_of_another_size_or_number_are_refused(coder, raw, tmp_path):
    label_file, image_file = files_of(raw)
    other = write_label(tmp_path / "other_0000.nii.gz", np.ones((8, 8, 8)))

    with pytest.raises(ValueError, match=r"other_0000.nii.gz is of \(8, 8, 8\) voxels, its label map of \(8, 20, 20\)"):
        coder.load(label_file, image_files=[other])
    with pytest.raises(ValueError, match=r"the case has 2 channels, the prior takes 1"):
        coder.load(label_file, image_files=[image_file, image_file])


def test_an_image_on_another_grid_than_its_label_map_or_first_channel_is_refused(coder, raw, tmp_path):
    label_file, image_file = files_of(raw)
    image = sitk.ReadImage(str(image_file))
    moved = image[:]
    moved.SetOrigin((0.0, 0.0, 99.0))
    sitk.WriteImage(moved, str(tmp_path / "moved_0000.nii.gz"))
    thin = image[:]
    thin.SetSpacing((6.8, 6.8, 1.0))
    sitk.WriteImage(thin, str(tmp_path / "thin_0000.nii.gz"))

    with pytest.raises(ValueError, match=r"moved_0000.nii.gz lies on another grid than its label map: origin"):
        coder.load(label_file, image_files=[tmp_path / "moved_0000.nii.gz"])
    with pytest.raises(ValueError, match=r"thin_0000.nii.gz lies on another grid than its label map: spacing"):
        coder.load(label_file, image_files=[tmp_path / "thin_0000.nii.gz"])
    two = replace(coder, prior=replace(coder.prior, spec=replace(coder.prior.spec, image_channels=2)))
    with pytest.raises(ValueError, match=r"moved_0000.nii.gz lies on another grid than .*_0000.nii.gz: origin"):
        two.load(None, image_files=[image_file, tmp_path / "moved_0000.nii.gz"])


def test_the_channels_of_a_colour_image_are_counted_not_its_files(priors, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(priors["2d"].parents[1], folder)
    plans = json.loads((folder / "plans.json").read_text())
    plans["image_reader_writer"] = "NaturalImage2DIO"
    configuration = plans["configurations"]["quick"]
    configuration.update(normalization_schemes=["NoNormalization"] * 3, use_mask_for_norm=[False] * 3)
    configuration["spacing"] = [1.0, 1.0]
    plans["foreground_intensity_properties_per_channel"] = {str(channel): {} for channel in range(3)}
    (folder / "plans.json").write_text(json.dumps(plans))
    colours = np.zeros((24, 24, 3), np.uint8)
    colours[..., 0], colours[..., 2] = 10, 30
    Image.fromarray(colours).save(tmp_path / "a_0000.png")
    grey = load_coder(folder / "fold_0" / "checkpoint_final.pth")

    with pytest.raises(ValueError, match=r"a_0000.png: the case has 3 channels, the prior takes 1"):
        grey.load(None, image_files=[tmp_path / "a_0000.png"])

    spec = replace(grey.prior.spec, image_channels=3)
    coder = replace(grey, prior=replace(grey.prior, spec=spec))
    image = coder.load(None, image_files=[tmp_path / "a_0000.png"]).image
    assert image.shape[0] == 3
    assert [float(channel.max()) for channel in image] == [10, 0, 30]


def test_a_prior_without_predictor_gives_images_no_codes(raw, tmp_path):
    coder = load_coder(write_phantom_prior(raw, tmp_path, steps=0, stage=Stage.AUTOENCODER))

    with pytest.raises(ValueError, match=r"checkpoint_final.pth has no trained predictor"):
        coder.image_codes_of(torch.zeros(1, 1, *PATCH))


def test_a_prior_whose_training_has_not_ended_is_refused(raw, tmp_path):
    path = write_phantom_prior(raw, tmp_path, steps=0, complete=False)  # written unfinished, after the checks

    with pytest.raises(ValueError, match=r"was saved before its training ended"):
        load_coder(path)


def test_plans_are_looked_for_beside_the_prior_then_among_the_preprocessed(priors, tmp_path, monkeypatch):
    source = priors["patch"].parents[1]
    path = tmp_path / "elsewhere" / "prior.pth"
    path.parent.mkdir()
    shutil.copyfile(priors["patch"], path)
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    with pytest.raises(
        FileNotFoundError, match=r"The plans of the shape prior .*prior.pth are missing: put plans.json"
    ):
        load_coder(path)

    folder = tmp_path / "preprocessed" / "Dataset099_PhantomHeart"
    folder.mkdir(parents=True)
    shutil.copyfile(source / "plans.json", folder / "nnUNetPlans.json")
    shutil.copyfile(source / "dataset.json", folder / "dataset.json")

    assert load_coder(path).grid.size == PATCH
