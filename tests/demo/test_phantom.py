import csv
import dataclasses
import json

import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import binary_dilation, distance_transform_edt

from acnn_nnunet.demo.phantom import (
    CLEAN,
    DEMO_SHAPE,
    DEMO_SPACING_MM,
    GROUPS,
    LABELS,
    Artefacts,
    HeartShape,
    draw_heart,
    draw_image,
    draw_label,
    make_case,
    write_dataset,
)

FINE_SHAPE, FINE_SPACING_MM = (64, 64, 64), (2.0, 2.0, 2.0)
PLAIN_HEART = HeartShape(cavity_radius_mm=20.0, cavity_length_mm=60.0, wall_mm=10.0, rv_width_mm=25.0)


def _labels_of(group, count=4, shape=FINE_SHAPE, spacing_mm=FINE_SPACING_MM):
    return [draw_label(draw_heart(np.random.default_rng(seed), group), shape, spacing_mm) for seed in range(count)]


def _volume_ml(label, name, spacing_mm=FINE_SPACING_MM):
    return (label == LABELS[name]).sum() * np.prod(spacing_mm) / 1000


def _wall_mm(label, spacing_mm=FINE_SPACING_MM):
    """Mean over the slices with a cavity: how far the outer edge of the myocardium lies from the cavity in-plane."""
    thickness = []
    for z in np.flatnonzero((label == LABELS["LV"]).any(axis=(1, 2))):
        to_cavity_mm = distance_transform_edt(label[z] != LABELS["LV"], sampling=spacing_mm[1:])
        myocardium = label[z] == LABELS["MYO"]
        edge = myocardium & binary_dilation(~myocardium & (label[z] != LABELS["LV"]))
        thickness.append(to_cavity_mm[edge].mean())
    return np.mean(thickness)


def test_unknown_group_is_refused_with_the_good_ones():
    with pytest.raises(ValueError, match="no group 'tired'; choose from healthy, dilated, thick-walled"):
        make_case(np.random.default_rng(0), "tired")


def test_grid_too_small_for_a_heart_is_refused():
    with pytest.raises(
        ValueError, match=r"too small or too coarse for a heart: .*RV missing .*extent of \(8, 8, 8\) mm"
    ):
        make_case(np.random.default_rng(0), "healthy", (8, 8, 8), (1, 1, 1))


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, float("nan"), 1.0)])
def test_spacing_must_be_three_positive_lengths(spacing_mm):
    with pytest.raises(ValueError, match="spacing_mm must be three positive lengths"):
        draw_label(PLAIN_HEART, (8, 8, 8), spacing_mm)


def test_shape_must_be_three_positive_numbers():
    with pytest.raises(ValueError, match="shape must be three positive numbers"):
        draw_label(PLAIN_HEART, (8, 0, 8), (1, 1, 1))


@pytest.mark.parametrize(("name", "value"), [("wall_mm", 0.0), ("ellipticity", 0.7), ("septal_excess", -0.1)])
def test_heart_refuses_impossible_shapes(name, value):
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(PLAIN_HEART, **{name: value})


@pytest.mark.parametrize("group", GROUPS)
def test_same_seed_same_case_other_seed_other_case(group):
    image, label = make_case(np.random.default_rng(3), group)
    again_image, again_label = make_case(np.random.default_rng(3), group)
    other_image, other_label = make_case(np.random.default_rng(4), group)
    np.testing.assert_array_equal(image, again_image)
    np.testing.assert_array_equal(label, again_label)
    assert (image != other_image).any()
    assert (label != other_label).any()


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("seed", range(8))
def test_case_is_whole(group, seed):
    image, label = make_case(np.random.default_rng(seed), group)
    assert image.shape == label.shape == DEMO_SHAPE
    assert (image.dtype, label.dtype) == (np.float32, np.uint8)
    assert np.isfinite(image).all()
    assert set(np.unique(label)) == set(LABELS.values())
    shell = np.ones(DEMO_SHAPE, bool)
    shell[1:-1, 1:-1, 1:-1] = False
    assert not label[shell].any(), "the heart is cut off by the image's border"


