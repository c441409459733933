"""Statistics of right and wrong answers: Wilson's interval, the exact McNemar test, confusion matrices."""

import math

import numpy as np

from acnn_nnunet.evaluation.statistics import CONFIDENCE


def wilson_interval(successes: float, n: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion (J Am Stat Assoc 22, 1927).

    Args:
        successes: from 0 to n; a mean over runs need not be whole.
        n: at least 1.
        confidence: of the interval.
    """
    from scipy.stats import norm

    z = float(norm.ppf((1 + confidence) / 2))
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Return the two-sided exact p of McNemar's test: the binomial one on the patients that one arm alone got right.

    p is 1 where the arms never differ.
    """
    from scipy.stats import binomtest

    differing = only_first + only_second
    return float(binomtest(only_first, differing, 0.5).pvalue) if differing else 1.0


def confusion_matrix(targets: np.ndarray, predictions: np.ndarray, *, num_classes: int) -> np.ndarray:
    """Return counts (G, G): rows are the true class, columns the predicted one.

    Args:
        targets: (N,) ints below G.
        predictions: (N,) ints below G.
        num_classes: G.
    """
    counts = np.zeros((num_classes, num_classes), dtype=int)
    np.add.at(counts, (targets, predictions), 1)
    return counts
