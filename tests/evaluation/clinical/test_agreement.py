"""Agreement, against numbers worked out by hand."""

import dataclasses

import numpy as np
import pytest

from acnn_nnunet.evaluation.clinical.agreement import Agreement, measure_agreement


def test_four_pairs_by_hand():
    found = measure_agreement([1, 2, 3, 4], [2, 4, 3, 7])

    # Differences 1, 2, 0, 3: mean 1.5, squared deviations 0.25 + 0.25 + 2.25 + 2.25 = 5, SD = √(5/3) = 1.290994.
    # r: deviations −1.5 … 1.5 against −2, 0, −1, 3: 3 + 0 − 0.5 + 4.5 = 7 over √(5 · 14) = 8.366600.
    assert found.n == 4
    assert (found.reference_mean, found.prediction_mean) == (2.5, 4.0)
    assert found.bias == 1.5
    assert found.sd == pytest.approx(1.2909944487)
    assert found.lower_limit == pytest.approx(1.5 - 1.96 * 1.2909944487)
    assert found.upper_limit == pytest.approx(1.5 + 1.96 * 1.2909944487)
    assert found.pearson_r == pytest.approx(7 / np.sqrt(70))
    assert found.mean_absolute_error == 1.5


def test_the_bias_is_prediction_minus_reference_and_the_error_has_no_sign():
    found = measure_agreement([10, 10, 13], [8, 11, 13])

    assert found.bias == pytest.approx(-1 / 3)
    assert found.mean_absolute_error == pytest.approx(1)


def test_nothing_to_compare():
    assert measure_agreement([], []) == Agreement(n=0)


def test_one_pair_has_a_bias_but_no_limits():
    assert measure_agreement([50], [47]) == Agreement(
        n=1, reference_mean=50, prediction_mean=47, bias=-3, mean_absolute_error=3
    )


def test_two_pairs_have_limits_but_no_correlation():
    found = measure_agreement([1, 2], [2, 5])

    assert found.sd == pytest.approx(np.sqrt(2))
    assert found.pearson_r is None


@pytest.mark.parametrize(("reference", "prediction"), [([5, 5, 5], [1, 2, 3]), ([1, 2, 3], [0.1 + 0.2, 0.3, 0.3])])
def test_constant_values_have_no_correlation(reference, prediction):
    found = measure_agreement(reference, prediction)

    assert found.pearson_r is None
    assert None not in {value for name, value in dataclasses.asdict(found).items() if name != "pearson_r"}


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match=r"Pairs are needed.*\(2,\) and \(3,\)"):
        measure_agreement([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="finite"):
        measure_agreement([1, float("nan")], [1, 2])
