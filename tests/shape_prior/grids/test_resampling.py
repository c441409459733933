"""Separable interpolation against hand calculation and SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from acnn_nnunet.shape_prior.grids.resampling import interpolation_weights, resample, share_inside


def sampled(values, *, start: float, step: float, length: int, beyond=0.0) -> list[float]:
    maps = torch.tensor(values)[None, None]
    weights = interpolation_weights(torch.tensor([start]), step, length, len(values))
    return resample(maps, (weights,), beyond=beyond)[0, 0].tolist()


def test_whole_steps_copy():
    assert sampled([1.0, 2, 4, 8], start=1, step=1, length=2) == [2, 4]


def test_between_voxels_is_linear():
    # At 0.5, 1.0, 1.5: the mean of 1 and 2, 2, the mean of 2 and 4.
    assert sampled([1.0, 2, 4, 8], start=0.5, step=0.5, length=3) == [1.5, 2, 3]


def test_beyond_the_ends_lies_the_given_value():
    # -1 lies beyond; -0.5 is half beyond: 0.5·1 + 0.5·10.
    assert sampled([1.0, 2], start=-1, step=0.5, length=3, beyond=10.0) == [10, 5.5, 1]
    assert sampled([1.0, 2], start=1.5, step=0.5, length=2) == [1, 0]


def test_wide_steps_miss_nothing():
    # A triangle of half-width 2 at position 3: weights ¼ ½ ¼ of voxels 2, 3, 4.
    assert sampled([0.0, 0, 4, 0, 0, 0, 0], start=3, step=2, length=1) == [1]
    # Steps of 1.5 do not divide a triangle evenly, yet a constant stays one.
    assert sampled([3.0] * 12, start=3, step=1.5, length=4) == pytest.approx([3.0] * 4)


@pytest.mark.parametrize("axes", [2, 3])
def test_each_sample_has_weights_of_its_own_as_scipy_has_it(axes):
    generator = np.random.default_rng(0)
    shape, size, step = (7, 6, 5)[:axes], (4, 3, 6)[:axes], (0.5, 1.0, 0.25)[:axes]
    maps = torch.from_numpy(generator.random((2, 3, *shape)))
    starts = generator.random((2, axes)) + 1
    weights = tuple(
        interpolation_weights(torch.from_numpy(starts[:, i]), step[i], size[i], shape[i]) for i in range(axes)
    )
    result = resample(maps, weights, beyond=0.0)
    assert result.dtype == torch.float64
    for b in range(2):
        grid = [starts[b, i] + step[i] * np.arange(size[i]) for i in range(axes)]
        for c in range(3):
            expected = map_coordinates(maps[b, c].numpy(), np.meshgrid(*grid, indexing="ij"), order=1)
            assert result[b, c].numpy() == pytest.approx(expected, abs=1e-12)


def test_gradient_in_float64_by_finite_differences():
    weights = tuple(interpolation_weights(torch.tensor([0.3, -0.7]).double(), step, 4, 5) for step in (0.8, 1.7))
    maps = torch.rand(2, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m: resample(m, weights, beyond=(1.0, 0.0)), maps)


def test_an_outer_autocast_does_not_blur():
    # 1/3 would be 0.334 in bfloat16.
    weights = interpolation_weights(torch.tensor([0.0]), 1.0, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = resample(torch.full((1, 1, 3), 1 / 3), (weights,), beyond=0.0)
    assert result.dtype == torch.float32
    assert result[0, 0, 0].item() == pytest.approx(1 / 3, abs=1e-7)


def test_share_inside_by_hand():
    mask = torch.zeros(3, 1, 6, 4, dtype=torch.bool)
    mask[0, 0, 1:5, 1] = True  # rows 1 to 4; the box holds rows 2 to 3
    mask[1, 0, 2, 3] = True  # beyond the box's columns 0 to 2
    starts = [torch.tensor([2.0, 2.0, 2.0]), torch.tensor([0.0, 0.0, 0.0])]
    assert share_inside(mask, starts, (2, 3), (1.0, 1.0)).tolist() == [0.5, 0, 1]


def test_share_inside_counts_half_voxels_of_the_box():
    # Box voxels of half the size: 4 of them from -0.25 span -0.5 to 1.5, so rows 0 and 1 of three.
    mask = torch.ones(1, 1, 3, dtype=torch.bool)
    assert math.isclose(share_inside(mask, [torch.tensor([-0.25])], (4,), (0.5,)).item(), 2 / 3, rel_tol=1e-6)
