"""Agreement: the published example of Shrout & Fleiss, kappa by hand, and what has no agreement."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from acnn_nnunet.evaluation.reading.scores.agreement import intraclass_correlation, weighted_kappas

# Shrout & Fleiss (1979), Psychological Bulletin 86, Table 2: six targets, four judges.
SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])


def test_the_published_example():
    icc = intraclass_correlation(SHROUT_FLEISS)

    # Their Table 4: ICC(2,1) = .29, ICC(2,4) = .62.
    assert icc.single == pytest.approx(0.29, abs=0.005)
    assert icc.average == pytest.approx(0.62, abs=0.005)


def test_the_published_example_from_its_mean_squares():
    icc = intraclass_correlation(SHROUT_FLEISS)

    # Their Table 3: between targets 11.24, between judges 32.49, residual 1.02.
    assert icc.single == pytest.approx((11.24 - 1.02) / (11.24 + 3 * 1.02 + 4 * (32.49 - 1.02) / 6), abs=1e-3)
    assert icc.average == pytest.approx((11.24 - 1.02) / (11.24 + (32.49 - 1.02) / 6), abs=1e-3)


def test_readers_who_agree_and_who_differ_by_a_constant():
    ratings = np.array([[1, 1], [3, 3], [5, 5]])
    shifted = np.array([[1, 2], [3, 4], [5, 6]])

    assert intraclass_correlation(ratings).single == pytest.approx(1)
    # Means of squares by hand: items 8, readers 1.5, residual 0, so 8 / (8 + 2 · 1.5 / 3).
    assert intraclass_correlation(shifted).single == pytest.approx(8 / 9)


@pytest.mark.parametrize("ratings", [np.ones((4, 1)), np.ones((1, 4))], ids=["one reader", "one item"])
def test_too_few_for_an_agreement(ratings):
    assert intraclass_correlation(ratings) is None


def test_nothing_varies():
    icc = intraclass_correlation(np.full((4, 2), 3))

    assert icc.single is None
    assert icc.average is None
    assert np.isnan(weighted_kappas(np.full((4, 2), 3), ["a", "b"], range(1, 6))["a", "b"])


def test_kappa_by_hand():
    # Two readers, four items: (1, 1), (1, 2), (2, 2), (2, 1). Observed disagreement 2/4; each reader gives 1 and 2
    # twice, so chance says 1/2 as well: kappa 0, whatever the weights.
    ratings = np.array([[1, 1], [1, 2], [2, 2], [2, 1]])

    assert weighted_kappas(ratings, ["a", "b"], range(1, 6)) == {("a", "b"): pytest.approx(0)}


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn_for_each_pair(seed):
    ratings = np.random.default_rng(seed).integers(1, 6, (60, 3))
    found = weighted_kappas(ratings, ["a", "b", "c"], range(1, 6))

    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    for (first, second), value in found.items():
        columns = ["abc".index(first), "abc".index(second)]
        assert value == cohen_kappa_score(*ratings[:, columns].T, weights="quadratic")


def test_a_rating_that_nobody_gave_keeps_its_place_on_the_scale():
    ratings = np.array([[1, 5], [5, 1], [1, 1], [5, 5], [1, 3]])

    # By hand: squared differences 16, 16, 0, 0, 4, mean 7.2; by chance over all pairs of ratings:
    # first gives 1, 1, 1, 5, 5; second 5, 1, 1, 5, 3: mean of (a − b)² is (3·(16+0+0+16+4) + 2·(0+16+16+0+4))/25.
    expected = 1 - 7.2 / ((3 * 36 + 2 * 36) / 25)
    assert weighted_kappas(ratings, ["a", "b"], range(1, 6))["a", "b"] == pytest.approx(expected)
