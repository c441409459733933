"""One plausibility out of several scores of a label map, learnt where the truth is known.

Each score is turned so that more is worse and its tail is short, then brought to mean 0 and standard deviation 1. A
ridge regression with weights of 0 or more takes them to the logit of the true mean Dice. So the plausibility is an
expected Dice, falls with every score that gets worse, and has one weight per score.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from acnn_nnunet.plausibility.table import PlausibilityRow
from acnn_nnunet.shape_prior.label_maps.defects import rank_correlation

FORMAT_VERSION = 1
WORST_SHARE = 0.1
MIN_CASES = 10
_RIDGE = 1.0
_FOLDS = 5
_EXTREME_DICE = 0.01  # its logit is finite, and no single case rules the fit

# Scores by name, and how each becomes a badness.
SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "reconstruction_dice": lambda dice: 1 - dice,
    "reconstruction_distance_mm": np.log1p,
    "mahalanobis": np.log1p,
    "image_disagreement": np.log1p,
    "image_dice": lambda dice: 1 - dice,
    "rule_violation": np.sqrt,
    "missing_labels": np.asarray,
}


@dataclass(frozen=True)
class Calibration:
    """How scores become a plausibility, and below which a case is flagged; plain values, as in `calibration.json`.

    Attributes:
        scores: names of the scores that count.
        centres, scales: mean and standard deviation of each badness.
        weights: of each standardised badness, 0 or more.
        intercept: the logit of Dice at mean badness.
        bad_dice: a case is bad if its mean Dice is not above this.
        recall: share of the bad cases that the threshold was chosen to find.
        threshold: a case is flagged if its plausibility is not above this.
        prior_sha256: hash of the prior that gave the scores.
        rules: the anatomical rules, as plain dictionaries.
        measured: how well it orders the cases that it was made from, in cross-validation by patient.
    """

    scores: tuple[str, ...]
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    bad_dice: float
    recall: float
    threshold: float
    prior_sha256: str
    rules: tuple[dict[str, Any], ...] = ()
    measured: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def plausibility(self, scores: Mapping[str, float]) -> float:
        """Return the expected mean Dice, 0 to 1, of a case with these scores."""
        values = badness(np.array([[scores[name] for name in self.scores]], dtype=np.float64), self.scores)
        fit = (np.array(self.centres), np.array(self.scales), np.array(self.weights), self.intercept)
        return float(_expected_dice(values, *fit)[0])

    def flags(self, plausibility: float) -> bool:
        """Return whether a case of this plausibility is flagged."""
        return plausibility <= self.threshold

    def as_plain(self) -> dict[str, Any]:
        """Return the dictionary that `from_plain` reads."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Any, *, where: str) -> "Calibration":
        """Read the dictionary of a file.

        Raises:
            ValueError: naming the file, if it is no calibration of this version.
        """
        if not isinstance(plain, dict) or plain.get("format_version") != FORMAT_VERSION:
            raise ValueError(f"{where} is no calibration that this acnn-nnunet wrote: make one with --calibrate GT.")
        try:
            fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in plain.items()}
            found = cls(**fields)
            lengths = {len(each) for each in (found.scores, found.centres, found.scales, found.weights)}
            numbers = [*found.centres, *found.scales, *found.weights, found.intercept, found.threshold]
            if len(lengths) > 1 or not set(found.scores) <= set(SCORES) or not np.isfinite(numbers).all():
                raise ValueError("its numbers do not fit together")
        except (TypeError, ValueError) as error:
            raise ValueError(f"The calibration {where} is damaged ({error}): make it again with --calibrate.") from None
        return found


@dataclass(frozen=True)
class CalibrationCases:
    """Cases with known truth.

    Attributes:
        scores: by name, (N,) each.
        dice: (N,) true mean Dice.
        hausdorff_mm: (N,) true mean Hausdorff distance.
        units: (N,) patients, or cases where there are none: one is never on both sides of a fit.
    """

    scores: dict[str, np.ndarray]
    dice: np.ndarray
    hausdorff_mm: np.ndarray
    units: Sequence[str]

    @classmethod
    def of_rows(
        cls, rows: Sequence[PlausibilityRow], names: Sequence[str], patient_of: Mapping[str, str]
    ) -> "CalibrationCases":
        """Collect scored rows with true scores; a case without a patient is its own."""
        return cls(
            scores={name: np.array([row.scores[name] for row in rows], dtype=np.float64) for name in names},
            dice=np.array([row.dice for row in rows], dtype=np.float64),
            hausdorff_mm=np.array([row.hausdorff_mm for row in rows], dtype=np.float64),
            units=[patient_of.get(row.case, row.case) for row in rows],
        )


