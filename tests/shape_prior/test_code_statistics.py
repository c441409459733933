"""Statistics of codes: mean and covariance, spread, distributions."""

import math

import numpy as np
import pytest
import torch

from acnn_nnunet.shape_prior.code_statistics import (
    code_spread,
    code_statistics,
    dimension_shapes,
    mean_distance_between,
    prediction_error,
)
from acnn_nnunet.shape_prior.loss.distances import (
    SquaredDistance,
    WhitenedDistance,
)


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


def codes_of_variances(*variances: float, count: int = 400) -> np.ndarray:
    """Exactly uncorrelated codes: rows of an orthonormal cosine basis, scaled."""
    steps = (np.arange(count) + 0.5) * np.pi / count
    basis = np.stack([np.cos((k + 1) * steps) for k in range(len(variances))], 1) * math.sqrt(2)
    return basis * np.sqrt(variances)


def test_equal_variances_fill_every_direction():
    spread = code_spread(codes_of_variances(2, 2, 2, 2))
    assert spread.effective_rank == pytest.approx(4)
    assert spread.active_dimensions == 4
    assert spread.eigenvalue_shares == pytest.approx([0.25] * 4)
    assert spread.variances == pytest.approx([2 * 400 / 399] * 4)


def test_the_effective_rank_is_exp_of_the_entropy():
    # Shares 1/2, 1/4, 1/4: entropy 1.5 ln 2.
    spread = code_spread(codes_of_variances(2, 1, 1))
    assert spread.effective_rank == pytest.approx(2**1.5)


def test_correlated_dimensions_are_active_but_add_no_rank():
    one = codes_of_variances(1)
    spread = code_spread(np.concatenate([one, -one, 3 * one], 1))
    assert spread.active_dimensions == 3
    assert spread.effective_rank == pytest.approx(1)


def test_a_dead_dimension_is_not_active():
    # The mean variance is near 1/2: 0.004 is below a hundredth of it, 0.006 above.
    assert code_spread(codes_of_variances(1, 0.004)).active_dimensions == 1
    assert code_spread(codes_of_variances(1, 0.006)).active_dimensions == 2


def test_more_dimensions_than_codes():
    spread = code_spread(np.eye(3, 10))
    assert spread.effective_rank == pytest.approx(2)  # three points span a plane, alike in both directions
    assert len(spread.eigenvalue_shares) == 10


def test_codes_that_never_move_have_no_active_dimension():
    spread = code_spread(np.ones((5, 3)))
    assert spread.active_dimensions == 0
    assert spread.effective_rank == 1


@pytest.mark.parametrize("codes", [np.ones((1, 3)), np.array([[1.0], [np.nan]])])
def test_codes_that_have_no_spread_are_refused(codes):
    with pytest.raises(ValueError, match="at least two finite"):
        code_spread(codes)


def test_shapes_of_dimensions():
    rng = np.random.default_rng(0)
    normal = rng.standard_normal(2000)
    two_modes = np.where(rng.random(2000) < 0.5, -4, 4) + 0.5 * rng.standard_normal(2000)
    skewed = rng.exponential(size=2000)
    shapes = dimension_shapes(np.stack([normal, two_modes, skewed, np.full(2000, 3.0)], 1))
    assert [shape.looks_normal for shape in shapes] == [True, False, False, False]
    assert [shape.looks_multimodal for shape in shapes][:2] == [False, True]
    # Two points are the extreme of Sarle's coefficient, 1; a normal distribution has 1/3.
    assert shapes[0].bimodality == pytest.approx(1 / 3, abs=0.03)
    assert shapes[1].bimodality > 0.9
    assert shapes[2].skewness == pytest.approx(2, abs=0.3)
    assert shapes[3].normality_p is None


def test_few_codes_say_nothing_of_a_distribution():
    (shape,) = dimension_shapes(np.random.default_rng(0).standard_normal((19, 1)))
    assert (shape.skewness, shape.excess_kurtosis, shape.normality_p) == (None, None, None)
    assert not shape.looks_normal
    assert not shape.looks_multimodal


def test_predicting_the_mean_has_a_relative_error_of_one():
    codes = torch.randn(10, 4)
    error = prediction_error(codes.mean(0, keepdim=True).expand(10, 4), codes, distance=SquaredDistance())
    assert error.relative == pytest.approx(1)
    assert prediction_error(codes, codes, distance=SquaredDistance()).relative == 0
    same = torch.ones(3, 4)
    assert prediction_error(same + 1, same, distance=SquaredDistance()).relative is None


def test_mean_distance_between_codes():
    # Squared distances of 0, 1 and 3: 1, 9 and 4.
    codes = torch.tensor([[0.0], [1.0], [3.0]])
    assert mean_distance_between(codes, distance=SquaredDistance()) == pytest.approx(14 / 3)
    assert mean_distance_between(codes[:1], distance=SquaredDistance()) is None
