"""The acquisition model against sums written out by hand."""

import math

import numpy as np
import pytest
import torch

from acnn_nnunet.sr.degradation.acquisition import Acquisition, acquire, add_noise, degrade, pad_slices, slice_profile


def ramp(length, axis=0):
    """A volume whose value is its index along the axis."""
    shape = [3, 3, 3]
    shape[axis] = length
    along = [1, 1, 1]
    along[axis] = length
    return torch.arange(length, dtype=torch.float64).view(along).expand(shape)[None, None].clone()


@pytest.mark.parametrize("factor", range(2, 9))
@pytest.mark.parametrize("profile", ["gaussian", "boxcar"])
def test_a_slice_lies_in_the_middle_of_its_block(factor, profile):
    stack = degrade(ramp(6 * factor), factor, profile=profile)[0, 0, :, 0, 0]
    # A profile that is symmetric about its centre leaves a ramp as it is: the slice reads its own position. The
    # outermost slices see the repeated border and are left out.
    expected = torch.tensor([factor * k + (factor - 1) / 2 for k in range(6)], dtype=torch.float64)
    torch.testing.assert_close(stack[2:-2], expected[2:-2], rtol=0, atol=1e-9)


def test_the_boxcar_is_the_mean_of_the_block():
    volume = torch.tensor([1.0, 3.0, 10.0, 20.0]).view(1, 1, 4, 1, 1)
    assert degrade(volume, 2, profile="boxcar").flatten().tolist() == [2.0, 15.0]


def test_the_gaussian_weighs_neighbours_beyond_the_block():
    # K = 1, σ = 1 voxel, cut at 3σ: taps at −3 … 3, of which an impulse shows the mirrored weights.
    volume = torch.zeros(1, 1, 9, 1, 1, dtype=torch.float64)
    volume[0, 0, 4] = 1
    weights = [math.exp(-0.5 * d * d) for d in range(-3, 4)]
    expected = [0.0, *(w / sum(weights) for w in weights), 0.0]
    assert degrade(volume, 1, sigma_voxels=1.0).flatten().tolist() == pytest.approx(expected)


def test_the_default_width_is_the_papers():
    # Slices of 10 mm from 2 mm: K = 5, σ = 0.4·5 = 2 voxels = 4 mm, reach ceil(3·2 − 2.5) = 4 on either side.
    weights = slice_profile(5)
    assert weights.numel() == 13
    assert (weights[6] / weights[4]).item() == pytest.approx(math.exp(0.5 * (2 / 2) ** 2))
    assert weights.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis_may_be_the_through_plane_one(axis):
    stack = degrade(ramp(12, axis), 3, axis=axis, profile="boxcar")
    assert stack.shape[2 + axis] == 4
    assert stack.movedim(2 + axis, 2)[0, 0, :, 0, 0].tolist() == pytest.approx([1.0, 4.0, 7.0, 10.0])


def test_a_gradient_reaches_the_volume():
    volume = torch.rand(1, 1, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: degrade(v, 2), volume)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"factor": 5}, "does not divide the 12 slices"),
        ({"factor": 0}, "does not divide"),
        ({"factor": 2, "profile": "sinc"}, "there are gaussian, boxcar"),
        ({"factor": 2, "sigma_voxels": 0.0}, "has to be positive"),
    ],
)
def test_what_cannot_work_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        degrade(ramp(12), **kwargs)


def test_noise_has_the_asked_for_strength_and_repeats():
    volume = torch.zeros(2, 1, 40, 40, 40)
    noisy = add_noise(volume, torch.tensor([0.5, 2.0]), generator=torch.Generator().manual_seed(3))
    # 64000 draws: the standard error of an SD is σ/√(2n) = 0.3 %.
    assert noisy[0].std().item() == pytest.approx(0.5, rel=0.015)
    assert noisy[1].std().item() == pytest.approx(2.0, rel=0.015)
    torch.testing.assert_close(
        noisy, add_noise(volume, torch.tensor([0.5, 2.0]), generator=torch.Generator().manual_seed(3))
    )


