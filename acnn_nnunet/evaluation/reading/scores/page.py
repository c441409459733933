"""The page of a study's scores: MOS of each reader and arm, how often each rating was given, tests and agreement."""

from typing import Any

import numpy as np

from acnn_nnunet.evaluation.reading.scores.exports import HIGHEST, LOWEST
from acnn_nnunet.pages.page import LABEL_COLOURS, figure_data_uri, literal, new_figure, render_page


def render_scores_page(result: dict[str, Any], ratings: np.ndarray, sentences: list[str]) -> str:
    """Return the self-contained page.

    Args:
        result: content of `reader_scores.json`.
        ratings: (readers, arms, cases).
        sentences: about the readers' agreement.
    """
    by_reader: dict[str, dict[str, Any]] = {}
    for row in result["scores"]:
        by_reader.setdefault(row["reader"], {})[row["arm"]] = row
    return render_page(
        "reader_scores.html",
        result=result,
        by_reader=by_reader,
        sentences=sentences,
        counts=_draw_counts(result, ratings),
    )


def _draw_counts(result: dict[str, Any], ratings: np.ndarray) -> str:
    """Draw a panel a reader: how many cases of each arm were given each rating."""
    readers, arms = result["readers"], result["arms"]
    columns = min(3, len(readers))
    rows = -(-len(readers) // columns)
    figure = new_figure(3.4 * columns + 0.4, 2.4 * rows + 0.4)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    scale = np.arange(LOWEST, HIGHEST + 1)
    width = 0.8 / len(arms)
    for axis, reader, of_reader in zip(axes, readers, ratings, strict=False):
        for place, (arm, values) in enumerate(zip(arms, of_reader, strict=True)):
            counts = [int((values == value).sum()) for value in scale]
            colour = LABEL_COLOURS[place % len(LABEL_COLOURS)]
            axis.bar(scale + (place - (len(arms) - 1) / 2) * width, counts, width, color=colour, label=literal(arm))
        axis.set_title(literal(reader), fontsize=9)
        axis.set_xticks(scale)
        axis.tick_params(labelsize=8)
    for axis in axes[len(readers) :]:
        axis.set_visible(False)
    axes[0].set_ylabel("cases", fontsize=8)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure_data_uri(figure)
