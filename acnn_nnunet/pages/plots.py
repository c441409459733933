"""Small panels, one for each of some dimensions of a code (the paper's Fig. 5)."""

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
