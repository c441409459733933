"""How well predicted numbers agree with reference ones: Bland–Altman and Pearson, on plain arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Limits of agreement lie this many standard deviations on either side of the bias (Bland and Altman, Lancet 1986).
LIMITS_IN_SD = 1.96
_MIN_FOR_CORRELATION = 3  # a line goes through any two points
# Values that differ by less than this fraction of their size are constant but for rounding.
_RELATIVE_ROUNDING = 1e-12


@dataclass(frozen=True)
class Agreement:
    """Agreement of `n` pairs; None where `n` or constant values do not allow the number.

    Differences are prediction − reference.

    Attributes:
        n: number of pairs.
        reference_mean: mean of the reference.
        prediction_mean: mean of the prediction.
        pearson_r: from 3 pairs on, unless either side is constant.
        bias: mean difference.
        sd: standard deviation (n − 1) of the differences, from 2 pairs on.
        lower_limit: bias − 1.96 sd.
        upper_limit: bias + 1.96 sd.
        mean_absolute_error: mean of the absolute differences.
    """

    n: int
    reference_mean: float | None = None
    prediction_mean: float | None = None
    pearson_r: float | None = None
    bias: float | None = None
    sd: float | None = None
    lower_limit: float | None = None
    upper_limit: float | None = None
    mean_absolute_error: float | None = None


def measure_agreement(reference: Sequence[float] | np.ndarray, prediction: Sequence[float] | np.ndarray) -> Agreement:
    """Compare two measurements of the same things.

    Args:
        reference: (N,) finite numbers.
        prediction: (N,) in the same order and unit.

    Raises:
        ValueError: if the lengths differ or a number is not finite.
    """
    reference, prediction = np.asarray(reference, dtype=float), np.asarray(prediction, dtype=float)
    if reference.ndim != 1 or reference.shape != prediction.shape:
        raise ValueError(f"Pairs are needed, got arrays of shapes {reference.shape} and {prediction.shape}.")
    if not (np.isfinite(reference).all() and np.isfinite(prediction).all()):
        raise ValueError("Agreement needs finite numbers: leave out what is not known, and count it.")
    n = len(reference)
    if n == 0:
        return Agreement(n=0)
    differences = prediction - reference
    bias = float(differences.mean())
    sd = float(differences.std(ddof=1)) if n > 1 else None
    return Agreement(
        n=n,
        reference_mean=float(reference.mean()),
        prediction_mean=float(prediction.mean()),
        pearson_r=_pearson_r(reference, prediction),
        bias=bias,
        sd=sd,
        lower_limit=None if sd is None else bias - LIMITS_IN_SD * sd,
        upper_limit=None if sd is None else bias + LIMITS_IN_SD * sd,
        mean_absolute_error=float(np.abs(differences).mean()),
    )


def _pearson_r(reference: np.ndarray, prediction: np.ndarray) -> float | None:
    if len(reference) < _MIN_FOR_CORRELATION or _is_constant(reference) or _is_constant(prediction):
        return None
    from scipy.stats import pearsonr

    return float(pearsonr(reference, prediction).statistic)


def _is_constant(values: np.ndarray) -> bool:
    return bool(np.ptp(values) <= _RELATIVE_ROUNDING * np.abs(values).max())
