"""Expected Dice and Hausdorff distance of one structure from its scores, with prediction intervals.

Each score is turned so that more is worse and its tail is short, then brought to mean 0 and standard deviation 1. Ridge
regressions with weights of 0 or more take them to the logit of the true Dice and to the logarithm of the true
Hausdorff distance. So an estimate worsens with every score that gets worse, and each score has one weight.

The intervals are conformal (Vovk et al., 2005): errors on patients that the fit did not see say how wide they are. They
are normalised (Papadopoulos et al., ECML 2002): a second regression says how large the error of a case is expected to
be, so that certain cases get narrow intervals.
Each patient weighs the same, however many cases it has (Lee, Barber and Willett, arXiv:2306.06342): an interval at
90 % holds the truth of nine new patients in ten, whatever the errors' distribution, if they are exchangeable.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acnn_nnunet.plausibility.table import Estimate

_RIDGE = 1.0
_FOLDS = 5
_EXTREME_DICE = 0.01  # its logit is finite, and no single case rules the fit
_LEAST_SPREAD = 0.3  # of the mean error: no case is as certain as a lucky fit may say
_MOST_COPIES = 2520  # of a patient's errors: divisible by every count up to 10

# Scores by name, and how each becomes a badness.
BADNESS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "members_dice": lambda dice: 1 - dice,
    "members_distance_mm": np.log1p,
    "reconstruction_dice": lambda dice: 1 - dice,
    "reconstruction_distance_mm": np.log1p,
    "rule_violation": np.sqrt,
    "mahalanobis": np.log1p,
    "thinness_per_mm": np.log,
}


@dataclass(frozen=True)
class Line:
    """A weighted sum of standardised badnesses.

    Attributes:
        weights: of each badness.
        intercept: the sum at mean badness.
    """

    weights: tuple[float, ...]
    intercept: float

    def __call__(self, standardised: np.ndarray) -> np.ndarray:
        """Return sums (N,) of standardised badnesses (N, F)."""
        return self.intercept + standardised @ np.array(self.weights, dtype=np.float64)


@dataclass(frozen=True)
class Regression:
    """What a transformed truth is expected to be, and how far truths lie from it.

    Attributes:
        line: to the transformed truth.
        spread: to the mean absolute error: cases with worse scores are less certain.
        floor: of the spread.
        errors: of each patient, by fits without it: absolute errors over their spread.
    """

    line: Line
    spread: Line
    floor: float
    errors: tuple[tuple[float, ...], ...]

    def margins(self, standardised: np.ndarray, level: float) -> np.ndarray:
        """Return half the widths (N,) of prediction intervals, transformed.

        Raises:
            ValueError: if there are too few patients for the level.
        """
        return conformal_margin(self.errors, level) * np.maximum(self.spread(standardised), self.floor)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Regression":
        """Read a dictionary of a file; raises TypeError, KeyError or ValueError if it is none."""
        lines = [Line(tuple(plain[name]["weights"]), float(plain[name]["intercept"])) for name in ("line", "spread")]
        found = cls(lines[0], lines[1], float(plain["floor"]), tuple(tuple(each) for each in plain["errors"]))
        numbers = [found.floor, *(value for each in lines for value in (*each.weights, each.intercept))]
        if not np.isfinite(numbers).all() or not all(found.errors):
            raise ValueError("its numbers do not fit together")
        return found


@dataclass(frozen=True)
class StructureEstimator:
    """What the scores of a structure come to; plain values only, as in `calibration.json`.

    Attributes:
        scores: names of the scores that count.
        centres, scales: mean and standard deviation of each badness.
        dice, hausdorff_mm: regressions to the logit of Dice and to log(1 + distance).
        level: of the intervals.
    """

    scores: tuple[str, ...]
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    dice: Regression
    hausdorff_mm: Regression
    level: float

    def standardised(self, scores: Sequence[Mapping[str, float]]) -> np.ndarray:
        """Return standardised badnesses (N, F) of scores by name."""
        values = badness(scores, self.scores)
        return (values - np.array(self.centres)) / np.array(self.scales)

    def estimate(self, scores: Sequence[Mapping[str, float]]) -> list[tuple[Estimate, Estimate, dict[str, float]]]:
        """Return expected Dice, expected Hausdorff distance in mm, and what each score takes off the logit of Dice."""
        values = self.standardised(scores)
        dice, distances = self.dice.line(values), self.hausdorff_mm.line(values)
        margins, margins_mm = (each.margins(values, self.level) for each in (self.dice, self.hausdorff_mm))
        falls = -values * np.array(self.dice.line.weights)
        return [
            (
                Estimate(*expected),
                Estimate(*expected_mm),
                dict(zip(self.scores, fall.tolist(), strict=True)),
            )
            for expected, expected_mm, fall in zip(
                dice_intervals(dice, margins).tolist(),
                distance_intervals(distances, margins_mm).tolist(),
                falls,
                strict=True,
            )
        ]

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "StructureEstimator":
        """Read a dictionary of a file; raises TypeError, KeyError or ValueError if it is none."""
        scores, centres, scales = numbers = [tuple(plain[name]) for name in ("scores", "centres", "scales")]
        dice, hausdorff_mm = (Regression.from_plain(plain[name]) for name in ("dice", "hausdorff_mm"))
        found = cls(scores, centres, scales, dice, hausdorff_mm, level=float(plain["level"]))
        lines = [line for each in (dice, hausdorff_mm) for line in (each.line, each.spread)]
        lengths = {len(each) for each in numbers} | {len(line.weights) for line in lines}
        if len(lengths) > 1 or not set(scores) <= set(BADNESS) or not np.isfinite([*centres, *scales]).all():
            raise ValueError("its numbers do not fit together")
        return found


@dataclass(frozen=True)
class HeldOut:
    """What is expected of the cases that an estimator was fitted to, by fits and margins without their patient.

    Attributes:
        dice, hausdorff_mm: (N, 3): value, low, high; no ends (NaN) where the fit has too few patients for the level.
    """

    dice: np.ndarray
    hausdorff_mm: np.ndarray


def fit_structure(
    scores: Sequence[Mapping[str, float]],
    dice: np.ndarray,
    hausdorff_mm: np.ndarray,
    units: Sequence[str],
    *,
    names: Sequence[str],
    level: float,
) -> tuple[StructureEstimator, HeldOut]:
    """Fit the estimator of a structure, and judge each case by fits without its patient.

    Args:
        scores: of each case, by name.
        dice: (N,) true.
        hausdorff_mm: (N,) true.
        units: (N,) patients.
        names: the scores that count.
        level: of the intervals.

    Raises:
        ValueError: if there are too few patients for the level.
    """
    values = badness(scores, names)
    centres, scales = _unit(values)
    standardised = (values - centres) / scales
    patients = np.unique(np.asarray(units), return_inverse=True)[1]
    fold = folds_of(patients)
    fitted, held_out = [], []
    for truth, sign, back in ((to_logit(dice), -1, dice_intervals), (np.log1p(hausdorff_mm), 1, distance_intervals)):
        intervals = np.empty((len(truth), 3))
        for own, rest in parts_of(fold):
            regression = _fit(standardised[rest], truth[rest], patients[rest], sign)
            enough = len(regression.errors) >= patients_needed(level)
            margins = regression.margins(standardised[own], level) if enough else np.full(own.sum(), np.nan)
            intervals[own] = back(regression.line(standardised[own]), margins)
        held_out.append(intervals)
        fitted.append(_fit(standardised, truth, patients, sign))
    conformal_margin(fitted[0].errors, level)  # refuses too few patients
    numbers = (tuple(names), tuple(centres.tolist()), tuple(scales.tolist()))
    return StructureEstimator(*numbers, fitted[0], fitted[1], level), HeldOut(held_out[0], held_out[1])


def badness(
    scores: Sequence[Mapping[str, float]],
    names: Sequence[str],
    turned: Mapping[str, Callable[[np.ndarray], np.ndarray]] = BADNESS,
) -> np.ndarray:
    """Return scores (N, F) turned so that more is worse; a score that a case does not have counts as 0."""
    columns = [np.array([each.get(name, np.nan) for each in scores], dtype=np.float64) for name in names]
    found = [np.nan_to_num(turned[name](column), nan=0.0) for name, column in zip(names, columns, strict=True)]
    return np.stack(found, axis=1) if found else np.empty((len(scores), 0))


def conformal_margin(errors: Sequence[Sequence[float]], level: float) -> float:
    """Return the half-width that holds the truth of a new patient's case with a probability of `level`.

    Each patient has the same weight, spread over its errors, and the new patient has it too, at infinity.

    Args:
        errors: of each patient.
        level: above 0, below 1.

    Raises:
        ValueError: if there are too few patients for the level; says how many are needed.
    """
    from crepes import ConformalRegressor

    check_level(level)
    needed = patients_needed(level)
    if (num := len(errors)) < needed:
        raise ValueError(
            f"An interval at --level {level:g} needs {needed} calibration patients; there are {num}: calibrate on "
            f"more, or ask for a level of {num / (num + 1):.2g} or less."
        )
    copies = min(math.lcm(*map(len, errors)), _MOST_COPIES)
    # crepes counts errors, not patients: each patient gets as many, and the level is told in errors.
    alike = np.concatenate([np.sort(np.abs(each))[np.arange(copies) * len(each) // copies] for each in errors])
    allowed = math.floor(len(alike) - level * (num + 1) * copies + 1e-6)
    told = 1 - (allowed + 1.5) / (len(alike) + 1)
    return float(ConformalRegressor().fit(alike).predict_int(np.zeros(1), confidence=told)[0, 1])


def check_level(level: float) -> None:
    """Raise ValueError unless a level is above 0 and below 1."""
    if not 0 < level < 1:
        raise ValueError(f"--level {level:g}: it is above 0 and below 1, such as 0.9.")


def patients_needed(level: float) -> int:
    """Return how many calibration patients an interval at a level takes at least: n / (n + 1) reaches the level."""
    return max(1, math.ceil(level / (1 - level) - 1e-9))


def to_logit(dice: np.ndarray) -> np.ndarray:
    """Return logits of Dice, which stay finite."""
    clipped = np.clip(dice, _EXTREME_DICE, 1 - _EXTREME_DICE)
    return np.log(clipped / (1 - clipped))


def from_logit(logits: Any) -> Any:
    """Return Dice."""
    return 1 / (1 + np.exp(-np.clip(np.asarray(logits, dtype=np.float64), -30, 30)))


def dice_intervals(logits: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Return expected Dice and the ends of its interval (N, 3).

    `to_logit` does not tell what lies beyond 0.01 and 0.99 apart: an end out there reaches to 0 or 1. The expected Dice
    itself is what the line says, so that better scores never give a worse one.
    """
    low, high = from_logit(logits - margins), from_logit(logits + margins)
    near = 1e-9  # rounding
    low = np.where(low <= _EXTREME_DICE + near, 0.0, low)
    high = np.where(high >= 1 - _EXTREME_DICE - near, 1.0, high)
    return np.stack([from_logit(logits), low, high], axis=1)


