"""How well plausibilities order cases, flags find bad ones, intervals hold the truth, and what a review brings."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from acnn_nnunet.shape_prior.label_maps.defects import rank_correlation

WORST_SHARE = 0.1
REVIEWED_SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)


def worst_tenth(dice: np.ndarray) -> float:
    """Return the Dice up to which a case belongs to the lowest tenth of (N,): that of the ⌈(N − 1) / 10⌉ + 1 lowest."""
    return float(np.quantile(dice, WORST_SHARE, method="higher"))


def judge_order(plausibility: np.ndarray, dice: np.ndarray, hausdorff_mm: np.ndarray) -> dict[str, Any]:
    """Return how well plausibilities (N,) order cases by their true Dice and Hausdorff distance.

    Returns:
        `auroc_worst_tenth`: how well it tells the tenth with the lowest Dice from the others; `spearman_dice`,
        `spearman_hausdorff`: rank correlations, 1 and -1 at best; `aurc`: area under the risk-coverage curve. None
        where they do not exist.
    """
    from sklearn.metrics import roc_auc_score

    worst = dice <= worst_tenth(dice)
    defined = worst.any() and not worst.all()
    return {
        "auroc_worst_tenth": float(roc_auc_score(worst, -plausibility)) if defined else None,
        "spearman_dice": rank_correlation(plausibility, dice),
        "spearman_hausdorff": rank_correlation(plausibility, hausdorff_mm),
        "aurc": area_under_risk(plausibility, dice),
    }


def judge_flags(flagged: np.ndarray, bad: np.ndarray) -> dict[str, Any]:
    """Return the flagged share of all cases (N,) and of the bad ones, and the bad share of the flagged ones."""
    both = np.count_nonzero(flagged & bad)
    return {
        "flagged_share": float(flagged.mean()),
        "found_share_of_bad": both / bad.sum() if bad.any() else None,
        "bad_share_of_flagged": both / flagged.sum() if flagged.any() else None,
    }


def judge_intervals(intervals: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """Return the share of truths (N,) within intervals (N, 2), ends included, and the intervals' mean width.

    A case without an interval (NaN) does not count; None where none has one.
    """
    known = ~np.isnan(intervals).any(axis=1)
    if not known.any():
        return {"coverage": None, "mean_width": None}
    (low, high), truth = intervals[known].T, truth[known]
    return {"coverage": float(((low <= truth) & (truth <= high)).mean()), "mean_width": float((high - low).mean())}


def risk_curve(plausibility: np.ndarray, dice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coverage and risk (N,): the share of cases kept, most plausible first, and the mean 1 − Dice of these."""
    order = np.argsort(-plausibility, kind="stable")
    counts = np.arange(1, len(dice) + 1)
    return counts / len(dice), np.cumsum(1 - dice[order]) / counts


def area_under_risk(plausibility: np.ndarray, dice: np.ndarray) -> float:
    """Return the area under the risk-coverage curve (AURC; Geifman and El-Yaniv, NeurIPS 2017), 0 at best."""
    return float(risk_curve(plausibility, dice)[1].mean())


def reviews(plausibility: np.ndarray, dice: np.ndarray) -> list[dict[str, float]]:
    """Return what is left where the least plausible cases are reviewed.

    Returns:
        For each share of cases to review: `reviewed_share`, and of the rest the `lowest_dice` and `mean_dice`.
    """
    order = np.argsort(plausibility, kind="stable")
    found = []
    for share in REVIEWED_SHARES:
        rest = dice[order[int(np.ceil(share * len(dice))) :]]
        if len(rest):
            found.append({"reviewed_share": share, "lowest_dice": float(rest.min()), "mean_dice": float(rest.mean())})
    return found


def review_sentence(found: Sequence[dict[str, float]], share: float = WORST_SHARE) -> str:
    """Return the sentence that a clinic needs, of what `reviews` returned."""
    row = next((each for each in found if each["reviewed_share"] == share), None)
    if row is None:
        return ""
    return (
        f"Review the worst {100 * share:.0f} % and the rest has Dice ≥ {row['lowest_dice']:.2f} "
        f"(mean {row['mean_dice']:.2f})."
    )
