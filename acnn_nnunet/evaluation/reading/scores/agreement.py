"""Agreement of readers: weighted kappa of two, intraclass correlation of all.

Kappa is scikit-learn's. The intraclass correlation is written from its definition: SciPy, scikit-learn and statsmodels
have none, and pingouin is GPL and brings seaborn and statsmodels.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class IntraclassCorrelation:
    """Two-way random effects, absolute agreement (Shrout & Fleiss 1979; McGraw & Wong 1996).

    Attributes:
        single: ICC(2,1), of one reader's rating; None where nothing varies.
        average: ICC(2,k), of the mean rating of all k readers.
    """

    single: float | None
    average: float | None


def intraclass_correlation(ratings: np.ndarray) -> IntraclassCorrelation | None:
    """Return the agreement of all readers; None for fewer than two readers or items.

    From the mean squares of items (MSR), readers (MSC) and residual (MSE), for n items and k readers:
    ICC(2,1) = (MSR − MSE) / (MSR + (k − 1) MSE + k (MSC − MSE) / n), ICC(2,k) = (MSR − MSE) / (MSR + (MSC − MSE) / n).

    Args:
        ratings: (items, readers).
    """
    ratings = np.asarray(ratings, dtype=float)
    n, k = ratings.shape
    if n < 2 or k < 2:
        return None
    of_items, of_readers, mean = ratings.mean(1, keepdims=True), ratings.mean(0, keepdims=True), ratings.mean()
    between_items = k * ((of_items - mean) ** 2).sum() / (n - 1)
    between_readers = n * ((of_readers - mean) ** 2).sum() / (k - 1)
    residual = ((ratings - of_items - of_readers + mean) ** 2).sum() / ((n - 1) * (k - 1))
    spread = (between_readers - residual) / n
    return IntraclassCorrelation(
        single=_ratio(between_items - residual, between_items + (k - 1) * residual + k * spread),
        average=_ratio(between_items - residual, between_items + spread),
    )


def weighted_kappas(ratings: np.ndarray, readers: Sequence[str], scale: Sequence[int]) -> dict[tuple[str, str], float]:
    """Return Cohen's kappa with quadratic weights of each pair of readers; NaN where both gave one rating only.

    Args:
        ratings: (items, readers).
        readers: names.
        scale: all ratings that can be given.
    """
    from sklearn.metrics import cohen_kappa_score

    found = {}
    for first, second in itertools.combinations(range(len(readers)), 2):
        pair = ratings[:, first], ratings[:, second]
        constant = all(len(np.unique(each)) == 1 for each in pair) and pair[0][0] == pair[1][0]
        kappa = np.nan if constant else cohen_kappa_score(*pair, labels=list(scale), weights="quadratic")
        found[readers[first], readers[second]] = float(kappa)
    return found


def _ratio(numerator: float, denominator: float) -> float | None:
    return None if abs(denominator) < 1e-12 else float(numerator / denominator)
