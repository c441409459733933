"""Held-out cases on a prior's grid."""

import numpy as np
import pytest
import torch

from acnn_nnunet.fold_prior.held_out import (
    as_target,
    describe_cases,
    held_out_report,
    load_on_grid,
    load_patch,
)
from acnn_nnunet.shape_prior.grids.views import PatchGrid, RoiGrid
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork

NAMES = {"background": 0, "a": 1, "b": 2}
MM = {"spacing_mm": (1.0, 1.0, 1.0), "patch_spacing_mm": (1.0, 1.0, 1.0)}


class Cases:
    """A host dataset of cases whose anatomy lies far from the middle; the image is the voxel's number."""

    def __init__(self):
        self.identifiers = ["corner", "long"]
        corner, long = (np.zeros((16, 20, 24), dtype=np.int16) for _ in range(2))
        corner[2:5, 2:6, 2:6], corner[3, 3, 3] = 1, 2
        long[8:10, 1:19, 8:12] = 1
        self.labels = {"corner": corner, "long": long}

    def load_case(self, identifier):
        segmentation = self.labels[identifier][None]
        image = np.arange(segmentation.size, dtype=np.float32).reshape(segmentation.shape)
        return image, segmentation, None, {}


def test_cases_that_were_trained_on_are_not_called_held_out():
    assert describe_cases(["a", "b"], ["c"]) == "Held-out cases"
    assert describe_cases(["a"], ["a"]) == "Not held out: 1 of 1 validation cases were trained on"
    mixed = describe_cases(["a", "b"], ["b", "c"])
    assert mixed == "Not held out: 1 of 2 validation cases were trained on"


def test_the_box_lies_around_the_anatomy_wherever_it_is():
    image, maps, view = load_on_grid(Cases(), "corner", NAMES, LabelSpace(3), RoiGrid((4, 6, 8), **MM))
    # Rows 2 to 4 centre at 3, so that four of them begin at 1.5, rounded up to 2; columns 2 to 5 at 3.5: 1 and 0.
    case = Cases().load_case("corner")
    box = (slice(2, 6), slice(1, 7), slice(0, 8))
    assert torch.equal(maps[0].argmax(0), torch.from_numpy(case[1][0][box]).long())
    assert torch.equal(image[0, 0], torch.from_numpy(case[0][0][box]))
    assert view.valid.tolist() == [True]
    assert view.outside_share.tolist() == [0]


def test_an_anatomy_longer_than_the_box_is_partly_outside():
    _, maps, view = load_on_grid(Cases(), "long", NAMES, LabelSpace(3), RoiGrid((4, 10, 8), **MM))
    assert view.outside_share.tolist() == [pytest.approx(8 / 18)]
    assert maps.shape == (1, 3, 4, 10, 8)


def test_the_patch_is_as_before():
    image, maps, _ = load_on_grid(Cases(), "corner", NAMES, LabelSpace(3), PatchGrid((16, 20, 24)))
    assert torch.equal(maps[0].argmax(0), torch.from_numpy(Cases().labels["corner"]).long())
    assert image[0, 0, 0, 0, 1] == 1


@pytest.mark.parametrize(("coarsening", "outside"), [(1.0, 8 / 18), (1.6, 2 / 18)])
def test_the_report_of_a_box(coarsening, outside):
    """The long anatomy has 18 rows; the box 10, or 10 of 1.6 rows each, which hold 16."""
    grid = RoiGrid((6, 10, 8), spacing_mm=(coarsening,) * 3, patch_spacing_mm=(1.0, 1.0, 1.0))
    network = TLNetwork(grid.size, num_classes=3, image_channels=1, code_size=4, roi=grid)
    report = held_out_report(network, Cases(), LabelSpace(3), NAMES, grid=grid, device="cpu")
    assert set(report["cases"]) == {"corner", "long"}
    assert report["cut_off_cases"] == 1
    assert report["outside_share"] == pytest.approx(outside / 2)
    assert 0 <= report["mean_reconstruction_dice"] <= 1


def test_images_go_to_the_middle_and_come_back_on_the_patch():
    grid = RoiGrid((4, 4, 4), **MM)
    network = TLNetwork(grid.size, num_classes=3, image_channels=1, code_size=4, roi=grid).eval()
    image = torch.randn(2, 1, 8, 8, 10)
    logits = network(image)
    inner = network.decoder(network.predictor(image[:, :, 2:6, 2:6, 3:7]))
    assert logits.shape == (2, 3, 8, 8, 10)
    assert torch.allclose(logits[:, :, 2:6, 2:6, 3:7], inner, atol=1e-6)
    assert logits[:, :, 0].abs().sum() == 0


REGION_NAMES = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}


def test_a_target_of_classes_is_the_label_map():
    assert as_target(np.array([[0, 2, 1]], np.int16), NAMES, LabelSpace(3)).tolist() == [[0, 2, 1]]


def test_a_target_of_regions_has_a_channel_each_and_one_for_what_is_ignored():
    labels = LabelSpace(2, regions=True, ignore_label=3)

    target = as_target(np.array([[[0, 1, 2, 3]]], np.int16), REGION_NAMES, labels)

    assert target.int().tolist() == [[[0, 1, 1, 0]], [[0, 0, 1, 0]], [[0, 0, 0, 1]]]


def test_a_patch_holds_the_anatomy_in_its_middle():
    image, target = load_patch(Cases(), "corner", NAMES, LabelSpace(3), (3, 4, 4))

    # The anatomy is rows 2 … 4 and columns 2 … 5 of either axis.
    case = Cases().load_case("corner")
    box = (slice(None), slice(2, 5), slice(2, 6), slice(2, 6))
    assert torch.equal(image[0], torch.from_numpy(case[0][box]))
    assert torch.equal(target[0], torch.from_numpy(case[1][box]))


@pytest.mark.parametrize("regions", [False, True])
def test_unannotated_voxels_do_not_pull_the_patch_away_from_the_anatomy(regions):
    cases = Cases()
    cases.labels["corner"][10:, 12:, 14:] = 3  # so that the box around both centres at (9, 11, 13)
    names = {**NAMES, "all": [1, 2]} if regions else NAMES
    labels = LabelSpace(3, regions=regions, ignore_label=3)
    _, target = load_patch(cases, "corner", {**names, "ignore": 3}, labels, (4, 6, 6))
    # All 48 voxels of the anatomy, and none of the others.
    assert int(labels.target_maps(target)[0, -1 if regions else slice(1, None)].sum()) == 3 * 4 * 4
    assert not labels.ignored(target).any()
