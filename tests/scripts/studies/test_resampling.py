"""`scripts/studies/resampling.py`: intervals over patients and seeds."""

import numpy as np
import pytest

from scripts.studies.resampling import mean_interval


def test_an_interval_covers_other_seeds_and_other_patients():
    """One seed of three at 3, the others at 0: a draw of three seeds has none of it in 8 of 27, only it in 1."""
    by_seed = np.repeat([[0.0], [0.0], [3.0]], 50, axis=1)
    assert mean_interval(by_seed) == (0.0, 3.0)
    by_patient = by_seed.T.copy()
    low, high = mean_interval(by_patient)  # the third column of 50 seeds by 3 patients
    assert (low, high) == (0.0, 3.0)
    assert mean_interval(np.full((3, 4), 0.5)) == (0.5, 0.5)


def test_a_single_seed_is_kept_and_missing_values_are_left_out():
    values = np.array([[1.0, 1.0, np.nan]])
    assert mean_interval(values) == (1.0, 1.0)
    with pytest.raises(ValueError, match="No value is left"):
        mean_interval(np.full((2, 2), np.nan))
