"""Bootstrap over patients and seeds, which the studies' intervals share."""

from functools import cache

import numpy as np


@cache
def draw_counts(num_seeds: int, num_patients: int, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each draw takes each seed (R, S) and each patient (R, P), always the same draws.

    Seeds and patients are drawn apart, both with replacement, so an interval covers other seeds and other patients. A
    single seed is kept in every draw: then it covers other patients only.
    """
    rng = np.random.default_rng(0)
    of_seeds, of_patients = (
        rng.multinomial(number, np.full(number, 1 / number), resamples) for number in (num_seeds, num_patients)
    )
    return of_seeds.astype(float), of_patients.astype(float)


def mean_interval(values: np.ndarray, *, resamples: int = 5000, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of the mean of values (seeds, patients) over other seeds and patients; NaN ones are left out.

    Raises:
        ValueError: if every value is NaN.
    """
    present = np.isfinite(values)
    if not present.any():
        raise ValueError("No value is left to draw an interval from.")
    of_seeds, of_patients = draw_counts(*values.shape, resamples)
    sums, counts = (((of_seeds @ grid) * of_patients).sum(axis=1) for grid in (np.where(present, values, 0.0), present))
    tail = (1 - confidence) / 2
    low, high = np.quantile(sums[counts > 0] / counts[counts > 0], (tail, 1 - tail))
    return float(low), float(high)