def test_channels_move_together_and_samples_apart():
    volume = torch.rand(1, 1, 8, 12, 12).expand(2, 2, -1, -1, -1)
    stack = acquire(volume, Acquisition(2, motion_mm=3, rotation_deg=10), (1.0, 1.0, 1.0), axis=0)
    assert stack.shape == (2, 2, 4, 12, 12)
    torch.testing.assert_close(stack[:, 0], stack[:, 1])
    assert (stack[0] - stack[1]).abs().max() > 0.01


@pytest.mark.parametrize(("slices", "expected"), [(6, [0, 1, 2, 3, 4, 5]), (7, [0, 1, 2, 3, 4, 5, 6, 6, 6])])
def test_the_last_slice_goes_on_until_the_factor_divides(slices, expected):
    volume = np.arange(slices, dtype=float).reshape(1, 1, slices, 1)
    assert pad_slices(volume, 3, axis=1).ravel().tolist() == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 1}, "2 or more, not 1"),
        ({"profile": "sinc"}, "there are gaussian, boxcar"),
        ({"sigma_mm": 0.0}, "--sigma-mm is positive, not 0.0"),
        ({"motion_mm": -1.0}, "--motion-mm is 0 or more, not -1.0"),
        ({"rotation_deg": float("nan")}, "--rotation-deg is 0 or more, not nan"),
        ({"noise": -0.1}, "--noise is 0 or more"),
        ({"drop": 1.5}, "--drop is a probability from 0 to 1, not 1.5"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Acquisition(**{"factor": 2, **options})


@pytest.mark.parametrize(
    ("factor", "thickness", "expected"),
    [
        # A slice of 2 HR slices every 4: the outer two are a gap that nobody sees.
        (4, 2.0, [0, 0.5, 0.5, 0]),
        # 3 of 4: half of the outer ones.
        (4, 3.0, [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
        # 5 of 4: half an HR slice on either side overlaps with the neighbours.
        (4, 5.0, [0.1, 0.2, 0.2, 0.2, 0.2, 0.1]),
        # Thinner than an HR slice: the middle one.
        (3, 0.5, [0, 1, 0]),
    ],
)
def test_a_slice_is_as_thick_as_told(factor, thickness, expected):
    profile = slice_profile(factor, profile="boxcar", thickness_voxels=thickness)
    assert profile.tolist() == pytest.approx(expected)


def test_the_gaussian_follows_the_thickness():
    told = slice_profile(5, thickness_voxels=4)
    assert torch.equal(told, slice_profile(5, sigma_voxels=1.6))  # 0.4 · 4
    assert torch.equal(slice_profile(5, thickness_voxels=5), slice_profile(5))
    # Between two HR slices, which are more than 38 σ away, the thinnest slice sees both alike.
    assert slice_profile(4, thickness_voxels=0.02).tolist() == [0, 0.5, 0.5, 0]


def test_what_lies_between_slices_is_unseen():
    # Slices of 8 mm every 10, HR slices of 2 mm: the first and the last mm of each block.
    volume = torch.zeros(1, 1, 20, 2, 2)
    volume[:, :, [4, 5]] = 7.0  # the last HR slice of the first block, and the first one of the second
    acquisition = Acquisition(5, profile="boxcar", thickness_mm=6.0)
    assert acquire(volume, acquisition, (2.0, 1.0, 1.0), axis=0).abs().max() == 0
    assert acquire(volume, Acquisition(5, profile="boxcar"), (2.0, 1.0, 1.0), axis=0).max() > 1


def test_slices_more_than_twice_as_thick_as_apart():
    with pytest.raises(ValueError, match=r"--thickness makes slices of 21 mm, more than twice their spacing of 10 mm"):
        acquire(torch.zeros(1, 1, 10, 2, 2), Acquisition(5, thickness_mm=21.0), (2.0, 1.0, 1.0), axis=0)
    with pytest.raises(ValueError, match=r"--thickness is positive, not 0\.0"):
        Acquisition(5, thickness_mm=0.0)
    with pytest.raises(ValueError, match=r"slices are -1 voxels thick"):
        slice_profile(5, thickness_voxels=-1)
