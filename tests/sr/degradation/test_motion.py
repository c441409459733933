"""Slices moved by hand-derived amounts."""

import pytest
import torch

from acnn_nnunet.sr.degradation.motion import SliceMotion, draw_motion, drop_slices, move_slices


def motion(translation_mm, rotation_deg):
    """The same motion of the one slice of one sample."""
    return SliceMotion(torch.tensor([[translation_mm]]), torch.tensor([[rotation_deg]]))


def one_voxel(y, x, shape=(7, 9)):
    volume = torch.zeros(1, 1, 1, *shape, dtype=torch.float64)
    volume[0, 0, 0, y, x] = 1
    return volume


def test_a_shift_in_mm_moves_by_voxels_along_the_right_axis():
    # 3 mm along y at 1.5 mm a voxel: 2 rows down; −2 mm along x at 2 mm: 1 column left.
    moved = move_slices(one_voxel(2, 5), motion((3.0, -2.0), 0.0), (1.5, 2.0))
    torch.testing.assert_close(moved, one_voxel(4, 4))


def test_a_quarter_turn_goes_from_the_first_axis_to_the_second():
    # On 7 × 7 voxels the middle is (3, 3); the voxel 2 further along y comes to lie 2 further along x.
    moved = move_slices(one_voxel(5, 3, (7, 7)), motion((0.0, 0.0), 90.0), (1.0, 1.0))
    torch.testing.assert_close(moved, one_voxel(3, 5, (7, 7)), atol=1e-9, rtol=0)


def test_rotation_is_rigid_in_mm_where_voxels_are_not_square():
    # 2 rows of 2 mm are 4 mm, and so 4 columns of 1 mm after a quarter turn.
    moved = move_slices(one_voxel(5, 5, (7, 11)), motion((0.0, 0.0), 90.0), (2.0, 1.0))
    torch.testing.assert_close(moved[0, 0, 0, 3, 9], torch.tensor(1.0, dtype=torch.float64))


def test_every_slice_moves_on_its_own_along_any_axis():
    volume = torch.zeros(1, 2, 5, 3, 5)
    volume[:, :, 2, :, 2] = 1  # a line along the through-plane axis 1
    shifts = SliceMotion(torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, -1.0]]]), torch.zeros(1, 3))
    moved = move_slices(volume, shifts, (1.0, 1.0), axis=1)
    found = [tuple(moved[0, 1, :, k].nonzero()[0].tolist()) for k in range(3)]
    assert found == [(2, 2), (3, 2), (2, 1)]


def test_the_border_goes_on_where_a_slice_moves_in():
    volume = torch.arange(3.0).view(1, 1, 1, 1, 3)
    moved = move_slices(volume, motion((0.0, 1.0), 0.0), (1.0, 1.0))
    torch.testing.assert_close(moved.flatten(), torch.tensor([0.0, 0.0, 1.0]))


def test_draws_stay_within_their_limits_differ_and_repeat():
    draws = [
        draw_motion(2, 50, translation_mm=4, rotation_deg=5, generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    ]
    assert torch.equal(draws[0].translation_mm, draws[1].translation_mm)
    assert 3 < draws[0].translation_mm.abs().max() <= 4
    assert 4 < draws[0].rotation_deg.abs().max() <= 5
    assert draws[0].rotation_deg.unique().numel() == 100


def test_lost_slices_are_dark_and_named():
    volume = torch.rand(2, 1, 4, 3, 3) + 1
    dropped, lost = drop_slices(volume, 0.5, generator=torch.Generator().manual_seed(0))
    assert lost.any()
    assert not lost.all()
    for sample in range(2):
        for k in range(4):
            expected = volume[sample].min() if lost[sample, k] else volume[sample, 0, k]
            torch.testing.assert_close(dropped[sample, 0, k], expected.expand(3, 3))
    assert torch.equal(drop_slices(volume, 0.0)[0], volume)


def test_bad_limits_are_refused():
    with pytest.raises(ValueError, match="0 or more"):
        draw_motion(1, 1, translation_mm=-1, rotation_deg=0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        drop_slices(torch.zeros(1, 1, 2, 2, 2), 1.5)
