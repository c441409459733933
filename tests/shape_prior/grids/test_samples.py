"""A training batch on a prior's grid."""

import torch

from acnn_nnunet.shape_prior.grids.samples import grid_shares, samples_on_grid
from acnn_nnunet.shape_prior.grids.views import PatchGrid, RoiGrid
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

ROI = RoiGrid((4, 4), spacing_mm=(1.0, 1.0), patch_spacing_mm=(1.0, 1.0))


def mixed_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """One patch with all of the anatomy, one that cuts it off, one without any."""
    target = torch.zeros(3, 1, 8, 8, dtype=torch.int16)
    target[0, 0, 3:5, 3:5] = 1
    target[1, 0, 0:3, 3:5] = 2
    target[:, :, 7, 7] = -1  # padding is background
    return torch.rand(3, 2, 8, 8), target


def test_the_box_keeps_whole_anatomies_only_and_cuts_image_and_labels_alike():
    image, target = mixed_batch()
    samples = samples_on_grid(image, target, grid=ROI, labels=LabelSpace(3))
    assert torch.equal(samples.image, image[:1, :, 2:6, 2:6])
    assert torch.equal(samples.maps.argmax(1), target[:1, 0, 2:6, 2:6].long())
    assert torch.equal(samples.maps.sum(1), torch.ones(1, 4, 4))
    assert torch.equal(samples.known, torch.ones(1, 1, 4, 4))
    assert samples.counts == {"samples": 3, "valid": 1, "cut": 1, "outside": 0.0}


def test_the_patch_keeps_all():
    image, target = mixed_batch()
    samples = samples_on_grid(image, target, grid=PatchGrid((8, 8)), labels=LabelSpace(3))
    assert samples.image is image
    assert samples.maps.shape == (3, 3, 8, 8)
    assert samples.counts == {"samples": 3, "valid": 3, "cut": 1, "outside": 0.0}


def test_nothing_whole_leaves_nothing():
    image, target = mixed_batch()
    samples = samples_on_grid(image[1:], target[1:], grid=ROI, labels=LabelSpace(3))
    assert len(samples.maps) == 0
    assert samples.counts["valid"] == 0


def test_unannotated_voxels_go_along_and_what_lies_beyond_the_patch_is_known_background():
    target = torch.zeros(1, 1, 4, 4, dtype=torch.int16)
    target[0, 0, 1:3, 1] = 1
    target[0, 0, 1, 2] = 3
    samples = samples_on_grid(torch.rand(1, 1, 4, 4), target, grid=ROI, labels=LabelSpace(3, ignore_label=3))
    # Columns centre at 1, so that the box begins at -0.5, which is rounded up to 0; rows at 0.
    assert samples.known[0, 0].tolist() == [[1, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    wide = RoiGrid((6, 4), spacing_mm=(1.0, 1.0), patch_spacing_mm=(1.0, 1.0))
    samples = samples_on_grid(torch.rand(1, 1, 4, 4), target, grid=wide, labels=LabelSpace(3, ignore_label=3))
    assert samples.known[0, 0, 0].tolist() == [1, 1, 1, 1]
    assert samples.maps[0, :, 0, 0].tolist() == [1, 0, 0]


def test_overlapping_regions():
    target = torch.zeros(1, 2, 8, 8, dtype=torch.bool)
    target[0, 0, 2:6, 2:6] = True
    target[0, 1, 3:5, 3:5] = True
    wide = RoiGrid((10, 4), spacing_mm=(1.0, 1.0), patch_spacing_mm=(1.0, 1.0))
    samples = samples_on_grid(torch.rand(1, 1, 8, 8), target, grid=wide, labels=LabelSpace(2, regions=True))
    assert torch.equal(samples.maps[0, :, 1:9], target[0, :, :, 2:6].float())
    assert samples.maps[0, :, 0].sum() == 0  # background beyond the patch is no region


def test_shares_of_an_epoch_by_hand():
    first = {"samples": 2, "valid": 2, "cut": 0, "outside": 0.25}
    second = {"samples": 2, "valid": 1, "cut": 1, "outside": 0.5}
    # One of four is cut off and masked; of three valid ones a quarter of the anatomy lies beyond, on average.
    assert grid_shares([first, second]) == {"cut_off_share": 0.25, "masked_share": 0.25, "outside_share": 0.25}
