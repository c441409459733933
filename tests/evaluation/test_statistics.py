"""Expected values by hand, by enumeration, or by another library."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.stats import wilcoxon

from acnn_nnunet.evaluation.statistics import (
    bootstrap_intervals,
    count_wins,
    describe,
    holm,
    unit_sums,
    wilcoxon_p,
)


def signed_rank_p_by_enumeration(differences: list[float]) -> float:
    """All 2^n signs of the ranks: how often the rank sum is as far from its mean as the one observed."""
    nonzero = np.array([d for d in differences if d])
    ranks = stats.rankdata(np.abs(nonzero))
    observed = abs(ranks[nonzero > 0].sum() - ranks.sum() / 2)
    sums = [np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=len(ranks))]
    return float(np.mean([abs(each - ranks.sum() / 2) >= observed - 1e-9 for each in sums]))


class TestDescribe:
    def test_nothing_applies(self):
        assert describe(np.array([np.nan, np.nan])) == (None, None, None)

    def test_one_value_has_no_deviation(self):
        assert describe(np.array([np.nan, 3.0])) == (3.0, None, 3.0)

    def test_by_hand(self):
        mean, deviation, median = describe(np.array([1.0, 2.0, np.nan, 6.0]))

        assert (mean, median) == (3.0, 2.0)
        assert deviation == pytest.approx(np.sqrt((4 + 1 + 9) / 2))


class TestUnitSums:
    def test_sums_of_patients_leave_missing_pairs_out(self):
        sums, counts = unit_sums(np.array([[1.0], [np.nan], [2.0], [4.0]]), np.array([0, 0, 1, 1]))

        assert sums.tolist() == [[1.0], [6.0]]
        assert counts.tolist() == [[1.0], [2.0]]


class TestBootstrap:
    def test_equal_differences_have_no_width(self):
        assert bootstrap_intervals(np.full((4, 1), 0.5), np.arange(4)).tolist() == [[0.5, 0.5]]

    @pytest.mark.parametrize("units", [[0, 0, 0], [0]])
    def test_one_unit_has_no_interval(self, units):
        assert np.isnan(bootstrap_intervals(np.ones((len(units), 1)), np.array(units))).all()

    def test_a_unit_without_pairs_does_not_count(self):
        differences = np.array([[1.0], [np.nan]])

        assert np.isnan(bootstrap_intervals(differences, np.arange(2))).all()

    def test_two_units_against_enumeration(self):
        # Draws of two of {0, 1}: means 0, 0.5, 1 with chances 1/4, 1/2, 1/4; the outer 2.5 % are 0 and 1.
        interval = bootstrap_intervals(np.array([[0.0], [1.0]]), np.arange(2))

        assert interval.tolist() == [[0.0, 1.0]]

    def test_against_scipy(self):
        differences = np.random.default_rng(3).exponential(size=60) - 0.7
        expected = stats.bootstrap(
            (differences,), np.mean, n_resamples=50_000, method="percentile", rng=np.random.default_rng(1)
        ).confidence_interval

        interval = bootstrap_intervals(differences[:, None], np.arange(60), resamples=50_000)[0]

        assert interval == pytest.approx([expected.low, expected.high], abs=0.01)

    def test_patients_are_drawn_whole(self):
        """Against drawing patients one by one: a mean over the pairs, patients with more cases weighing more."""
        differences, units = np.array([0.0, 0.2, 0.4, 1.0, 3.0]), np.array([0, 0, 0, 1, 2])
        generator = np.random.default_rng(5)
        means = []
        for _ in range(20_000):
            drawn = generator.integers(0, 3, size=3)
            means.append(np.concatenate([differences[units == unit] for unit in drawn]).mean())

        interval = bootstrap_intervals(differences[:, None], units, resamples=20_000, confidence=0.8)[0]

        assert interval == pytest.approx(np.quantile(means, (0.1, 0.9)), abs=0.03)

    def test_repeated_cases_of_a_patient_do_not_narrow_the_interval(self):
        differences = np.random.default_rng(0).normal(size=20)
        doubled, patients = np.repeat(differences, 2)[:, None], np.repeat(np.arange(20), 2)

        by_patient = bootstrap_intervals(doubled, patients)[0]

        assert by_patient == pytest.approx(bootstrap_intervals(differences[:, None], np.arange(20))[0])
        assert np.ptp(by_patient) > 1.2 * np.ptp(bootstrap_intervals(doubled, np.arange(40))[0])

    def test_the_seed_repeats_and_blocks_cover_all_resamples(self):
        differences = np.random.default_rng(0).normal(size=(30, 2))

        first = bootstrap_intervals(differences, np.arange(30), resamples=2_500, seed=7)

        assert np.array_equal(first, bootstrap_intervals(differences, np.arange(30), resamples=2_500, seed=7))
        assert not np.array_equal(first, bootstrap_intervals(differences, np.arange(30), resamples=2_500, seed=8))

    def test_columns_with_other_pairs_equal_the_column_alone(self):
        differences = np.random.default_rng(0).normal(size=(12, 2))
        differences[:4, 1] = np.nan

        together = bootstrap_intervals(differences, np.arange(12))

        assert np.allclose(together[1], bootstrap_intervals(differences[4:, 1:], np.arange(8))[0])


class TestWilcoxon:
    @pytest.mark.parametrize("differences", [[], [0.1], [np.nan, 0.1]])
    def test_fewer_than_two_pairs_are_no_test(self, differences):
        assert wilcoxon_p(np.array(differences)) is None

    def test_all_ties(self):
        assert wilcoxon_p(np.zeros(5)) == 1.0

    def test_one_difference_among_ties(self):
        assert wilcoxon_p(np.array([0.0, 0.0, 0.3])) == 1.0

    def test_all_of_one_sign(self):
        # Of 2^6 signs only all + and all − are as extreme.
        assert wilcoxon_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])) == pytest.approx(2 / 64)

    @pytest.mark.parametrize(
        "differences", [[3.0, -1.0, 2.0, 5.0, -4.0, 7.0], [1.0, -1.0, 2.0, 2.0, 3.0], [0.0, 1.5, -0.5, 2.5, 4.0, 0.0]]
    )
    def test_against_enumeration(self, differences):
        assert wilcoxon_p(np.array(differences)) == pytest.approx(signed_rank_p_by_enumeration(differences))

    def test_rounding_makes_no_difference(self):
        assert 0.3 - 0.1 != 0.2
        assert wilcoxon_p(np.array([0.3 - 0.1 - 0.2, 0.0])) == 1.0

    def test_many_pairs_against_random_signs(self):
        differences = np.random.default_rng(2).normal(0.25, 1, size=80)
        ranks = stats.rankdata(np.abs(differences))
        signs = np.random.default_rng(3).integers(0, 2, size=(40_000, 80))
        center = ranks.sum() / 2
        expected = np.mean(np.abs(signs @ ranks - center) >= abs(ranks[differences > 0].sum() - center))

        assert wilcoxon_p(differences) == pytest.approx(expected, abs=0.01)


class TestHolm:
    def test_by_hand(self):
        # Sorted 0.01, 0.03, 0.04: times 3, 2, 1 gives 0.03, 0.06, 0.04, and the last is raised to 0.06.
        assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])

    def test_caps_at_one_and_skips_what_was_not_tested(self):
        assert holm([None, 0.6, 0.7]) == [None, 1.0, 1.0]

    def test_nothing_tested(self):
        assert holm([None, None]) == [None, None]

    def test_rejects_what_the_step_down_procedure_rejects(self):
        p_values = np.random.default_rng(0).uniform(size=20) ** 3
        for alpha in (0.01, 0.05, 0.2):
            rejected: set[int] = set()
            for step, index in enumerate(np.argsort(p_values)):
                if p_values[index] > alpha / (20 - step):
                    break
                rejected.add(int(index))

            assert {index for index, p in enumerate(holm(p_values.tolist())) if p <= alpha} == rejected


class TestWins:
    def test_direction(self):
        differences = np.array([1.0, 2.0, 0.0, -1.0, np.nan])

        assert count_wins(differences, higher_is_better=True) == (2, 1, 1)
        assert count_wins(differences, higher_is_better=False) == (1, 1, 2)


@pytest.mark.parametrize(("differences", "p"), [([0.1, 0.1, 0.2], 2 / 8), ([0.1, -0.1, 0.2], 6 / 8)])
def test_tied_ranks_by_hand(differences, p):
    # Ranks 1.5, 1.5 and 3. The eight sums of positive ranks are 0, 1.5, 1.5, 3, 3, 4.5, 4.5 and 6: one reaches 6, three
    # reach 4.5.
    assert wilcoxon_p(np.array(differences)) == pytest.approx(p)


def test_many_tied_pairs_are_as_in_scipy():
    differences = np.random.default_rng(0).integers(1, 4, 8) * np.array([1, 1, -1, 1, 1, -1, 1, 1]) / 10

    assert wilcoxon_p(differences) == pytest.approx(wilcoxon(differences).pvalue, abs=1e-15)
