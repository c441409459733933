"""Windows joined on the HR grid against whole-volume inference."""

import itertools

import pytest
import torch
from torch import nn

from acnn_nnunet.sr.inference.sliding_window import predict_sliding_window
from acnn_nnunet.sr.upsampling import ThroughPlaneUpsampling, interpolate_slices


class Local(nn.Module):
    """A convolution and an upsampling, no normalisation: an HR voxel sees two LR slices to either side, one pixel."""

    def __init__(self, factor, axis):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(2, 3, 3, padding=1), ThroughPlaneUpsampling(3, factor, axis=axis))

    def forward(self, stack):
        return self.layers(stack)


class Pointwise(nn.Module):
    """What it puts out for a voxel depends on this voxel alone, and on where it lies in the window."""

    def forward(self, stack):
        return stack.repeat_interleave(2, dim=2) ** 2


def check_everywhere(prediction, expected, tolerance=1e-4):
    assert prediction.shape == expected.shape
    assert prediction.dtype == torch.float32
    torch.testing.assert_close(prediction, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("factor", range(2, 9))
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_it_is_whole_volume_inference(factor, axis):
    network = Local(factor, axis).eval()
    size, patch_size = [13, 9, 8], [6, 7, 8]
    size[axis], patch_size[axis] = 29, 16
    stack = torch.randn(2, *size)
    with torch.inference_mode():
        expected = network(stack[None])[0]
    prediction = predict_sliding_window(network, stack, patch_size=patch_size, factor=factor, axis=axis)
    check_everywhere(prediction, expected)


@pytest.mark.parametrize("step_size", [0.2, 0.5, 0.75])
def test_any_step_that_leaves_a_quarter_of_overlap(step_size):
    network = Local(3, 0).eval()
    stack = torch.randn(2, 37, 10, 8)
    with torch.inference_mode():
        expected = network(stack[None])[0]
    prediction = predict_sliding_window(network, stack, patch_size=(16, 8, 8), factor=3, axis=0, step_size=step_size)
    check_everywhere(prediction, expected)


@pytest.mark.parametrize("size", [(4, 4, 4), (8, 8, 8), (9, 11, 5), (2, 3, 4), (1, 12, 6)])
def test_windows_that_do_not_overlap_and_stacks_of_any_size(size):
    stack = torch.randn(1, *size)
    prediction = predict_sliding_window(Pointwise(), stack, patch_size=(4, 4, 4), factor=2, axis=0, step_size=1)
    check_everywhere(prediction, stack.repeat_interleave(2, dim=1) ** 2, 1e-5)


def test_a_stack_smaller_than_the_patch_lies_in_the_middle_of_zeros():
    network = Local(3, 1).eval()
    stack = torch.randn(2, 5, 2, 4)
    padded = torch.zeros(2, 6, 5, 4)
    padded[:, 0:5, 1:3] = stack  # 1 missing: none before; 3 missing: one before
    with torch.inference_mode():
        expected = network(padded[None])[0][:, 0:5, 3:9]
    check_everywhere(predict_sliding_window(network, stack, patch_size=(6, 5, 4), factor=3, axis=1), expected)


def test_mirroring_is_the_mean_over_all_mirrored_stacks():
    network = Local(3, 0).eval()
    stack = torch.randn(2, 4, 5, 6)
    outputs = []
    with torch.inference_mode():
        for flipped in itertools.product([False, True], repeat=2):
            axes = [axis for axis, flip in zip((1, 3), flipped, strict=True) if flip]
            outputs.append(network(stack.flip(axes)[None])[0].flip(axes))
    prediction = predict_sliding_window(network, stack, patch_size=(4, 5, 6), factor=3, axis=0, mirror_axes=(0, 2))
    assert (outputs[0] - outputs[3]).abs().max() > 0.1
    check_everywhere(prediction, torch.stack(outputs).mean(0), 1e-5)


def test_a_window_counts_most_in_its_middle():
    class Counting(nn.Module):
        calls = 0

        def forward(self, stack):
            self.calls += 1
            return torch.full((1, 1, *stack.shape[2:]), float(self.calls)).repeat_interleave(2, dim=2)

    # Windows 1, 2 and 3 begin at slices 0, 2 and 4 of 8: where one of them is in its middle it rules, and between two
    # middles, at HR slices 5 and 6, the mean of both.
    stack = torch.zeros(1, 8, 1, 1)
    line = predict_sliding_window(Counting(), stack, patch_size=(4, 1, 1), factor=2, axis=0)[0, :, 0, 0]
    assert line[:4].tolist() == pytest.approx([1, 1, 1, 1], abs=1e-2)
    assert line[7:9].tolist() == pytest.approx([2, 2], abs=1e-2)
    assert (line[5] + line[6]).item() == pytest.approx(3, abs=1e-5)
    assert line[12:].tolist() == pytest.approx([3, 3, 3, 3], abs=1e-2)
    assert line.diff().min() >= 0


def test_half_precision_is_added_up_in_float32():
    class Half(nn.Module):
        def forward(self, stack):
            return interpolate_slices(stack, 2).half()

    stack = torch.full((1, 20, 4, 4), 1000.5)
    prediction = predict_sliding_window(Half(), stack, patch_size=(4, 4, 4), factor=2, axis=0, step_size=0.3)
    check_everywhere(prediction, torch.full((1, 40, 4, 4), 1000.5), 1e-3)


@pytest.mark.parametrize("step_size", [0, -0.5, 1.01])
def test_a_step_out_of_range(step_size):
    with pytest.raises(ValueError, match="-step_size is more than 0 and at most 1"):
        predict_sliding_window(
            Pointwise(), torch.zeros(1, 4, 4, 4), patch_size=(4, 4, 4), factor=2, axis=0, step_size=step_size
        )