def calibrate(
    cases: CalibrationCases,
    *,
    recall: float,
    prior_sha256: str,
    rules: Sequence[dict[str, Any]] = (),
    bad_dice: float | None = None,
) -> tuple[Calibration, np.ndarray]:
    """Learn how scores become a plausibility, and choose the threshold.

    Args:
        cases: with their true scores.
        recall: share of the bad cases to be flagged.
        prior_sha256: hash of the prior.
        rules: the anatomical rules, as plain dictionaries.
        bad_dice: a case is bad if its mean Dice is not above this; None takes the lowest tenth of the cases.

    Returns:
        The calibration, and the plausibility (N,) of each case from five-fold cross-validation by patient.

    Raises:
        ValueError: for fewer than ten cases or two patients, a recall outside 0 to 1, Dice that is the same everywhere,
            or no bad case to choose the threshold by.
    """
    _check(cases, recall)
    if bad_dice is None:
        bad_dice = float(np.quantile(cases.dice, WORST_SHARE, method="higher"))
    bad = cases.dice <= bad_dice
    if not bad.any():
        raise ValueError(f"No calibration case has a mean Dice of {bad_dice:g} or less: choose a higher --bad-dice.")
    names = tuple(cases.scores)
    values = badness(np.stack([cases.scores[name] for name in names], axis=1), names)
    held_out = _held_out_plausibilities(values, cases)
    # As many of the bad as it takes, worst first; the last of them is still flagged.
    threshold = float(np.sort(held_out[bad])[math.ceil(recall * bad.sum()) - 1])
    centres, scales, weights, intercept = _fit(values, cases.dice)
    calibration = Calibration(
        scores=names,
        centres=tuple(centres.tolist()),
        scales=tuple(scales.tolist()),
        weights=tuple(weights.tolist()),
        intercept=intercept,
        bad_dice=bad_dice,
        recall=recall,
        threshold=threshold,
        prior_sha256=prior_sha256,
        rules=tuple(rules),
        measured=_measure(cases, values, held_out, flagged=held_out <= threshold, bad=bad),
    )
    return calibration, held_out


def badness(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return scores (N, F) turned so that more is worse."""
    return np.stack([SCORES[name](column) for name, column in zip(names, values.T, strict=True)], axis=1)


def judge_plausibilities(plausibility: np.ndarray, dice: np.ndarray, hausdorff_mm: np.ndarray) -> dict[str, Any]:
    """Return how well plausibilities (N,) order cases by their true Dice and Hausdorff distance.

    Returns:
        `auroc_worst_tenth`: how well it tells the tenth with the lowest Dice from the others; `spearman_dice`,
        `spearman_hausdorff`: rank correlations, 1 and -1 at best. None where they do not exist.
    """
    from sklearn.metrics import roc_auc_score

    worst = dice <= np.quantile(dice, WORST_SHARE, method="higher")
    defined = worst.any() and not worst.all()
    return {
        "auroc_worst_tenth": float(roc_auc_score(worst, -plausibility)) if defined else None,
        "spearman_dice": rank_correlation(plausibility, dice),
        "spearman_hausdorff": rank_correlation(plausibility, hausdorff_mm),
    }


def judge_flags(flagged: np.ndarray, bad: np.ndarray) -> dict[str, Any]:
    """Return the flagged share of all cases (N,) and of the bad ones, and the bad share of the flagged ones."""
    both = np.count_nonzero(flagged & bad)
    return {
        "flagged_share": float(flagged.mean()),
        "found_share_of_bad": both / bad.sum() if bad.any() else None,
        "bad_share_of_flagged": both / flagged.sum() if flagged.any() else None,
    }


def _check(cases: CalibrationCases, recall: float) -> None:
    if not 0 < recall <= 1:
        raise ValueError(f"The recall is {recall:g}; it is above 0 and at most 1.")
    num_cases, num_patients = len(cases.dice), len(set(cases.units))
    if num_cases < MIN_CASES or num_patients < 2:
        raise ValueError(
            f"A calibration needs {MIN_CASES} scored cases of two patients at least; there are {num_cases} of "
            f"{num_patients}."
        )
    if np.ptp(cases.dice) == 0:
        raise ValueError(f"All calibration cases have the same mean Dice, {cases.dice[0]:g}: nothing can be learnt.")


def _measure(
    cases: CalibrationCases, values: np.ndarray, held_out: np.ndarray, *, flagged: np.ndarray, bad: np.ndarray
) -> dict[str, Any]:
    """Return how well plausibilities and single badnesses (N, F) order the cases, and the flags find the bad ones."""
    return {
        "cases": len(cases.dice),
        "patients": len(set(cases.units)),
        **judge_plausibilities(held_out, cases.dice, cases.hausdorff_mm),
        **judge_flags(flagged, bad),
        "single_scores": {
            name: judge_plausibilities(-column, cases.dice, cases.hausdorff_mm)
            for name, column in zip(cases.scores, values.T, strict=True)
        },
    }


def _held_out_plausibilities(values: np.ndarray, cases: CalibrationCases) -> np.ndarray:
    """Return the plausibility (N,) of each case by a fit on the patients of the other folds."""
    from sklearn.model_selection import GroupKFold

    units = np.unique(np.asarray(cases.units), return_inverse=True)[1]
    plausibility = np.empty(len(values))
    for train, test in GroupKFold(min(_FOLDS, units.max() + 1)).split(values, groups=units):
        plausibility[test] = _expected_dice(values[test], *_fit(values[train], cases.dice[train]))
    return plausibility


def _fit(values: np.ndarray, dice: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return centres, scales and weights (F,) and the intercept of badnesses (N, F) and true Dice (N,)."""
    from sklearn.linear_model import Ridge

    centres, scales = values.mean(0), values.std(0)
    scales = np.where(scales > 1e-9 * np.maximum(1, np.abs(centres)), scales, 1.0)
    clipped = np.clip(dice, _EXTREME_DICE, 1 - _EXTREME_DICE)
    regression = Ridge(_RIDGE, positive=True).fit((centres - values) / scales, np.log(clipped / (1 - clipped)))
    return centres, scales, regression.coef_, float(regression.intercept_)


def _expected_dice(
    values: np.ndarray, centres: np.ndarray, scales: np.ndarray, weights: np.ndarray, intercept: float
) -> np.ndarray:
    """Return plausibilities (N,) of badnesses (N, F)."""
    logits = intercept - (values - centres) / scales @ weights
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
