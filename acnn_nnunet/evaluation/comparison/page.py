"""The page of a comparison: tables, paired plots, and pictures of the cases that lost most."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet import __version__
from acnn_nnunet.evaluation.comparison.comparisons import Comparison
from acnn_nnunet.evaluation.comparison.published import NOT_RUN_HERE, RUN_HERE, PublishedTable, sources
from acnn_nnunet.evaluation.comparison.scores import (
    ALL_CASES,
    HIGHER_IS_BETTER,
    NO_CLEAN_UP,
    PERFECT,
    PairedScores,
)
from acnn_nnunet.evaluation.comparison.tables import (
    explain,
    format_score,
    our_rows,
    split_tables,
    table_cells,
    table_title,
)
from acnn_nnunet.evaluation.masks.scores import METRIC_TITLES, METRICS, MISSED, SPURIOUS
from acnn_nnunet.nnunet.label_files import LabelFileReader
from acnn_nnunet.pages.overlays import draw_overlay
from acnn_nnunet.pages.page import figure_data_uri, new_figure, render_page

WIN_COLOUR, TIE_COLOUR, LOSS_COLOUR = "#0072b2", "#7f7f7f", "#cc3311"
_RANKED = ("dice", "hausdorff_mm")
_NUM_LOSSES, _NUM_PICTURES = 5, 6
_PANELS_A_ROW = 4


@dataclass(frozen=True)
class Loss:
    """A label of a case in which an arm is worse than the baseline, both without clean-up."""

    case: str
    label: str
    metric: str
    baseline: float
    score: float


@dataclass(frozen=True)
class Pairs:
    """The pairs of one label and metric: both scores (N,), and whether both arms found the label where it is."""

    baseline: np.ndarray
    own: np.ndarray
    found: np.ndarray

    @property
    def differences(self) -> np.ndarray:
        """Arm − baseline, (N,)."""
        return self.own - self.baseline


def render_report(
    scores: PairedScores, comparisons: Sequence[Comparison], *, published: Sequence[PublishedTable] = ()
) -> str:
    """Return the page as HTML that needs no other file.

    Args:
        scores: aligned scores.
        comparisons: their statistics.
        published: tables to show beside.
    """
    tables = [
        {"title": table_title(clean_up, stratum), "header": header, "rows": rows}
        for clean_up, stratum, group in split_tables(comparisons)
        for header, rows in [table_cells(scores, group)]
    ]
    return render_page(
        "comparison.html",
        version=__version__,
        arms=scores.arms,
        folders=scores.folders,
        sentences=explain(scores),
        main=tables[0],
        others=tables[1:],
        duels=[_render_duel(scores, comparisons, arm) for arm in scores.arms[1:]],
        published=[_render_published(table, scores, comparisons) for table in published],
    )


def find_losses(scores: PairedScores, arm: str, metric: str, *, count: int = _NUM_LOSSES) -> list[Loss]:
    """Return the cases in which an arm loses most against the baseline, each with its worst label, the worst first."""
    column = METRICS.index(metric)
    labels = scores.labels[: scores.statuses.shape[2]]  # without the foreground
    values = scores.values[NO_CLEAN_UP][:, :, : len(labels), column]
    baseline, own = values[0], values[scores.arms.index(arm)]
    gains = (own - baseline) * (1 if HIGHER_IS_BETTER[metric] else -1)
    gains = np.where(np.isnan(gains), np.inf, gains)
    worst = gains.argmin(axis=1)
    places = ((case, worst[case]) for case in np.argsort(gains.min(axis=1), kind="stable")[:count])
    return [
        Loss(scores.cases[case], labels[label], metric, float(baseline[case, label]), float(own[case, label]))
        for case, label in places
        if gains[case, label] < 0
    ]


def draw_pairs(scores: PairedScores, comparisons: Sequence[Comparison], arm: str, metric: str) -> str:
    """Draw, for every label, baseline against arm and the differences with their mean, into a `data:` address.

    The axes hold the pairs that both arms found; a miss would press those into a corner, so it stands at the edge.
    """
    column, index = METRICS.index(metric), scores.arms.index(arm)
    values = scores.values[NO_CLEAN_UP][..., column]
    rows = {
        row.label: row
        for row in comparisons
        if (row.clean_up, row.stratum, row.arm, row.metric) == (NO_CLEAN_UP, ALL_CASES, arm, metric)
    }
    num_columns = min(_PANELS_A_ROW, len(scores.labels))
    num_rows = math.ceil(len(scores.labels) / num_columns)
    figure = new_figure(2.7 * num_columns, 3.9 * num_rows)
    axes = figure.subplots(2 * num_rows, num_columns, squeeze=False, height_ratios=[2.6, 1] * num_rows)
    for axis in axes.flat:
        axis.set_visible(False)
    for number, label in enumerate(scores.labels):
        row, place = divmod(number, num_columns)
        paired = ~np.isnan(values[index][:, number])
        pairs = Pairs(
            values[0][paired, number], values[index][paired, number], _found_by_both(scores, index, number)[paired]
        )
        colours = _colours(pairs.differences, metric)
        _draw_scatter(axes[2 * row, place], pairs, colours, metric)
        _draw_differences(axes[2 * row + 1, place], pairs, colours, rows[label])
        axes[2 * row, place].set(title=scores.title(label), xlabel=scores.arms[0], ylabel="" if place else arm)
        axes[2 * row + 1, place].set_xlabel(f"{arm} − {scores.arms[0]}")
    return figure_data_uri(figure)


def _found_by_both(scores: PairedScores, arm: int, label: int) -> np.ndarray:
    """Return bool (cases,): neither the baseline nor the arm misses or invents the label (or one of the foreground)."""
    columns = slice(None) if label == scores.statuses.shape[2] else slice(label, label + 1)
    failed = np.isin(scores.statuses[[0, arm]][:, :, columns], (MISSED, SPURIOUS))
    return np.asarray(~failed.any(axis=(0, 2)))


def _draw_scatter(axis: Any, pairs: Pairs, colours: np.ndarray, metric: str) -> None:
    axis.set_visible(True)
    shown = np.concatenate([pairs.baseline[pairs.found], pairs.own[pairs.found]])
    limits = _limits(shown if shown.size else np.array([PERFECT[metric]]))
    x, y = np.clip(pairs.baseline, *limits), np.clip(pairs.own, *limits)
    _scatter(axis, x, y, (x == pairs.baseline) & (y == pairs.own), colours)
    axis.plot(limits, limits, color="#999", linewidth=0.8, zorder=0)
    axis.set(xlim=limits, ylim=limits, aspect="equal")
    axis.locator_params(nbins=5)
    axis.tick_params(labelsize=8)


def _draw_differences(axis: Any, pairs: Pairs, colours: np.ndarray, row: Comparison) -> None:
    axis.set_visible(True)
    known = [end for end in (row.mean_difference, row.ci_low, row.ci_high) if end is not None]
    limits = _limits(np.array([0.0, *known, *pairs.differences[pairs.found]]))
    x = np.clip(pairs.differences, *limits)
    heights = np.random.default_rng(0).uniform(-0.3, 0.3, x.size)
    _scatter(axis, x, heights, x == pairs.differences, colours)
    axis.axvline(0, color="#999", linewidth=0.8, zorder=0)
    if row.mean_difference is not None:
        axis.plot(row.mean_difference, 0, marker="D", markersize=6, color="#222")
    if row.ci_low is not None and row.ci_high is not None:
        axis.plot([row.ci_low, row.ci_high], [0, 0], color="#222", linewidth=2)
    axis.set(yticks=[], ylim=(-0.5, 0.5), xlim=limits)
    axis.locator_params(axis="x", nbins=5)
    axis.tick_params(labelsize=8)


def _scatter(axis: Any, x: np.ndarray, y: np.ndarray, inside: np.ndarray, colours: np.ndarray) -> None:
    for chosen, marker, size in ((inside, "o", 14), (~inside, "^", 40)):
        axis.scatter(
            x[chosen], y[chosen], s=size, c=colours[chosen], marker=marker, alpha=0.65, linewidths=0, clip_on=False
        )


def _limits(values: np.ndarray) -> tuple[float, float]:
    margin = 0.06 * float(np.ptp(values)) or 0.05
    return float(values.min()) - margin, float(values.max()) + margin


def _colours(differences: np.ndarray, metric: str) -> np.ndarray:
    gains = differences * (1 if HIGHER_IS_BETTER[metric] else -1)
    return np.select([gains > 0, gains < 0], [WIN_COLOUR, LOSS_COLOUR], TIE_COLOUR)


def _render_duel(scores: PairedScores, comparisons: Sequence[Comparison], arm: str) -> dict[str, Any]:
    losses = {metric: find_losses(scores, arm, metric) for metric in _RANKED}
    cases = list(dict.fromkeys(loss.case for ranked in losses.values() for loss in ranked))[:_NUM_PICTURES]
    return {
        "arm": arm,
        "plots": [{"title": METRIC_TITLES[m], "source": draw_pairs(scores, comparisons, arm, m)} for m in METRICS],
        "losses": [
            {"title": METRIC_TITLES[metric], "rows": [_loss_cells(scores, loss) for loss in ranked]}
            for metric, ranked in losses.items()
        ],
        "pictures": list(_draw_cases(scores, arm, cases)),
        "num_cases": len(cases),
    }


def _loss_cells(scores: PairedScores, loss: Loss) -> list[str]:
    return [
        loss.case,
        scores.title(loss.label),
        format_score(loss.baseline, loss.metric),
        format_score(loss.score, loss.metric),
        format_score(loss.score - loss.baseline, loss.metric, signed=True),
    ]


def _draw_cases(scores: PairedScores, arm: str, cases: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield pictures of the cases whose files are still where summary.json says."""
    for case in cases:
        try:
            source = _draw_case(scores, arm, case)
        except (OSError, ValueError):  # moved, deleted or replaced since: the numbers stand without a picture
            continue
        if source:
            yield {"case": case, "source": source}


