"""Distances of codes against hand calculation and NumPy."""

import numpy as np
import pytest
import torch

from acnn_nnunet.shape_prior.code_distance import SquaredDistance, WhitenedDistance, code_statistics


def test_squared_distance_by_hand():
    assert SquaredDistance()(torch.tensor([[1.0, 2], [0, 0]]), torch.tensor([[4.0, 6], [0, 0]])).tolist() == [25, 0]


def test_whitened_distance_is_mahalanobis():
    covariance = torch.tensor([[4.0, 1.0], [1.0, 0.5]])
    difference = np.array([1.0, -2.0])
    expected = difference @ np.linalg.inv(covariance.numpy().astype(float)) @ difference
    code = torch.tensor(difference[None]).float()
    assert WhitenedDistance(covariance)(code, torch.zeros(1, 2)).item() == pytest.approx(expected, rel=1e-5)


def test_statistics_of_many_codes_approach_their_distribution():
    generator = np.random.default_rng(0)
    covariance = np.array([[2.0, 0.6], [0.6, 1.0]])
    codes = torch.from_numpy(generator.multivariate_normal([3.0, -1.0], covariance, size=20000)).float()
    mean, estimated = code_statistics(codes)
    assert mean.numpy() == pytest.approx([3.0, -1.0], abs=0.05)
    assert estimated.numpy() == pytest.approx(covariance, abs=0.05)


@pytest.mark.parametrize(
    "codes",
    [torch.randn(3, 8), torch.cat([torch.randn(50, 7), torch.zeros(50, 1)], 1), torch.ones(5, 4)],
    ids=["fewer than dimensions", "a dead dimension", "all the same"],
)
def test_covariance_can_always_be_whitened(codes):
    _, covariance = code_statistics(codes)
    assert torch.isfinite(WhitenedDistance(covariance)(codes, codes.flip(0))).all()


@pytest.mark.parametrize("codes", [torch.randn(1, 4), torch.full((5, 4), float("nan"))])
def test_useless_codes_are_refused(codes):
    with pytest.raises(ValueError, match="at least two finite codes"):
        code_statistics(codes)
