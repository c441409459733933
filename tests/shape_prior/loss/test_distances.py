"""Distances of codes and of feature maps, by hand."""

import numpy as np
import pytest
import torch

from acnn_nnunet.shape_prior.loss.distances import (
    DecodedDistance,
    FeatureDistance,
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


def test_a_paper_autoencoder_has_no_linear_decoder():
    network = TLNetwork((8, 8), num_classes=2, image_channels=1, code_size=3)
    with pytest.raises(ValueError, match="decoded needs a shape prior of architecture=hybrid"):
        make_code_distance("decoded", network)


def test_by_hand():
    """Two scales; differences 2 and 4 over variances 4 and 16 make 1 each; the second scale differs by 3 over 1."""
    distance = FeatureDistance([torch.tensor([4.0, 16.0]), torch.tensor([1.0])])
    first = torch.zeros(1, 2, 2, 2)
    first[:, 0], first[:, 1] = 2, 4
    second = torch.full((1, 1, 1, 1), 3.0)
    zeros = [torch.zeros_like(first), torch.zeros_like(second)]
    assert distance([first, second], zeros).tolist() == [(1 + 9) / 2]
    assert distance(zeros, zeros).tolist() == [0]


def test_it_is_a_mean_over_voxels_and_a_value_a_sample():
    distance = FeatureDistance([torch.tensor([1.0])])
    maps = torch.tensor([[[0.0, 0, 0, 2]], [[2.0, 2, 2, 2]]])
    assert distance([maps], [torch.zeros_like(maps)]).tolist() == [1, 4]


def test_a_dead_channel_does_not_blow_up():
    # Mean variance 0.5, of which a hundredth is the floor: 0.1² / 0.005 = 2, averaged with 0.
    distance = FeatureDistance([torch.tensor([1.0, 0.0])])
    maps = torch.tensor([[[0.0], [0.1]]])
    assert distance([maps], [torch.zeros_like(maps)]).item() == pytest.approx(1.0)


def test_unrelated_maps_are_about_two_apart():
    variances = [torch.tensor([0.1, 7.0]), torch.tensor([2.0])]
    first, second = ([v.sqrt()[:, None] * torch.randn(3, len(v), 5000) for v in variances] for _ in range(2))
    assert FeatureDistance(variances)(first, second).tolist() == pytest.approx([2, 2, 2], rel=0.05)
