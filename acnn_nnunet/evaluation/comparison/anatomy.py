"""Implausible slices and cases of arms, where all of them were evaluated by the same anatomical rules."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from acnn_nnunet.evaluation.anatomy.cases import ANATOMY_FILE, CaseAnatomy, read_anatomy
from acnn_nnunet.evaluation.comparison.comparisons import Comparison, compare_values
from acnn_nnunet.evaluation.comparison.scores import CASE_METRIC_TITLES, NO_CLEAN_UP, WHOLE_CASE, PairedScores


def read_arms_anatomy(arms: Mapping[str, Path]) -> list[dict[str, CaseAnatomy]] | None:
    """Return what each arm's `anatomy.csv` says, or None where an arm has none or was judged by other rules."""
    paths = [folder / ANATOMY_FILE for folder in arms.values()]
    if not all(path.is_file() for path in paths):
        return None
    tables = [read_anatomy(path) for path in paths]
    rules = [tuple(next(iter(table.values())).violations) if table else () for table in tables]
    return tables if len(set(rules)) == 1 and rules[0] else None


def compare_anatomy(scores: PairedScores, *, seed: int = 0) -> list[Comparison]:
    """Return rows on implausible slices and cases: every arm against the baseline in every stratum, without clean-up.

    A case without a prediction in some arm is left out for all and counts as not applicable. Holm's correction is over
    both rows of an arm in one table. Empty where no rules are known, or arms were judged by different ones.
    """
    tables = read_arms_anatomy(scores.folders)
    if tables is None:
        return []
    values = np.array(
        [
            [[_value(table.get(case), metric) for metric in CASE_METRIC_TITLES] for case in scores.cases]
            for table in tables
        ]
    )
    values[:, np.isnan(values).any(axis=(0, 2))] = np.nan
    return compare_values(
        values[:, :, None],
        scores,
        clean_up=NO_CLEAN_UP,
        labels=(WHOLE_CASE,),
        metrics=tuple(CASE_METRIC_TITLES),
        higher_is_better=dict.fromkeys(CASE_METRIC_TITLES, False),
        seed=seed,
    )


def _value(case: CaseAnatomy | None, metric: str) -> float:
    return np.nan if case is None else float(getattr(case, metric))
