"""Paired statistics on plain arrays: description, bootstrap intervals by patient, Wilcoxon, Holm, wins and losses."""

from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 10_000
# Scores that differ by rounding alone are equal: ties must not depend on the order of a sum.
_DECIMALS = 10
_BLOCK = 1_000


def describe(values: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """Return mean, standard deviation (n − 1) and median; None for what the number of values does not allow.

    Args:
        values: (N,), NaN where a score does not apply; these are left out.
    """
    values = values[~np.isnan(values)]
    if not values.size:
        return None, None, None
    deviation = float(np.std(values, ddof=1)) if values.size > 1 else None
    return float(np.mean(values)), deviation, float(np.median(values))


def unit_sums(differences: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sum and number of the differences of every unit (patient, or case where there are no patients).

    Args:
        differences: (N, K), NaN where there is no pair.
        units: (N,) ints from 0 on, which unit a row belongs to.

    Returns:
        Two arrays (U, K).
    """
    shape = (int(units.max(initial=-1)) + 1, differences.shape[1])
    sums, counts = np.zeros(shape), np.zeros(shape)
    valid = ~np.isnan(differences)
    np.add.at(sums, units, np.where(valid, differences, 0.0))
    np.add.at(counts, units, valid)
    return sums, counts


def bootstrap_intervals(
    differences: np.ndarray,
    units: np.ndarray,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Return percentile bootstrap intervals of the mean difference, drawing whole units with replacement.

    A draw's statistic is the mean over the pairs of the drawn units, so a patient brings all of its phases. The
    percentile interval keeps to the range of the data and needs no symmetry; with few units it is too narrow, as any
    bootstrap is. Columns with pairs in the same units share their draws.

    Args:
        differences: (N, K), NaN where there is no pair.
        units: (N,) ints from 0 on.
        confidence: of the interval.
        resamples: draws.
        seed: of the draws.

    Returns:
        (K, 2), lower and upper end; NaN where fewer than two units have a pair.
    """
    sums, counts = unit_sums(differences, units)
    intervals = np.full((differences.shape[1], 2), np.nan)
    patterns: dict[bytes, list[int]] = {}
    for column in range(differences.shape[1]):
        patterns.setdefault((counts[:, column] > 0).tobytes(), []).append(column)
    for columns in patterns.values():
        present = counts[:, columns[0]] > 0
        if present.sum() >= 2:
            means = _resampled_means(sums[present][:, columns], counts[present][:, columns], resamples, seed)
            tail = (1 - confidence) / 2
            intervals[columns] = np.quantile(means, (tail, 1 - tail), axis=0).T
    return intervals


def _resampled_means(sums: np.ndarray, counts: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return (resamples, K) means; in blocks, so that memory does not grow with units times resamples."""
    generator = np.random.default_rng(seed)
    num_units = len(sums)
    chances = np.full(num_units, 1 / num_units)
    blocks = []
    for start in range(0, resamples, _BLOCK):
        draws = generator.multinomial(num_units, chances, size=min(_BLOCK, resamples - start)).astype(float)
        blocks.append((draws @ sums) / (draws @ counts))
    return np.concatenate(blocks)


def wilcoxon_p(differences: np.ndarray) -> float | None:
    """Return the two-sided p of the Wilcoxon signed-rank test.

    Zero differences are left out (Wilcoxon's own way); p is 1 where all are zero. SciPy chooses the exact distribution
    for few pairs and the normal approximation for many.

    Args:
        differences: (N,) one a unit, NaN where there is no pair.

    Returns:
        p, or None for fewer than two pairs, where no test is possible.
    """
    from scipy.stats import wilcoxon

    pairs = np.round(differences[~np.isnan(differences)], _DECIMALS)
    if pairs.size < 2:
        return None
    nonzero = pairs[pairs != 0]
    if not nonzero.size:
        return 1.0
    return float(wilcoxon(nonzero, alternative="two-sided").pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's step-down adjusted p values of one family, in the order given; None (no test) stays None.

    The i-th smallest of m is multiplied by m − i + 1, raised to the largest before it and capped at 1.
    """
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - rank)))
        adjusted[index] = largest
    return adjusted


def count_wins(differences: np.ndarray, *, higher_is_better: bool) -> tuple[int, int, int]:
    """Return wins, ties and losses of arm − baseline.

    Args:
        differences: (N,) NaN where there is no pair.
        higher_is_better: False for distances, where a negative difference wins.
    """
    gains = np.round(differences[~np.isnan(differences)], _DECIMALS) * (1 if higher_is_better else -1)
    return int((gains > 0).sum()), int((gains == 0).sum()), int((gains < 0).sum())
