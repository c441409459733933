"""Plots of codes: panels of their dimensions (the paper's Fig. 5), and how many directions they fill."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from acnn_nnunet.pages.page import new_figure

_MOST_PANELS, _COLUMNS = 16, 8


def code_panels(variances: Sequence[float]) -> tuple[Any, list[tuple[int, Any]]]:
    """Return a figure, and index and axes of up to 16 dimensions, evenly from the most to the least varied.

    Args:
        variances: of all dimensions.
    """
    order = np.argsort(-np.asarray(variances), kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(_MOST_PANELS, len(order))).round().astype(int)]
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = new_figure(10.5, 1.5 * rows + 0.2)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(chosen) :]:
        axis.set_visible(False)
    for index, axis in zip(chosen, axes, strict=False):
        axis.set_title(f"code_{index}", fontsize=7)
        axis.set_yticks([])
        axis.tick_params(labelsize=6)
    return figure, [(int(index), axis) for index, axis in zip(chosen, axes, strict=False)]


def draw_spectrum(axis: Any, eigenvalue_shares: Sequence[float], effective_rank: float, *, of: str = "") -> None:
    """Draw the share of the variance that the first principal directions hold, and the effective rank.

    Args:
        axis: to draw on.
        eigenvalue_shares: of the variance, largest first.
        effective_rank: of the codes.
        of: words after "principal directions".
    """
    shares = np.cumsum(eigenvalue_shares)
    axis.plot(np.arange(1, len(shares) + 1), shares, color="#222", lw=1.5)
    axis.axvline(effective_rank, color="#cc3311", lw=1, ls="--", label="effective rank")
    axis.set(xlabel=f"principal directions{of}", ylabel="share of the variance", ylim=(0, 1.02))
    axis.set_title("How many directions the codes fill", fontsize=10)
    axis.legend(fontsize=8, frameon=False)
