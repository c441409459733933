"""Wilson's interval, McNemar's exact test, confusion matrices; expected values by hand."""

import math

import numpy as np
import pytest

from acnn_nnunet.evaluation.proportions import confusion_matrix, mcnemar_p, wilson_interval

Z = 1.959963984540054  # the normal distribution's 97.5 % point, from tables


@pytest.mark.parametrize("successes", [0, 10])
def test_nobody_and_everybody(successes):
    # By hand from Wilson's formula at p = 0: the upper end is z² / (n + z²), and 1 minus it at p = 1.
    far = Z**2 / (10 + Z**2)

    low, high = wilson_interval(successes, 10)

    assert (low, high) == pytest.approx((0, far) if successes == 0 else (1 - far, 1))


def test_an_interval_between():
    # p = 1/2: symmetric around it, half width z √(1/(4n) + z²/(4n²)) / (1 + z²/n).
    half = Z * math.sqrt(1 / 16 + Z**2 / 64) / (1 + Z**2 / 4)

    assert wilson_interval(2, 4) == pytest.approx((0.5 - half, 0.5 + half))


def test_wilson_holds_the_proportions_that_a_score_test_keeps():
    low, high = wilson_interval(40, 48)

    # By definition the ends solve (p̂ − p)² = z² p (1 − p) / n.
    for end in (low, high):
        assert (40 / 48 - end) ** 2 == pytest.approx(Z**2 * end * (1 - end) / 48)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 0, 1.0),
        (0, 1, 1.0),
        (5, 0, 2 / 32),  # both tails of five tosses that fall alike
        (1, 5, 2 * (1 + 6) / 64),
        (3, 3, 1.0),
    ],
)
def test_mcnemar(first, second, p):
    assert mcnemar_p(first, second) == pytest.approx(p)
    assert mcnemar_p(second, first) == pytest.approx(p)


def test_rows_are_the_truth():
    counts = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]), num_classes=4)

    np.testing.assert_array_equal(counts, [[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
