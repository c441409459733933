"""One plausibility out of several scores of a label map, learnt where the truth is known.

Each score is turned so that more is worse and its tail is short, then brought to mean 0 and standard deviation 1; a
ridge regression whose weights cannot be negative takes them to the logit of the true mean Dice. So the plausibility is
an expected Dice, falls with every score that gets worse, and has one weight a score.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from acnn_nnunet.shape_prior.defects import rank_correlation

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
    """How scores become a plausibility, and below which a case is flagged; plain values, as they lie in the JSON.

    Attributes:
        scores: names of the scores that count.
        centres, scales: mean and standard deviation of each badness.
        weights: of each standardised badness, 0 or more.
        intercept: the logit of Dice at mean badness.
        bad_dice: a case whose mean Dice is not above it is what should be flagged.
        recall: share of such cases that the threshold was chosen to find.
        threshold: a case whose plausibility is not above it is flagged.
        prior_sha256: hash of the prior that the scores were taken with.
        rules: the anatomical rules that were looked at.
        measured: how well it does on the cases that it was made from, each judged by a fit without its patient.
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
        values = np.array([[scores[name] for name in self.scores]], dtype=np.float64)
        return float(_expected_dice(self, badness(values, self.scores))[0])

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
    """Cases whose truth is known.

    Attributes:
        scores: by name, (N,) each.
        dice: (N,) true mean Dice.
        hausdorff_mm: (N,) true mean Hausdorff distance.
        units: (N,) patients, or cases where there are none: one is never on both sides of a fit.
        spoilt: (N,) bool, the copies that were made wrong on purpose; the figures are those of the others.
    """

    scores: dict[str, np.ndarray]
    dice: np.ndarray
    hausdorff_mm: np.ndarray
    units: Sequence[str]
    spoilt: np.ndarray


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
        bad_dice: what a bad case's Dice is not above; None for that of the worst tenth of the cases not spoilt.

    Returns:
        The calibration, and the plausibility (N,) of each case by a fit without its patient.

    Raises:
        ValueError: for fewer than ten cases or two patients, a recall that is none, Dice that is the same everywhere,
            or no bad case to choose the threshold by.
    """
    _check(cases, recall)
    if bad_dice is None:
        bad_dice = float(np.quantile(cases.dice[~cases.spoilt], WORST_SHARE, method="higher"))
    bad = cases.dice <= bad_dice
    if not bad.any():
        raise ValueError(f"No calibration case has a mean Dice of {bad_dice:g} or less: choose a higher --bad-dice.")
    names = tuple(cases.scores)
    values = badness(np.stack([cases.scores[name] for name in names], axis=1), names)
    held_out = _held_out_plausibilities(values, names, cases)
    # As many of the bad as it takes, worst first; the last of them is still flagged.
    threshold = float(np.sort(held_out[bad])[math.ceil(recall * bad.sum()) - 1])
    real = ~cases.spoilt
    calibration = _fit(
        values,
        cases.dice,
        names,
        bad_dice=bad_dice,
        recall=recall,
        threshold=threshold,
        prior_sha256=prior_sha256,
        rules=tuple(rules),
        measured={
            "cases": int(real.sum()),
            "spoilt_copies": int(cases.spoilt.sum()),
            "patients": len(set(cases.units)),
            **judge_plausibilities(held_out[real], cases.dice[real], cases.hausdorff_mm[real]),
            **judge_flags(held_out[real] <= threshold, cases.dice[real] <= bad_dice),
            "single_scores": {
                name: judge_plausibilities(-column[real], cases.dice[real], cases.hausdorff_mm[real])
                for name, column in zip(names, values.T, strict=True)
            },
        },
    )
    return calibration, held_out


def badness(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return scores (N, F) turned so that more is worse."""
    return np.stack([SCORES[name](column) for name, column in zip(names, values.T, strict=True)], axis=1)


def judge_plausibilities(plausibility: np.ndarray, dice: np.ndarray, hausdorff_mm: np.ndarray) -> dict[str, Any]:
    """Return how well plausibilities (N,) order cases by their true Dice and Hausdorff distance.

    Returns:
        `auroc_worst_tenth`: the chance that a case among the tenth of lowest Dice is less plausible than one that is
        not; `spearman_dice`, `spearman_hausdorff`: rank correlations, 1 and -1 at best. None where they do not exist.
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
    """Return the share of cases (N,) that are flagged, of bad ones that are, and of flagged ones that are bad."""
    both = np.count_nonzero(flagged & bad)
    return {
        "flagged_share": float(flagged.mean()),
        "found_share_of_bad": both / bad.sum() if bad.any() else None,
        "bad_share_of_flagged": both / flagged.sum() if flagged.any() else None,
    }


def _check(cases: CalibrationCases, recall: float) -> None:
    if not 0 < recall <= 1:
        raise ValueError(f"The recall is {recall:g}; it is above 0 and at most 1.")
    num_real = int(np.count_nonzero(~cases.spoilt))
    if num_real < MIN_CASES or len(set(cases.units)) < 2:
        raise ValueError(
            f"A calibration needs {MIN_CASES} scored cases of two patients at least; there are {num_real} of "
            f"{len(set(cases.units))}."
        )
    if np.ptp(cases.dice) == 0:
        raise ValueError(f"All calibration cases have the same mean Dice, {cases.dice[0]:g}: nothing can be learnt.")


def _held_out_plausibilities(values: np.ndarray, names: tuple[str, ...], cases: CalibrationCases) -> np.ndarray:
    """Return the plausibility (N,) of each case by a fit on the patients of the other folds."""
    from sklearn.model_selection import GroupKFold

    units = np.unique(np.asarray(cases.units), return_inverse=True)[1]
    plausibility = np.empty(len(values))
    for train, test in GroupKFold(min(_FOLDS, units.max() + 1)).split(values, groups=units):
        plausibility[test] = _expected_dice(_fit(values[train], cases.dice[train], names), values[test])
    return plausibility


def _fit(values: np.ndarray, dice: np.ndarray, names: tuple[str, ...], **fields: Any) -> Calibration:
    """Return the calibration of badnesses (N, F) and true Dice (N,)."""
    from sklearn.linear_model import Ridge

    centres, scales = values.mean(0), values.std(0)
    scales = np.where(scales > 1e-9 * np.maximum(1, np.abs(centres)), scales, 1.0)
    clipped = np.clip(dice, _EXTREME_DICE, 1 - _EXTREME_DICE)
    regression = Ridge(_RIDGE, positive=True).fit((centres - values) / scales, np.log(clipped / (1 - clipped)))
    defaults: dict[str, Any] = {"bad_dice": 0.0, "recall": 1.0, "threshold": 0.0, "prior_sha256": ""}
    return Calibration(
        scores=names,
        centres=tuple(centres.tolist()),
        scales=tuple(scales.tolist()),
        weights=tuple(regression.coef_.tolist()),
        intercept=float(regression.intercept_),
        **{**defaults, **fields},
    )


def _expected_dice(calibration: Calibration, values: np.ndarray) -> np.ndarray:
    """Return plausibilities (N,) of badnesses (N, F)."""
    standard = (values - np.array(calibration.centres)) / np.array(calibration.scales)
    logits = calibration.intercept - standard @ np.array(calibration.weights)
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
