"""Where the prior looks, and which anatomy is cut off there."""

import pytest
import torch

from acnn_nnunet.shape_prior.grids import PatchGrid, touches_face


def test_a_patch_without_anatomy_counts_and_is_not_cut_off():
    maps = torch.rand(2, 3, 4, 4, 4)
    view = PatchGrid((4, 4, 4)).around(torch.zeros(2, 1, 4, 4, 4, dtype=torch.bool))
    assert view.valid.tolist() == [True, True]
    assert view.cut_off.tolist() == [False, False]
    assert view.outside_share.tolist() == [0, 0]
    assert view(maps) is maps


@pytest.mark.parametrize("axis", [2, 3, 4])
@pytest.mark.parametrize("side", [0, -1])
def test_each_face_is_seen(axis, side):
    mask = torch.zeros(2, 1, 4, 5, 6, dtype=torch.bool)
    mask[0, 0, 2, 2, 2] = True
    mask[1].select(axis - 1, side)[0, 1, 1] = True
    assert touches_face(mask).tolist() == [False, True]


def test_two_dimensions():
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[0, 0, 1, 3] = True
    assert touches_face(mask).tolist() == [True]


def test_another_size_is_refused_by_name():
    with pytest.raises(ValueError, match=r"patches of \(4, 4, 4\) voxels, got \(4, 4, 5\)"):
        PatchGrid((4, 4, 4)).around(torch.zeros(1, 1, 4, 4, 5, dtype=torch.bool))
