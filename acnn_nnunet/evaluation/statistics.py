"""Paired statistics on plain arrays: description, bootstrap intervals by patient, Wilcoxon, Holm, wins and losses."""

from collections.abc import Iterator, Sequence

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 10_000
# Scores that differ by rounding alone are equal: ties must not depend on the order of a sum.
_DECIMALS = 10
_BLOCK = 1_000
_MOST_TIED = 13  # pairs, up to which SciPy's test is exact where ranks are tied


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
    bootstrap is. Columns with pairs in as many units share their draws.

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
    by_size: dict[int, list[list[int]]] = {}
    for columns in patterns.values():
        by_size.setdefault(int((counts[:, columns[0]] > 0).sum()), []).append(columns)
    tail = (1 - confidence) / 2
    for num_units, groups in by_size.items():
        if num_units < 2:
            continue
        places = [np.ix_(np.flatnonzero(counts[:, columns[0]] > 0), np.array(columns)) for columns in groups]
        data = [(sums[place], counts[place]) for place in places]
        blocks = [[(draws @ s) / (draws @ c) for s, c in data] for draws in _draws(num_units, resamples, seed)]
        for columns, means in zip(groups, zip(*blocks, strict=True), strict=True):
            intervals[columns] = np.quantile(np.concatenate(means), (tail, 1 - tail), axis=0).T
    return intervals


def _draws(num_units: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each unit is drawn, (draws, units), in blocks that fit into memory."""
    generator = np.random.default_rng(seed)
    chances = np.full(num_units, 1 / num_units)
    for start in range(0, resamples, _BLOCK):
        yield generator.multinomial(num_units, chances, size=min(_BLOCK, resamples - start)).astype(float)


def wilcoxon_p(differences: np.ndarray) -> float | None:
    """Return the two-sided p of the Wilcoxon signed-rank test.

    Zero differences are left out (Wilcoxon's own way); p is 1 where all are zero. SciPy chooses the exact distribution
    for few pairs and the normal approximation for many.

    Args:
        differences: (N,) one a unit, NaN where there is no pair.

    Returns:
        p, or None for fewer than two pairs, where no test is possible.
    """
    pairs = np.round(differences[~np.isnan(differences)], _DECIMALS)
    if pairs.size < 2:
        return None
    nonzero = pairs[pairs != 0]
    if not nonzero.size:
        return 1.0
    if nonzero.size <= _MOST_TIED and len(np.unique(np.abs(nonzero))) < nonzero.size:
        return _exact_p_of_tied(nonzero)
    from scipy.stats import wilcoxon

    return float(wilcoxon(nonzero, alternative="two-sided").pvalue)


def _exact_p_of_tied(differences: np.ndarray) -> float:
    """Return the exact two-sided p of the signed-rank test where ranks are tied.

    SciPy's, by counting: SciPy goes through all 2ⁿ signs one by one, which takes seconds per test.
    """
    from scipy.stats import rankdata

    ranks = np.rint(2 * rankdata(np.abs(differences))).astype(int)  # doubled: ties share half ranks
    ways = np.zeros(ranks.sum() + 1)  # to reach each sum of positive ranks
    ways[0] = 1
    for rank in ranks:
        ways[rank:] = ways[rank:] + ways[:-rank]
    positive = ranks[differences > 0].sum()
    tail = min(ways[: positive + 1].sum(), ways[positive:].sum())
    return float(min(1.0, 2 * tail / ways.sum()))


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
