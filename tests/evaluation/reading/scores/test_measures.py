"""Mean opinion scores and tests, by hand and against NumPy and SciPy on generated ratings."""

import numpy as np
import pytest
from reader_studies import make_key
from scipy.stats import wilcoxon

from acnn_nnunet.evaluation.reading.scores.exports import Export
from acnn_nnunet.evaluation.reading.scores.measures import (
    ALL_READERS,
    agreement,
    arm_tests,
    opinion_scores,
    rating_table,
)


def test_ratings_find_their_case_and_arm():
    key = make_key(cases=("b", "a"), arms=("x", "y"))
    cases, ratings = rating_table(key, [Export(None, "r", (1, 2, 3, 4))])

    assert cases == ["a", "b"]
    assert ratings.tolist() == [[[3, 1], [4, 2]]]  # (reader, arm, case): a is the second case of the items


def test_scores_by_hand():
    scores = opinion_scores(["r", "s"], ["x"], np.array([[[1, 2, 5]], [[3, 4, 5]]]))

    assert [(row.reader, row.arm, row.cases) for row in scores] == [
        ("r", "x", 3),
        ("s", "x", 3),
        (ALL_READERS, "x", 3),
    ]
    assert [row.mos for row in scores] == pytest.approx([8 / 3, 4, 10 / 3])
    # Of cases 2, 3 and 5: deviations −4/3, −1/3, 5/3, squares 42/9 over 2.
    assert scores[2].sd == pytest.approx(np.sqrt(42 / 9 / 2))
    assert scores[0].median == 2


def test_one_case_has_no_deviation_and_no_test():
    ratings = np.array([[[4], [5]]])

    assert opinion_scores(["r"], ["x", "y"], ratings)[0].sd is None
    (test,) = arm_tests(["r"], ["x", "y"], ratings)
    assert (test.p, test.p_holm, test.difference, test.wins) == (None, None, 1.0, 1)


def test_one_reader_and_one_arm():
    ratings = np.array([[[1, 2, 3]]])

    assert len(opinion_scores(["r"], ["x"], ratings)) == 1
    assert arm_tests(["r"], ["x"], ratings) == []
    assert agreement(["r"], ratings) == {"kappa": [], "icc": None}


@pytest.mark.parametrize("seed", range(4))
def test_tests_are_those_of_scipy_on_generated_ratings(seed):
    rng = np.random.default_rng(seed)
    ratings = np.clip(np.rint(rng.normal(3 + np.arange(3)[None, :, None] * 0.4, 1, (2, 3, 40))), 1, 5)

    tests = arm_tests(["r", "s"], ["x", "y", "z"], ratings)

    assert len(tests) == 3 * 3
    by_reader = [*ratings, ratings.mean(axis=0)]
    for row, values in zip(tests, (each for each in by_reader for _ in range(3)), strict=True):
        first, second = ("xyz".index(name) for name in (row.baseline, row.arm))
        differences = values[second] - values[first]
        # Zeros are left out before SciPy chooses between its exact and its approximate distribution.
        assert row.p == pytest.approx(wilcoxon(differences[differences != 0]).pvalue, rel=1e-9)
        assert row.difference == pytest.approx(values[second].mean() - values[first].mean())
        assert row.wins + row.ties + row.losses == 40


def test_holm_is_over_the_pairs_of_one_reader():
    ratings = np.zeros((2, 3, 8))
    ratings[0, 1], ratings[0, 2] = 1, np.arange(8) / 8
    tests = arm_tests(["r", "s"], ["x", "y", "z"], ratings)
    own = [row for row in tests if row.reader == "r"]

    smallest = min(row.p for row in own)
    assert min(row.p_holm for row in own) == pytest.approx(3 * smallest)
    assert all(row.p_holm == 1 for row in tests if row.reader == "s")
