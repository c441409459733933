"""Plots of a comparison: baseline against arm, case by case, a panel per label."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.comparison.comparisons import Comparison, labels_that_differ
from acnn_nnunet.evaluation.comparison.scores import (
    ALL_CASES,
    HIGHER_IS_BETTER,
    NO_CLEAN_UP,
    PERFECT,
    PairedScores,
)
from acnn_nnunet.evaluation.masks.scores import METRICS, MISSED, SPURIOUS
from acnn_nnunet.pages.page import figure_data_uri, new_figure

WIN_COLOUR, TIE_COLOUR, LOSS_COLOUR = "#0072b2", "#7f7f7f", "#cc3311"
MOST_PANELS, _PANELS_A_ROW = 12, 4


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


def draw_pairs(scores: PairedScores, comparisons: Sequence[Comparison], arm: str, metric: str) -> str:
    """Draw baseline against arm and the differences with their mean, a panel per label, as a `data:` address.

    Of many labels those with the largest mean differences are shown. The axes hold the pairs that both arms found; a
    miss would press those into a corner, so it stands at the edge.
    """
    column, index = METRICS.index(metric), scores.arms.index(arm)
    values = scores.values[NO_CLEAN_UP][..., column]
    rows = {
        row.label: row
        for row in comparisons
        if (row.clean_up, row.stratum, row.arm, row.metric) == (NO_CLEAN_UP, ALL_CASES, arm, metric)
    }
    shown = labels_that_differ(scores.labels, rows.values(), most=MOST_PANELS)
    num_columns = min(_PANELS_A_ROW, len(shown))
    num_rows = math.ceil(len(shown) / num_columns)
    figure = new_figure(2.7 * num_columns, 3.9 * num_rows)
    axes = figure.subplots(2 * num_rows, num_columns, squeeze=False, height_ratios=[2.6, 1] * num_rows)
    for axis in axes.flat:
        axis.set_visible(False)
    for panel, label in enumerate(shown):
        number = scores.labels.index(label)
        row, place = divmod(panel, num_columns)
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
