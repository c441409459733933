"""The paper's autoencoder: Table V, layer by layer."""

import pytest
import torch
from layer_tables import PAPER, leaves, rows
from torch import nn

from acnn_nnunet.shape_prior.networks.architecture import plan_autoencoder
from acnn_nnunet.shape_prior.networks.autoencoder import (
    Decoder,
    Encoder,
    convolution,
    crop,
    normalised,
    transposed_convolution,
)

# (kernel, stride, kernels, normalised, non-linearity) row by row as printed.
TABLE_V_ENCODER = [
    ((3, 3, 3), (2, 2, 1), 16, True),
    ((3, 3, 3), (1, 1, 1), 16, True),
    ((3, 3, 3), (2, 2, 2), 32, True),
    ((3, 3, 3), (1, 1, 1), 32, True),
    ((3, 3, 3), (2, 2, 2), 64, True),
    ((3, 3, 3), (1, 1, 1), 64, True),
    ((3, 3, 3), (3, 3, 3), 1, True),
]
TABLE_V_DECODER = [
    ((7, 7, 7), (3, 3, 3), 64, True),
    ((3, 3, 3), (1, 1, 1), 64, True),
    ((4, 4, 4), (2, 2, 2), 32, True),
    ((3, 3, 3), (1, 1, 1), 32, True),
    ((4, 4, 4), (2, 2, 2), 16, True),
    ((3, 3, 3), (1, 1, 1), 16, True),
    ((4, 4, 1), (2, 2, 1), 16, True),
    ((3, 3, 3), (1, 1, 1), 3, False),
]


def test_encoder_is_table_v():
    plan = plan_autoencoder(PAPER, num_classes=3)
    encoder = Encoder(plan, in_channels=3, code_size=64)
    assert rows(leaves(encoder)) == TABLE_V_ENCODER
    assert plan.sizes[1:] == ((60, 60, 60), (30, 30, 30), (15, 15, 15), (5, 5, 5))
    assert plan.bottleneck == (1, 5, 5, 5)
    assert (encoder.to_code.in_features, encoder.to_code.out_features) == (125, 64)
    # Every convolution is followed by a ReLU, the fully connected layer by nothing.
    assert sum(isinstance(leaf, nn.ReLU) for leaf in leaves(encoder)) == len(TABLE_V_ENCODER)
    assert leaves(encoder)[-1] is encoder.to_code


def test_decoder_is_table_v():
    plan = plan_autoencoder(PAPER, num_classes=3)
    decoder = Decoder(plan, out_channels=3, code_size=64)
    convolutions = [
        leaf for pair in zip(decoder.upsampling, decoder.refinement, strict=True) for m in pair for leaf in leaves(m)
    ]
    assert rows(convolutions) == TABLE_V_DECODER
    linear, relu = decoder.from_code
    assert (linear.in_features, linear.out_features) == (64, 125)
    assert isinstance(relu, nn.ReLU)
    assert not isinstance(convolutions[-1], nn.ReLU)


def test_a_far_off_prediction_still_has_a_gradient():
    """The uniform map of an untrained segmenter is no anatomy; with a ReLU in front of the code it may move nothing."""
    encoder = Encoder(plan_autoencoder((16, 16, 16), num_classes=4), in_channels=4, code_size=64)
    for _ in range(20):
        encoder(torch.rand(2, 4, 16, 16, 16).round())
    maps = torch.full((1, 4, 16, 16, 16), 0.25, requires_grad=True)
    encoder.eval()(maps).square().sum().backward()
    assert maps.grad.norm() > 0


@pytest.mark.parametrize("stride", [(1, 2), (3, 1), (2, 3, 1)])
def test_a_transposed_convolution_multiplies_the_size_by_its_stride(stride):
    maps = torch.zeros(1, 2, *(5 for _ in stride))

    found = transposed_convolution(2, 4, stride)(maps)

    assert tuple(found.shape) == (1, 4, *(5 * step for step in stride))


@pytest.mark.parametrize(("size", "expected"), [((1, 1), (1, 1)), ((4, 5), (2, 5)), ((7, 9), (4, 9))])
def test_a_convolution_divides_the_size_by_its_stride_rounded_up(size, expected):
    assert tuple(convolution(3, 2, (2, 1))(torch.zeros(1, 3, *size)).shape) == (1, 2, *expected)


def test_normalised_maps_have_mean_zero_and_variance_one_before_the_relu():
    maps = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]])  # mean 4, variance 5

    found = normalised(nn.Identity(), 1, 2, rectified=False)(maps)

    torch.testing.assert_close(found, (maps - 4) / 5**0.5, rtol=1e-4, atol=1e-4)
    assert normalised(nn.Identity(), 1, 2)(maps).min() == 0


def test_what_is_too_much_is_cut_off_at_the_far_end():
    maps = torch.arange(12.0).reshape(1, 1, 3, 4)

    assert crop(maps, (2, 3)).tolist() == [[[[0, 1, 2], [4, 5, 6]]]]
    assert crop(maps, (3, 4)).tolist() == maps.tolist()
