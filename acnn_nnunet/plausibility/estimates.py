"""Expected Dice and Hausdorff distance of one structure from its scores, with prediction intervals.

Each score is turned so that more is worse and its tail is short, then brought to mean 0 and standard deviation 1. Ridge
regressions with weights of 0 or more take them to the logit of the true Dice and to the logarithm of the true
Hausdorff distance. So an estimate worsens with every score that gets worse, and each score has one weight.

The intervals are conformal (Vovk et al., 2005): residuals of patients that the fit did not see say how wide they are.
Each patient weighs the same, however many cases it has (Lee, Barber and Willett, arXiv:2306.06342): an interval at
90 % holds the truth of nine new patients in ten, whatever the residuals' distribution, if they are exchangeable.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from acnn_nnunet.plausibility.table import Estimate

_RIDGE = 1.0
_FOLDS = 5
_EXTREME_DICE = 0.01  # its logit is finite, and no single case rules the fit
_MOST_COPIES = 2520  # of a patient's residuals: divisible by every count up to 10

# Scores by name, and how each becomes a badness.
BADNESS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "members_dice": lambda dice: 1 - dice,
    "members_distance_mm": np.log1p,
    "reconstruction_dice": lambda dice: 1 - dice,
    "reconstruction_distance_mm": np.log1p,
    "rule_violation": np.sqrt,
    "mahalanobis": np.log1p,
    "missing_labels": np.asarray,
}


@dataclass(frozen=True)
class Regression:
    """A straight line from standardised badnesses to a transformed truth, and how far truths lay from it.

    Attributes:
        weights: of each badness; none of another sign than the measure's own.
        intercept: the transformed truth at mean badness.
        residuals: of each patient, by fits without it, transformed.
    """

    weights: tuple[float, ...]
    intercept: float
    residuals: tuple[tuple[float, ...], ...]

    def expected(self, standardised: np.ndarray) -> np.ndarray:
        """Return transformed expectations (N,) of standardised badnesses (N, F)."""
        return self.intercept + standardised @ np.array(self.weights)

    def margin(self, level: float) -> float:
        """Return half the width of the prediction interval, transformed.

        Raises:
            ValueError: if there are too few patients for the level.
        """
        return conformal_margin(self.residuals, level)


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
        dice, distances = self.dice.expected(values), self.hausdorff_mm.expected(values)
        falls = -values * np.array(self.dice.weights)
        return [
            (
                Estimate(*from_logit([each, each - self._margins[0], each + self._margins[0]])),
                Estimate(*from_log([far, far - self._margins[1], far + self._margins[1]])),
                dict(zip(self.scores, fall.tolist(), strict=True)),
            )
            for each, far, fall in zip(dice, distances, falls, strict=True)
        ]

    @cached_property
    def _margins(self) -> tuple[float, float]:
        return self.dice.margin(self.level), self.hausdorff_mm.margin(self.level)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "StructureEstimator":
        """Read a dictionary of a file; raises TypeError, KeyError or ValueError if it is none."""
        regressions = {
            name: Regression(
                tuple(plain[name]["weights"]),
                float(plain[name]["intercept"]),
                tuple(tuple(each) for each in plain[name]["residuals"]),
            )
            for name in ("dice", "hausdorff_mm")
        }
        scores, centres, scales = numbers = [tuple(plain[name]) for name in ("scores", "centres", "scales")]
        found = cls(
            scores, centres, scales, regressions["dice"], regressions["hausdorff_mm"], level=float(plain["level"])
        )
        lengths = {len(each) for each in numbers} | {len(each.weights) for each in regressions.values()}
        values = [*found.centres, *found.scales, *found.dice.weights, *found.hausdorff_mm.weights]
        values += [found.dice.intercept, found.hausdorff_mm.intercept]
        if len(lengths) > 1 or not set(found.scores) <= set(BADNESS) or not np.isfinite(values).all():
            raise ValueError("its numbers do not fit together")
        return found


@dataclass(frozen=True)
class HeldOut:
    """What is expected of the cases that an estimator was fitted to, by fits and margins without their patient.

    Attributes:
        dice, hausdorff_mm: (N, 3): value, low, high.
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
    centres, scales = values.mean(0), values.std(0)
    scales = np.where(scales > 1e-9 * np.maximum(1, np.abs(centres)), scales, 1.0)
    standardised = (values - centres) / scales
    patients = np.unique(np.asarray(units), return_inverse=True)[1]
    fold = _folds(patients)
    fitted, held_out = [], []
    for truth, sign, back in ((to_logit(dice), -1, from_logit), (np.log1p(hausdorff_mm), 1, from_log)):
        residuals = _residuals(standardised, truth, fold, sign)
        expected = truth - residuals
        margin = partial(_margin_without, standardised, truth, fold, sign=sign, patients=patients, level=level)
        margins = np.array([margin(each) for each in range(fold.max() + 1)])[fold]
        held_out.append(np.stack([back(each) for each in (expected, expected - margins, expected + margins)], axis=1))
        (weights, intercept), _ = _line(standardised, truth, sign)
        fitted.append(Regression(tuple(weights.tolist()), intercept, _by_patient(residuals, patients)))
    estimator = StructureEstimator(
        tuple(names), tuple(centres.tolist()), tuple(scales.tolist()), fitted[0], fitted[1], level
    )
    estimator.dice.margin(level)  # refuses too few patients
    return estimator, HeldOut(*held_out)


