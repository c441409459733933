"""Distances of codes, by hand."""

import numpy as np
import pytest
import torch

from acnn_nnunet.shape_prior.loss.distances import (
    DecodedDistance,
    SquaredDistance,
    WhitenedDistance,
    make_code_distance,
)
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork


def test_squared_distance_by_hand():
    assert SquaredDistance()(torch.tensor([[1.0, 2], [0, 0]]), torch.tensor([[4.0, 6], [0, 0]])).tolist() == [25, 0]


def test_whitened_distance_is_mahalanobis():
    covariance = torch.tensor([[4.0, 1.0], [1.0, 0.5]])
    difference = np.array([1.0, -2.0])
    expected = difference @ np.linalg.inv(covariance.numpy().astype(float)) @ difference
    code = torch.tensor(difference[None]).float()
    assert WhitenedDistance(covariance)(code, torch.zeros(1, 2)).item() == pytest.approx(expected, rel=1e-5)


def test_decoded_distance_is_that_of_what_codes_stand_for():
    torch.manual_seed(0)
    weights, first, second = torch.randn(50, 6), torch.randn(3, 6), torch.randn(3, 6)
    expected = ((first - second) @ weights.T).square().mean(1)
    assert torch.allclose(DecodedDistance(weights)(first, second), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "expected"), [("l2", SquaredDistance), ("whitened", WhitenedDistance), ("decoded", DecodedDistance)]
)
def test_the_distance_that_a_setting_names(kind, expected):
    network = TLNetwork((8, 8), num_classes=2, image_channels=1, code_size=3, architecture="hybrid")
    assert type(make_code_distance(kind, network)) is expected


def test_what_a_decoder_leaves_out_does_not_count():
    torch.manual_seed(0)
    network = TLNetwork((8, 8), num_classes=3, image_channels=1, code_size=4, architecture="hybrid")
    network.decoder.foreground[0] = 0  # the background
    first, second = torch.randn(2, 4), torch.randn(2, 4)
    before = make_code_distance("decoded", network)(first, second)
    maps = [network.decoder.linear(code).unflatten(1, network.decoder.coarse) for code in (first, second)]
    assert torch.allclose(before, (maps[0] - maps[1])[:, 1:].square().sum((1, 2, 3)) / maps[0][0].numel(), rtol=1e-4)


def test_a_paper_autoencoder_has_no_linear_decoder():
    network = TLNetwork((8, 8), num_classes=2, image_channels=1, code_size=3)
    with pytest.raises(ValueError, match="decoded needs a shape prior of architecture=hybrid"):
        make_code_distance("decoded", network)