def distance_intervals(logs: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Return expected distances in mm and the ends of their intervals (N, 3), 0 or more."""
    return np.stack([np.expm1(np.clip(each, 0, 30)) for each in (logs, logs - margins, logs + margins)], axis=1)


def folds_of(patients: np.ndarray) -> np.ndarray:
    """Return the fold (N,) of each case: five by patient, or as many as there are patients."""
    from sklearn.model_selection import GroupKFold

    fold = np.zeros(len(patients), dtype=int)
    num_folds = min(_FOLDS, int(patients.max()) + 1)
    if num_folds > 1:
        for index, (_, test) in enumerate(GroupKFold(num_folds).split(patients, groups=patients)):
            fold[test] = index
    return fold


def _fit(values: np.ndarray, truth: np.ndarray, patients: np.ndarray, sign: int) -> Regression:
    """Fit the line, and the spread of errors of patients that it was not fitted to.

    Args:
        values: standardised badnesses (N, F).
        truth: (N,) transformed.
        patients: (N,) numbers.
        sign: of the weights.
    """
    patients = np.unique(patients, return_inverse=True)[1]
    fold = folds_of(patients)
    errors, relative = np.empty(len(truth)), np.empty(len(truth))
    for own, rest in parts_of(fold):
        errors[own] = np.abs(truth[own] - _line(values[rest], truth[rest], sign)(values[own]))
    for own, rest in parts_of(fold):  # a spread that knew a patient's error would make it look usual
        spread, floor = _spread(values[rest], errors[rest])
        relative[own] = errors[own] / np.maximum(spread(values[own]), floor)
    by_patient = tuple(tuple(np.sort(relative[patients == each]).tolist()) for each in range(patients.max() + 1))
    return Regression(_line(values, truth, sign), *_spread(values, errors), by_patient)


def parts_of(fold: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the cases of each fold and the others; a single patient is its own rest, and is refused elsewhere."""
    for each in range(fold.max() + 1):
        own = fold == each
        yield own, own if own.all() else ~own


def _spread(values: np.ndarray, errors: np.ndarray) -> tuple[Line, float]:
    """Return a regression to absolute errors, and the floor of what it says."""
    return _line(values, errors, 1), max(float(_LEAST_SPREAD * errors.mean()), 1e-6)


def _line(values: np.ndarray, truth: np.ndarray, sign: int) -> Line:
    """Return a ridge regression with weights of one sign.

    How much a ridge shrinks a weight depends on the unit of its values. The unit is that of the cases it is fitted to,
    so that a fit without a patient does not know the patient's scores either.
    """
    from sklearn.linear_model import Ridge

    if not values.shape[1]:
        return Line((), float(truth.mean()))
    centres, scales = _unit(values)
    regression = Ridge(_RIDGE, positive=True).fit((values - centres) / scales * sign, truth)
    weights = sign * regression.coef_ / scales
    return Line(tuple(weights.tolist()), float(regression.intercept_ - weights @ centres))


def _unit(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (F,) of values (N, F); 1 for a standard deviation of 0."""
    centres, scales = values.mean(0), values.std(0)
    return centres, np.where(scales > 1e-9 * np.maximum(1, np.abs(centres)), scales, 1.0)
