"""Distances of feature maps against hand calculation."""

import pytest
import torch

from acnn_nnunet.shape_prior.loss.feature_distance import FeatureDistance, FeatureStatistics


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


def test_variances_of_batches_are_those_of_all_samples():
    maps = [torch.randn(7, 3, 4, 4) * 2 + 5, torch.randn(7, 2, 2, 2)]
    statistics = FeatureStatistics()
    for batch in (slice(0, 3), slice(3, 7)):
        statistics.add([scale[batch] for scale in maps])
    for variance, scale in zip(statistics.variances(), maps, strict=True):
        expected = scale.transpose(0, 1).flatten(1).var(1, unbiased=False)
        assert torch.allclose(variance, expected, rtol=1e-4)
