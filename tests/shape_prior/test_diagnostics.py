"""Measures of codes and distances: on spectra, curves and gradients whose values follow by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from acnn_nnunet.shape_prior.diagnostics import (
    code_spread,
    dimension_shapes,
    dose_response,
    example_logits,
    gradient_norms,
    mean_distance_between,
    prediction_error,
    rank_correlation,
)
from acnn_nnunet.shape_prior.loss.code_distance import SquaredDistance


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
    assert shape.normality_p is None
    assert not shape.looks_normal
    assert not shape.looks_multimodal


def test_dose_response_looks_within_cases():
    # Cases far apart from each other, each of which rises: a pooled rank correlation would be low.
    response = dose_response([0, 1, 2], np.array([[0.0, 1, 2], [100, 101, 102]]))
    assert response.spearman == pytest.approx(1)
    assert response.monotone
    assert response.means == [50, 51, 52]


def test_dose_response_that_falls_or_stays():
    # Ranks 1 3 2 against 1 2 3: rho = 1 - 6·2 / (3·8) = 0.5.
    response = dose_response([0, 1, 2], np.array([[0.0, 2, 1]]))
    assert response.spearman == pytest.approx(0.5)
    assert not response.monotone
    constant = dose_response([0, 1, 2], np.ones((2, 3)))
    assert constant.spearman is None
    assert not constant.monotone


def test_steps_without_change_are_still_monotone():
    assert dose_response([0, 1, 2], np.array([[0.0, 1, 1]])).monotone


def test_rank_correlation_of_a_constant():
    assert rank_correlation(np.ones(4), np.arange(4)) is None
    assert rank_correlation(np.arange(4), -np.arange(4)) == pytest.approx(-1)


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


def test_gradient_norms_by_hand():
    # d/dx of Σ 3x is 3 in each of four entries: norm 6; of Σ x² it is 2x.
    losses = {"linear": lambda x, _: 3 * x.sum(), "square": lambda x, t: (x - t).square().sum()}
    logits = torch.ones(1, 1, 2, 2)
    norms = gradient_norms(losses, logits, torch.zeros(1, 1, 2, 2))
    assert norms == pytest.approx({"linear": 6, "square": 4})
    assert not logits.requires_grad


@pytest.mark.parametrize("regions", [False, True])
def test_example_logits_are_near_wrong_and_uniform(regions):
    maps = nn.functional.one_hot(torch.randint(3, (2, 4, 4)), 3).movedim(-1, 1).float()
    corrupted = maps.roll(1, 2)
    activate = torch.sigmoid if regions else lambda x: torch.softmax(x, 1)
    probabilities = {name: activate(x) for name, x in example_logits(maps, corrupted, regions=regions).items()}
    assert (probabilities["near_perfect"] - maps).abs().max() < 0.002
    assert torch.equal((probabilities["perturbed"] > 0.5).float(), corrupted)
    torch.testing.assert_close(probabilities["uniform"], torch.full_like(maps, 0.5 if regions else 1 / 3))
