"""What the study measures of judged predictions, with intervals over patients."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from acnn_nnunet.plausibility.measures import area_under_risk, judge_intervals, judge_order, reviews, worst_tenth
from acnn_nnunet.plausibility.table import EMPTY, PlausibilityRow

RESAMPLES = 1000
FALSE_ALARMS = 0.05
FIGURES = ("auroc_worst_tenth", "spearman_dice", "aurc")


def auroc(plausibility: np.ndarray, worst: np.ndarray) -> float:
    """Return how well plausibilities (N,) tell the worst cases (N,) from the others; NaN where all are of one kind.

    By ranks (Mann and Whitney): a thousand resamples take a second.
    """
    from scipy.stats import rankdata

    bad, good = np.count_nonzero(worst), np.count_nonzero(~worst)
    if not bad or not good:
        return float("nan")
    return float((rankdata(-plausibility)[worst].sum() - bad * (bad + 1) / 2) / (bad * good))


def with_intervals(
    values: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray], units: np.ndarray, *, against: Sequence[str]
) -> dict[str, Any]:
    """Return the figures of each arm with 95 % intervals, and its differences from some arms with paired ones.

    Args:
        values: plausibilities (N,) by arm.
        truth: `dice` and `hausdorff_mm`, (N,).
        units: (N,) patients, numbered from 0.
        against: arms to compare with.

    Returns:
        By arm: `AUROC…`, `spearman_dice`, `aurc`, each with `intervals`, and `differences` by arm and figure.
    """
    worst = truth["dice"] <= worst_tenth(truth["dice"])
    draws = {arm: _draws(each, truth["dice"], worst, units) for arm, each in values.items()}
    found = {}
    for arm, each in values.items():
        others = {
            other: {
                figure: _interval(draws[arm][:, index] - draws[other][:, index]) for index, figure in enumerate(FIGURES)
            }
            for other in against
            if other in values and other != arm
        }
        found[arm] = {
            **judge_order(each, truth["dice"], truth["hausdorff_mm"]),
            "intervals": {figure: _interval(draws[arm][:, index]) for index, figure in enumerate(FIGURES)},
            "differences": others,
        }
    return found


def coverage(rows: Sequence[PlausibilityRow], names: Sequence[str]) -> dict[str, Any]:
    """Return the share of structures of which the truth lies within its interval, and the mean widths."""
    found = {}
    for measure, truth in (("expected_dice", "dice"), ("expected_hausdorff_mm", "hausdorff_mm")):
        pairs = [
            (getattr(each, measure), getattr(each, truth))
            for row in rows
            for name in names
            if (each := row.structures.get(name)) and getattr(each, measure) and getattr(each, truth) is not None
        ]
        if pairs:
            intervals = np.array([[estimate.low, estimate.high] for estimate, _ in pairs], dtype=np.float64)
            found[truth] = {**judge_intervals(intervals, np.array([value for _, value in pairs])), "num": len(pairs)}
    return found


def detection(
    usual: Sequence[PlausibilityRow], strange: Mapping[str, Sequence[PlausibilityRow]], badness: Callable
) -> dict[str, float]:
    """Return the share of strange predictions, by kind, that are worse than all but 5 % of the usual ones.

    Args:
        usual: rows of predictions of clean images.
        strange: rows of predictions of other images, by kind.
        badness: of a row, None where it has none; empty predictions are always found.
    """
    own = [badness(row) for row in usual if row.status != EMPTY]
    limit = np.quantile([value for value in own if value is not None], 1 - FALSE_ALARMS)
    return {
        kind: float(np.mean([row.status == EMPTY or badness(row) is None or badness(row) > limit for row in rows]))
        for kind, rows in strange.items()
    }


def summary(rows: Sequence[PlausibilityRow]) -> dict[str, Any]:
    """Return what a review of the worst rows leaves."""
    plausibility, dice = (
        np.array([getattr(row, key) for row in rows], dtype=float) for key in ("plausibility", "dice")
    )
    return {"reviews": reviews(plausibility, dice), "mean_dice": float(dice.mean()), "worst_tenth": worst_tenth(dice)}


def _draws(plausibility: np.ndarray, dice: np.ndarray, worst: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the figures (R, 3) of resamples of whole patients; the same resamples for every arm."""
    from scipy.stats import rankdata

    members = [np.flatnonzero(units == unit) for unit in range(int(units.max()) + 1)]
    rng, found = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([members[unit] for unit in rng.integers(len(members), size=len(members))])
        ranks = [rankdata(each[drawn]) for each in (plausibility, dice)]
        rho = np.corrcoef(*ranks)[0, 1] if min(map(np.ptp, ranks)) > 0 else np.nan
        area = area_under_risk(plausibility[drawn], dice[drawn])
        found.append((auroc(plausibility[drawn], worst[drawn]), rho, area))
    return np.array(found, dtype=float)


def _interval(values: np.ndarray) -> list[float | None]:
    known = values[np.isfinite(values)]
    return np.quantile(known, (0.025, 0.975)).tolist() if len(known) else [None, None]
