"""Upsampling along the slices against positions derived by hand, NumPy and SciPy."""

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

from acnn_nnunet.sr.degradation.acquisition import degrade
from acnn_nnunet.sr.upsampling import ThroughPlaneUpsampling, interpolate_slices, linear_taps

FACTORS = range(2, 9)


def ramp(length, axis, dimensions=3):
    """(1, 1, …): the index along the axis; 3 voxels along the others."""
    shape, along = [3] * dimensions, [1] * dimensions
    shape[axis] = along[axis] = length
    return torch.arange(length, dtype=torch.float64).view(along).expand(shape)[None, None].clone()


def lr_ramp(factor, axis, num_slices=4, dimensions=3):
    """The HR index of each LR slice's centre, K·k + (K − 1)/2, as an LR stack."""
    return ramp(num_slices, axis, dimensions) * factor + (factor - 1) / 2


def inside(volume, factor, axis):
    """The HR slices between the centres of the first and the last LR slice."""
    half = factor // 2
    return volume.narrow(2 + axis, half, volume.shape[2 + axis] - 2 * half)


@pytest.mark.parametrize(
    ("factor", "taps"),
    [
        # Even: HR slices 1.5, 0.5, 0.5 and 1.5 HR voxels from the centre; 1 − 1.5/2 and 1 − 0.5/2.
        (2, [0.25, 0.75, 0.75, 0.25]),
        # Odd: tap 0 is 3 HR voxels away, a whole LR slice.
        (3, [0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]),
    ],
)
def test_taps(factor, taps):
    torch.testing.assert_close(linear_taps(factor), torch.tensor(taps, dtype=torch.float64))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_transposed_convolution_starts_as_a_ramp(factor, axis):
    layer = ThroughPlaneUpsampling(1, factor, axis=axis).double()
    prediction = layer(lr_ramp(factor, axis))
    expected = ramp(4 * factor, axis)
    assert prediction.shape == expected.shape
    torch.testing.assert_close(inside(prediction, factor, axis), inside(expected, factor, axis), rtol=0, atol=1e-6)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("method", ["linear", "bspline"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_interpolation_of_a_ramp(factor, method, axis):
    prediction = interpolate_slices(lr_ramp(factor, axis, num_slices=20), factor, axis=axis, method=method)
    expected = ramp(20 * factor, axis)
    assert prediction.shape == expected.shape
    # The ramp's kinks at the ends ring in a B-spline; 0.268 a slice is left of it, 3e-5 after eight slices.
    margin = 8 * factor if method == "bspline" else factor // 2
    middle = slice(margin, 20 * factor - margin)
    torch.testing.assert_close(
        prediction.movedim(2 + axis, 0)[middle], expected.movedim(2 + axis, 0)[middle], rtol=0, atol=1e-4 * factor
    )


@pytest.mark.parametrize("factor", FACTORS)
def test_linear_is_numpys_and_what_the_layer_starts_with(factor):
    stack = torch.rand(1, 2, 5, 3, 4, dtype=torch.float64)
    positions = (np.arange(5 * factor) - (factor - 1) / 2) / factor
    lines = np.apply_along_axis(lambda line: np.interp(positions, np.arange(5), line), 2, stack.numpy())
    torch.testing.assert_close(interpolate_slices(stack, factor), torch.from_numpy(lines))
    layer = ThroughPlaneUpsampling(2, factor, axis=0)
    torch.testing.assert_close(layer(stack.float()).double(), torch.from_numpy(lines), rtol=0, atol=1e-5)


@pytest.mark.parametrize("factor", FACTORS)
def test_the_bspline_is_the_cubic_spline_through_the_slices(factor):
    stack = torch.rand(2, 1, 3, 5, 4, dtype=torch.float64)
    repeated = np.pad(stack.numpy(), [(0, 0), (0, 0), (0, 0), (30, 30), (0, 0)], mode="edge")
    positions = (np.arange(5 * factor) - (factor - 1) / 2) / factor
    expected = CubicSpline(np.arange(-30, 35), repeated, axis=3)(positions)
    prediction = interpolate_slices(stack, factor, axis=1, method="bspline")
    torch.testing.assert_close(prediction, torch.from_numpy(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("factor", [2, 5])
@pytest.mark.parametrize("method", ["linear", "bspline"])
def test_one_slice_and_two_axes(factor, method):
    stack = torch.rand(1, 1, 1, 4)
    expected = stack.expand(1, 1, factor, 4)
    torch.testing.assert_close(interpolate_slices(stack, factor, method=method), expected)
    torch.testing.assert_close(ThroughPlaneUpsampling(1, factor, axis=0, dimensions=2)(stack), expected)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_constant_stays_one_up_to_the_ends(factor):
    layer = ThroughPlaneUpsampling(3, factor, axis=2)
    torch.testing.assert_close(layer(torch.ones(1, 3, 2, 2, 3)), torch.ones(1, 3, 2, 2, 3 * factor))


@pytest.mark.parametrize("factor", FACTORS)
def test_it_undoes_the_shift_of_degradation(factor):
    stack = degrade(ramp(12 * factor, 0), factor)
    prediction = interpolate_slices(stack, factor)
    middle = slice(4 * factor, 8 * factor)
    torch.testing.assert_close(prediction[0, 0, middle], ramp(12 * factor, 0)[0, 0, middle], rtol=0, atol=1e-9)


def test_the_bspline_keeps_its_precision_under_autocast():
    stack = torch.rand(1, 1, 6, 3, 3)
    expected = interpolate_slices(stack, 5, method="bspline")
    with torch.autocast("cpu", torch.bfloat16):
        prediction = interpolate_slices(stack, 5, method="bspline")
        linear = interpolate_slices(stack, 5)
    assert prediction.dtype == linear.dtype == torch.float32
    torch.testing.assert_close(prediction, expected)


def test_an_unknown_interpolation():
    with pytest.raises(ValueError, match="no interpolation 'cubic'; there are linear, bspline"):
        interpolate_slices(torch.zeros(1, 1, 2, 2, 2), 2, method="cubic")


@pytest.mark.parametrize("planned", [4, 5])
@pytest.mark.parametrize("factor", FACTORS)
def test_another_factor_starts_as_linear_interpolation_too(planned, factor):
    upsampling = ThroughPlaneUpsampling(2, planned, axis=0).double()
    stack = torch.rand(1, 2, 4, 3, 3, dtype=torch.float64)
    expected = interpolate_slices(stack, factor)
    torch.testing.assert_close(upsampling(stack, factor), expected, atol=1e-6, rtol=0)


def test_what_a_prediction_computed_serves_training():
    upsampling = ThroughPlaneUpsampling(1, 4, axis=0).double()
    stack = torch.rand(1, 1, 11, 3, 3, dtype=torch.float64)  # a size of which nothing is kept yet
    with torch.inference_mode():
        upsampling(stack, 7)
        interpolate_slices(stack, 7, method="bspline")

    (upsampling(stack, 7) * interpolate_slices(stack.requires_grad_(), 7, method="bspline")).sum().backward()

    assert upsampling.transposed.weight.grad.abs().sum() > 0


def test_what_was_learnt_is_read_at_the_other_factors_distances():
    upsampling = ThroughPlaneUpsampling(1, 4, axis=0).double()
    # On top of the interpolation: 1 at the taps ±1/8 of a spacing from the slice's centre, 0 elsewhere.
    with torch.no_grad():
        upsampling.transposed.weight[0, 0, [3, 4]] += 1
    impulse = torch.zeros(1, 1, 3, 1, 1, dtype=torch.float64)
    impulse[:, :, 1] = 1
    # Factor 2 has taps at ±1/4 and ±3/4: halfway from 1 at 1/8 to 0 at 3/8, and 0. Its linear taps are 3/4 and 1/4.
    found = upsampling(impulse, 2).flatten().tolist()
    assert found == pytest.approx([0, 0.25, 0.75 + 0.5, 0.75 + 0.5, 0.25, 0])
    torch.testing.assert_close(upsampling(impulse, 4), upsampling(impulse))


def test_all_factors_train_the_same_weights():
    upsampling = ThroughPlaneUpsampling(2, 5, axis=1)
    upsampling(torch.rand(1, 2, 3, 4, 3), 4).sum().backward()
    assert upsampling.transposed.weight.grad.abs().max() > 0
    assert upsampling.transposed.bias.grad is not None
