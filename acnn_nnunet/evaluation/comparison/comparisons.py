"""The statistics of a comparison: every arm, label and metric against the baseline."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
from tqdm import tqdm

from acnn_nnunet.evaluation.comparison.scores import FOREGROUND, HIGHER_IS_BETTER, PairedScores
from acnn_nnunet.evaluation.masks.scores import METRICS
from acnn_nnunet.evaluation.statistics import (
    RESAMPLES,
    bootstrap_intervals,
    count_wins,
    describe,
    holm,
    unit_sums,
    wilcoxon_p,
)


@dataclass(frozen=True)
class Comparison:
    """One arm in one table (clean-up and stratum), label and metric; the paired fields are None for the baseline.

    Attributes:
        clean_up: "none" or "largest component".
        stratum: "all", a phase ("phase ED") or a group.
        label: as in cases.csv, or "foreground".
        metric: column of cases.csv.
        arm: name.
        num_cases: pairs.
        num_units: patients with a pair, or cases where there are no patients; what is resampled and tested.
        not_applicable: cases left out because the label is empty in the reference and in all arms.
        mean: over cases, as are `sd` (n − 1) and `median`.
        mean_difference: arm − baseline.
        ci_low: lower end of the bootstrap interval of the mean difference.
        ci_high: upper end.
        p_value: Wilcoxon signed-rank, two-sided.
        p_holm: Holm-corrected over all metrics and labels of this arm in this table.
        family_size: tests in that family.
        wins: pairs in which the arm beats the baseline.
        ties: pairs with equal scores.
        losses: pairs in which the baseline is better.
    """

    clean_up: str
    stratum: str
    label: str
    metric: str
    arm: str
    num_cases: int
    num_units: int
    not_applicable: int
    mean: float | None
    sd: float | None
    median: float | None
    mean_difference: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    family_size: int | None = None
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None


def labels_that_differ(labels: Sequence[str], rows: Iterable[Comparison], *, most: int) -> list[str]:
    """Return labels in their order: the foreground, then those with the largest mean differences in some arm.

    Args:
        labels: of the comparison.
        rows: of one table and metric.
        most: labels to return.
    """
    differences = dict.fromkeys(labels, 0.0)
    for row in rows:
        differences[row.label] = max(differences[row.label], abs(row.mean_difference or 0.0))
    ranked = sorted(labels, key=lambda label: (label != FOREGROUND, -differences[label]))
    return sorted(ranked[:most], key=labels.index)


def compare_scores(scores: PairedScores, *, seed: int = 0, resamples: int = RESAMPLES) -> list[Comparison]:
    """Return the statistics of every arm, label and metric in every table (clean-up and stratum).

    Args:
        scores: aligned scores.
        seed: of the bootstrap; every table starts from it.
        resamples: of the bootstrap.
    """
    rows: list[Comparison] = []
    for clean_up, values in scores.values.items():
        rows += compare_values(
            values,
            scores,
            clean_up=clean_up,
            labels=scores.labels,
            metrics=METRICS,
            higher_is_better=HIGHER_IS_BETTER,
            seed=seed,
            resamples=resamples,
        )
    return rows


def compare_values(
    values: np.ndarray,
    scores: PairedScores,
    *,
    clean_up: str,
    labels: Sequence[str],
    metrics: Sequence[str],
    higher_is_better: Mapping[str, bool],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Comparison]:
    """Return the statistics of one clean-up: every stratum, arm, label and metric.

    Args:
        values: (arms, cases, labels, metrics); NaN where one does not apply.
        scores: whose arms, cases, strata and units they have.
        clean_up: its name.
        labels: names.
        metrics: names.
        higher_is_better: by metric.
        seed: of the bootstrap; every table starts from it.
        resamples: of the bootstrap.
    """
    comparisons: list[Comparison] = []
    tables = list(product(scores.strata, enumerate(scores.arms)))
    for stratum, (index, arm) in tqdm(tables, desc="statistics", unit="arm", disable=None):
        members = scores.strata[stratum]
        units = np.unique(scores.units[members], return_inverse=True)[1]
        row = partial(Comparison, clean_up=clean_up, stratum=stratum, arm=arm)
        rows = list(_describe_arm(row, labels, metrics, values[index][members], units))
        if index:
            differences = (values[index] - values[0])[members].reshape(len(units), -1)
            rows = _compare_arm(
                rows, differences, units, higher_is_better=higher_is_better, seed=seed, resamples=resamples
            )
        comparisons += rows
    return comparisons


def _describe_arm(
    row: Callable[..., Comparison],
    labels: Sequence[str],
    metrics: Sequence[str],
    values: np.ndarray,
    units: np.ndarray,
) -> Iterator[Comparison]:
    """Yield rows in the order of values (cases, labels, metrics) flattened over its last two axes."""
    for column, label in enumerate(labels):
        valid = ~np.isnan(values[:, column, 0])
        for number, metric in enumerate(metrics):
            mean, sd, median = describe(values[:, column, number])
            yield row(
                label=label,
                metric=metric,
                num_cases=int(valid.sum()),
                num_units=len(set(units[valid].tolist())),
                not_applicable=int((~valid).sum()),
                mean=mean,
                sd=sd,
                median=median,
            )


def _compare_arm(
    rows: list[Comparison],
    differences: np.ndarray,
    units: np.ndarray,
    *,
    higher_is_better: Mapping[str, bool],
    seed: int,
    resamples: int,
) -> list[Comparison]:
    sums, counts = unit_sums(differences, units)
    unit_means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    intervals = bootstrap_intervals(differences, units, resamples=resamples, seed=seed)
    p_values = [wilcoxon_p(unit_means[:, column]) for column in range(len(rows))]
    adjusted = holm(p_values)
    compared = []
    for column, row in enumerate(rows):
        low, high = (None if np.isnan(end) else float(end) for end in intervals[column])
        wins, ties, losses = count_wins(differences[:, column], higher_is_better=higher_is_better[row.metric])
        compared.append(
            replace(
                row,
                mean_difference=describe(differences[:, column])[0],
                ci_low=low,
                ci_high=high,
                p_value=p_values[column],
                p_holm=adjusted[column],
                family_size=sum(p is not None for p in p_values),
                wins=wins,
                ties=ties,
                losses=losses,
            )
        )
    return compared
