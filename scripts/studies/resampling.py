"""Bootstrap draws over patients and seeds, which the studies' intervals share."""

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
