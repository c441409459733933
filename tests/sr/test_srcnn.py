"""The baseline in HR space."""

import pytest
import torch

from acnn_nnunet.sr.network import FIGURE_2, SubPixelUNet
from acnn_nnunet.sr.srcnn import SRCNN, features_for
from acnn_nnunet.sr.upsampling import interpolate_slices


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_as_many_parameters_as_the_network_of_figure_2():
    target = num_parameters(SubPixelUNet(1, 1, **FIGURE_2))
    network = SRCNN(1, factor=5, axis=0, features=features_for(target, channels=1))
    assert abs(num_parameters(network) - target) <= 0.02 * target


@pytest.mark.parametrize(("channels", "dimensions", "features"), [(1, 3, 109), (3, 3, 20), (2, 2, 33)])
def test_the_width_is_found_again(channels, dimensions, features):
    network = SRCNN(channels, factor=2, axis=0, features=features, dimensions=dimensions)
    assert features_for(num_parameters(network), channels=channels, dimensions=dimensions) == features


@pytest.mark.parametrize("interpolation", ["linear", "bspline"])
@pytest.mark.parametrize("axis", [0, 2])
def test_training_starts_from_the_interpolation(interpolation, axis):
    network = SRCNN(2, factor=4, axis=axis, features=5, interpolation=interpolation)
    stack = torch.rand(1, 2, 3, 4, 5)
    torch.testing.assert_close(network(stack), interpolate_slices(stack, 4, axis=axis, method=interpolation))


def test_it_learns_in_hr_space():
    network = SRCNN(1, factor=3, axis=0, features=4)
    stack, target = torch.rand(2, 1, 4, 6, 6), torch.rand(2, 1, 12, 6, 6)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = (network(stack) - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


def test_autocast_keeps_the_interpolated_part_exact():
    network = SRCNN(1, factor=5, axis=0, features=3)
    stack = torch.rand(1, 1, 3, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        prediction = network(stack)
    torch.testing.assert_close(prediction, interpolate_slices(stack, 5))


def test_an_unknown_interpolation():
    with pytest.raises(ValueError, match="no interpolation 'cubic'; there are linear, bspline"):
        SRCNN(1, factor=2, axis=0, features=2, interpolation="cubic")