@pytest.mark.parametrize("group", GROUPS)
def test_myocardium_encloses_the_cavity_in_every_slice(group):
    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[1] = True
    for label in _labels_of(group) + _labels_of(group, shape=DEMO_SHAPE, spacing_mm=DEMO_SPACING_MM):
        beside_cavity = binary_dilation(label == LABELS["LV"], in_plane) & (label != LABELS["LV"])
        assert (label[beside_cavity] == LABELS["MYO"]).all()


def test_cavity_volume_is_that_of_the_truncated_ellipsoid():
    # Cross-section π r² (1 − (w/L)²), from the apex w = −L to the base w = L/4:
    # π r² L [(1/4 − 1/192) − (−1 + 1/3)] = π · 20² · 60 · 175/192 mm³ = 68.7 ml.
    label = draw_label(PLAIN_HEART, (100, 100, 100), (1.0, 1.0, 1.0))
    assert _volume_ml(label, "LV", (1.0, 1.0, 1.0)) == pytest.approx(68.7, rel=0.01)


def test_leaning_and_wobbling_keep_the_volume():
    leaning = dataclasses.replace(PLAIN_HEART, tilt_deg=(8.0, -6.0), rotation_deg=25.0, wobble_mm=1.5)
    volumes_ml = [_volume_ml(draw_label(heart, FINE_SHAPE, FINE_SPACING_MM), "LV") for heart in (PLAIN_HEART, leaning)]
    assert volumes_ml[1] == pytest.approx(volumes_ml[0], rel=0.03)


def test_wall_is_as_thick_as_asked_for_and_thickest_at_the_septum():
    # Rotation 0 and no wobble: the septum faces low x. Along x through the axis the wall is 10 mm · (1 ± 0.3).
    heart = dataclasses.replace(PLAIN_HEART, septal_excess=0.3)
    label = draw_label(heart, (20, 101, 440), (5.0, 1.0, 0.25))
    widest = (label == LABELS["LV"]).sum(axis=(1, 2)).argmax()
    line = label[widest, 50]
    cavity = np.flatnonzero(line == LABELS["LV"])
    septum_mm = 0.25 * (line[: cavity[0]] == LABELS["MYO"]).sum()
    free_wall_mm = 0.25 * (line[cavity[-1] :] == LABELS["MYO"]).sum()
    assert septum_mm == pytest.approx(13.0, abs=0.5)
    assert free_wall_mm == pytest.approx(7.0, abs=0.5)


def test_rv_touches_the_myocardium_and_lies_at_low_x():
    label = draw_label(PLAIN_HEART, FINE_SHAPE, FINE_SPACING_MM)
    assert (binary_dilation(label == LABELS["RV"]) & (label == LABELS["MYO"])).any()
    x_of = {name: np.nonzero(label == value)[2].mean() for name, value in LABELS.items()}
    assert x_of["RV"] < x_of["LV"]


def test_groups_differ_as_their_names_say():
    labels = {group: _labels_of(group) for group in GROUPS}
    cavity_ml = {group: [_volume_ml(label, "LV") for label in labels[group]] for group in GROUPS}
    wall_mm = {group: np.mean([_wall_mm(label) for label in labels[group]]) for group in GROUPS}
    assert np.mean(cavity_ml["dilated"]) > 1.5 * np.mean(cavity_ml["healthy"])
    assert np.mean(cavity_ml["thick-walled"]) < 0.8 * np.mean(cavity_ml["healthy"])
    assert wall_mm["thick-walled"] > 1.4 * wall_mm["healthy"]
    assert wall_mm["dilated"] < wall_mm["healthy"]


def test_one_heart_on_two_grids_has_one_volume():
    heart = draw_heart(np.random.default_rng(1), "healthy")
    thick_slices = draw_label(heart, DEMO_SHAPE, DEMO_SPACING_MM)
    isotropic = draw_label(heart, FINE_SHAPE, FINE_SPACING_MM)
    for name in ("RV", "MYO", "LV"):
        coarse_ml, fine_ml = _volume_ml(thick_slices, name, DEMO_SPACING_MM), _volume_ml(isotropic, name)
        assert coarse_ml == pytest.approx(fine_ml, rel=0.12)