def _draw_case(scores: PairedScores, arm: str, case: str) -> str | None:
    baseline = scores.arms[0]
    if not all(scores.readers[name] and case in scores.files[name] for name in (baseline, arm)):
        return None
    reference = LabelFileReader(str(scores.readers[baseline])).read(Path(scores.files[baseline][case][0]))
    predictions = {}
    for name in (baseline, arm):
        path = Path(scores.files[name][case][1])
        if not path.parent.is_dir():
            return None
        missing = not path.is_file()  # its folder is there: a prediction that never was, scored as a miss
        prediction = None if missing else LabelFileReader(str(scores.readers[name])).read(path).values
        title = f"{name}, no prediction" if missing else name
        predictions[title] = np.zeros_like(reference.values) if prediction is None else prediction
    if any(prediction.shape != reference.values.shape for prediction in predictions.values()):
        return None
    names = {int(label): name for label, name in scores.label_names.items() if label.isdigit()}
    return draw_overlay(reference.values, predictions, reference.geometry.spacing_mm, label_names=names)


def _render_published(table: PublishedTable, scores: PairedScores, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    rows = [{"mark": NOT_RUN_HERE, "cells": row} for row in table.rows]
    rows += [{"mark": RUN_HERE, "cells": [arm, *cells]} for arm, cells in our_rows(table, scores, comparisons).items()]
    return {
        "title": table.title,
        "header": ["method", *(column.title for column in table.columns)],
        "rows": rows,
        "notes": sources(table),
    }
