import pytest
import torch

from acnn_nnunet.refinement.segmentation_errors import draw_errors
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

CLASSES = LabelSpace(3)


def blocks(size=(16, 20, 24)) -> torch.Tensor:
    """Return the map (4, 3, …) of two blocks side by side."""
    labels = torch.zeros(size, dtype=torch.long)
    labels[4:12, 5:15, 4:12], labels[4:12, 5:15, 12:20] = 1, 2
    return torch.nn.functional.one_hot(labels, 3).permute(3, 0, 1, 2)[None].float().repeat(4, 1, 1, 1, 1)


@pytest.mark.parametrize("strength", [0.0, 0.5, 2.0])
def test_every_voxel_has_one_class(strength):
    spoilt = draw_errors(blocks(), CLASSES, strength=strength)

    assert set(spoilt.unique().tolist()) <= {0.0, 1.0}
    assert (spoilt.sum(1) == 1).all()


def test_without_strength_only_sharp_corners_are_lost():
    maps = blocks()

    wrong = (draw_errors(maps, CLASSES, strength=0.0) != maps).any(1)

    # Of 27 voxels around an edge's voxel 12 are the block's, around a corner's 8: both become background.
    assert not wrong[:, 5:11, 6:14, 5:19].any()
    assert wrong[0, 4, 5, 4]
    assert 0 < wrong.float().mean() < 0.05


def test_stronger_errors_are_more_and_each_sample_has_its_own():
    maps = blocks()

    torch.manual_seed(1)
    few = (draw_errors(maps, CLASSES, strength=0.2) != maps).flatten(1).float().mean(1)
    torch.manual_seed(1)
    many = (draw_errors(maps, CLASSES, strength=1.0) != maps).flatten(1).float().mean(1)

    assert many.mean() > 3 * few.mean()
    assert len(set(many.tolist())) == 4


def test_regions_may_overlap():
    regions = LabelSpace(2, regions=True)
    inner, outer = blocks()[:, 1:2], blocks()[:, 1:].sum(1, keepdim=True)

    spoilt = draw_errors(torch.cat([outer, inner], 1), regions, strength=0.0)

    assert set(spoilt.unique().tolist()) == {0.0, 1.0}
    assert (spoilt.sum(1) == 2).any()


def test_an_empty_map_without_errors_stays_empty():
    empty = torch.zeros(1, 3, 8, 8)
    empty[:, 0] = 1

    assert torch.equal(draw_errors(empty, CLASSES, strength=0.0), empty)