def test_artefacts_change_the_image_and_leave_the_label():
    shaken = dataclasses.replace(CLEAN, motion_mm=6.0, motion_deg=4.0)
    clean_image, clean_label = make_case(np.random.default_rng(2), "healthy", artefacts=CLEAN)
    for artefacts in (shaken, dataclasses.replace(CLEAN, dropout_probability=1.0), Artefacts()):
        image, label = make_case(np.random.default_rng(2), "healthy", artefacts=artefacts)
        np.testing.assert_array_equal(label, clean_label)
        assert np.abs(image - clean_image).max() > 0.1


def test_motion_moves_each_slice_by_its_own_amount():
    label = np.zeros((6, 64, 64), np.uint8)
    label[:, 24:40, 24:40] = LABELS["LV"]
    shaken = dataclasses.replace(CLEAN, motion_mm=4.0)
    image = draw_image(np.random.default_rng(0), label, (5.0, 1.0, 1.0), artefacts=shaken)
    blood = image > 0.7
    blood[:, :12] = blood[:, -12:] = False
    blood[:, :, :12] = blood[:, :, -12:] = False
    centres = [np.argwhere(each).mean(axis=0) for each in blood]
    assert np.std(centres, axis=0).min() > 1.0


def test_dropout_darkens_some_blood_and_is_off_at_zero():
    label = np.full(DEMO_SHAPE, LABELS["LV"], np.uint8)
    shadowed = dataclasses.replace(CLEAN, dropout_probability=1.0)
    assert (draw_image(np.random.default_rng(0), label, DEMO_SPACING_MM, artefacts=shadowed) < 0.3).mean() > 0.02
    assert (draw_image(np.random.default_rng(0), label, DEMO_SPACING_MM, artefacts=CLEAN) > 0.3).all()


def test_written_dataset_is_what_nnunet_reads(tmp_path):
    dataset = write_dataset(tmp_path, 7, num_train=4, num_test=2, seed=5)
    assert dataset == tmp_path / "Dataset007_PhantomHeart"
    description = json.loads((dataset / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    assert (description["numTraining"], description["file_ending"]) == (4, ".nii.gz")
    with open(dataset / "groups.csv", newline="") as file:
        groups = {row["case"]: row["group"] for row in csv.DictReader(file)}
    assert list(groups.values()) == [*GROUPS, "healthy", "healthy", "dilated"]
    for case in groups:
        suffix = "Tr" if "_tr" in case else "Ts"
        image = SimpleITK.ReadImage(str(dataset / f"images{suffix}" / f"{case}_0000.nii.gz"))
        label = SimpleITK.ReadImage(str(dataset / f"labels{suffix}" / f"{case}.nii.gz"))
        for written in (image, label):
            assert written.GetSize() == DEMO_SHAPE[::-1]
            assert written.GetSpacing() == pytest.approx(DEMO_SPACING_MM[::-1])


def test_written_files_are_identical_for_a_seed_and_a_larger_dataset_contains_the_smaller(tmp_path):
    small = write_dataset(tmp_path / "a", 7, num_train=1, num_test=1, seed=5)
    large = write_dataset(tmp_path / "b", 7, num_train=2, num_test=1, seed=5)
    files = [path.relative_to(small) for path in small.rglob("*.nii.gz")]
    assert len(files) == 4
    for file in files:
        assert (small / file).read_bytes() == (large / file).read_bytes()


def test_existing_dataset_is_not_written_over(tmp_path):
    write_dataset(tmp_path, 7, num_train=1, num_test=0, seed=5)
    with pytest.raises(FileExistsError, match="Dataset007_PhantomHeart exists; remove it or choose another dataset id"):
        write_dataset(tmp_path, 7, num_train=1, num_test=0, seed=5)