def badness(scores: Sequence[Mapping[str, float]], names: Sequence[str]) -> np.ndarray:
    """Return scores (N, F) turned so that more is worse; a score that a case does not have is as good as can be."""
    columns = [np.array([each.get(name, np.nan) for each in scores], dtype=np.float64) for name in names]
    turned = [np.nan_to_num(BADNESS[name](column), nan=0.0) for name, column in zip(names, columns, strict=True)]
    return np.stack(turned, axis=1) if turned else np.empty((len(scores), 0))


def conformal_margin(residuals: Sequence[Sequence[float]], level: float) -> float:
    """Return the half-width that holds the truth of a new patient's case with a probability of `level`.

    Each patient has the same weight, spread over its residuals, and the new patient has it too, at infinity.

    Args:
        residuals: of each patient.
        level: above 0, below 1.

    Raises:
        ValueError: if there are too few patients for the level; says how many are needed.
    """
    from crepes import ConformalRegressor

    check_level(level)
    needed = patients_needed(level)
    if (num := len(residuals)) < needed:
        raise ValueError(
            f"An interval at --level {level:g} needs {needed} calibration patients; there are {num}: calibrate on "
            f"more, or ask for a level of {num / (num + 1):.2g} or less."
        )
    copies = min(math.lcm(*map(len, residuals)), _MOST_COPIES)
    # crepes counts residuals, not patients: each patient gets as many, and the level is told in residuals.
    alike = np.concatenate([np.sort(np.abs(each))[np.arange(copies) * len(each) // copies] for each in residuals])
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
    """Return Dice; beyond what `to_logit` tells apart an interval reaches to 0 and 1."""
    dice = 1 / (1 + np.exp(-np.clip(np.asarray(logits, dtype=np.float64), -30, 30)))
    near = 1e-9  # rounding
    return np.where(dice <= _EXTREME_DICE + near, 0.0, np.where(dice >= 1 - _EXTREME_DICE - near, 1.0, dice))


def from_log(logs: Any) -> Any:
    """Return distances in mm, 0 or more."""
    return np.expm1(np.clip(np.asarray(logs, dtype=np.float64), 0, 30))


def _folds(patients: np.ndarray) -> np.ndarray:
    """Return the fold (N,) of each case: five by patient, or as many as there are patients."""
    from sklearn.model_selection import GroupKFold

    fold = np.zeros(len(patients), dtype=int)
    num_folds = min(_FOLDS, int(patients.max()) + 1)
    if num_folds > 1:
        for index, (_, test) in enumerate(GroupKFold(num_folds).split(patients, groups=patients)):
            fold[test] = index
    return fold


def _line(values: np.ndarray, truth: np.ndarray, sign: int) -> tuple[tuple[np.ndarray, float], Callable]:
    """Return weights of one sign with the intercept, and the function that applies them."""
    from sklearn.linear_model import Ridge

    if not values.shape[1]:
        return (np.empty(0), float(truth.mean())), lambda new: np.full(len(new), truth.mean())
    regression = Ridge(_RIDGE, positive=True).fit(values * sign, truth)
    weights, intercept = sign * regression.coef_, float(regression.intercept_)
    return (weights, intercept), lambda new: intercept + new @ weights


def _by_patient(residuals: np.ndarray, patients: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(np.sort(residuals[patients == each]).tolist()) for each in np.unique(patients))


def _residuals(values: np.ndarray, truth: np.ndarray, fold: np.ndarray, sign: int) -> np.ndarray:
    """Return the truths (N,) less what fits of the other folds expect; all from one fit if there is one fold."""
    expected = np.empty(len(truth))
    for each in np.unique(fold):
        own = fold == each
        rest = ~own if not own.all() else own
        expected[own] = _line(values[rest], truth[rest], sign)[1](values[own])
    return truth - expected


def _margin_without(
    values: np.ndarray,
    truth: np.ndarray,
    fold: np.ndarray,
    left_out: int,
    *,
    sign: int,
    patients: np.ndarray,
    level: float,
) -> float:
    """Return the margin of fits that saw nothing of a fold; infinite where the other patients are too few."""
    rest = fold != left_out
    if len(np.unique(patients[rest])) < patients_needed(level):
        return math.inf
    residuals = _residuals(values[rest], truth[rest], fold[rest], sign)
    return conformal_margin(_by_patient(residuals, patients[rest]), level)
