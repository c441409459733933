"""The page of a comparison: tables, paired plots, and pictures of the cases that lost most."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from acnn_nnunet.evaluation.case_images import find_image, images_beside, read_image
from acnn_nnunet.evaluation.comparison.comparisons import Comparison
from acnn_nnunet.evaluation.comparison.plots import MOST_PANELS, draw_pairs
from acnn_nnunet.evaluation.comparison.published import NOT_RUN_HERE, RUN_HERE, PublishedTable, sources
from acnn_nnunet.evaluation.comparison.scores import (
    HIGHER_IS_BETTER,
    NO_CLEAN_UP,
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
from acnn_nnunet.evaluation.masks.scores import METRIC_TITLES, METRICS
from acnn_nnunet.files.folders import IMAGE_ENDINGS, image_ending
from acnn_nnunet.nnunet.label_files import LabelFileReader, LabelMap
from acnn_nnunet.pages.overlays import draw_overlay
from acnn_nnunet.pages.page import render_page
from acnn_nnunet.pages.viewer import CASE_BUDGET, against_reference, pack_case, viewer_block

_RANKED = ("dice", "hausdorff_mm")
_NUM_LOSSES, _NUM_PICTURES = 5, 6
_MOST_CHARACTERS = 10 * CASE_BUDGET  # that all cases of the viewer may have
_CASE_BUDGET = CASE_BUDGET // 3  # the page of two arms stays under 3 MB, plots of many labels included


@dataclass(frozen=True)
class Loss:
    """A label of a case in which an arm is worse than the baseline, both without clean-up."""

    case: str
    label: str
    metric: str
    baseline: float
    score: float


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
    duels = [_render_duel(scores, comparisons, arm) for arm in scores.arms[1:]]
    return render_page(
        "comparison.html",
        arms=scores.arms,
        folders=scores.folders,
        sentences=explain(scores),
        main=tables[0],
        others=tables[1:],
        duels=duels,
        viewer=viewer_block([packed for duel in duels for packed in duel["packed"]]),
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


def _render_duel(scores: PairedScores, comparisons: Sequence[Comparison], arm: str) -> dict[str, Any]:
    losses = {metric: find_losses(scores, arm, metric) for metric in _RANKED}
    cases = list(dict.fromkeys(loss.case for ranked in losses.values() for loss in ranked))[:_NUM_PICTURES]
    looked_at = list(_look_at_cases(scores, arm, cases))
    return {
        "arm": arm,
        "plots": [
            {"title": METRIC_TITLES[metric], "source": draw_pairs(scores, comparisons, arm, metric)}
            for metric in tqdm(METRICS, desc=f"plots of {arm}", unit="plot", disable=None)
        ],
        "num_panels": min(MOST_PANELS, len(scores.labels)),
        "num_labels": len(scores.labels),
        "losses": [
            {"title": METRIC_TITLES[metric], "rows": [_loss_cells(scores, loss) for loss in ranked]}
            for metric, ranked in losses.items()
        ],
        "pictures": [picture for picture, _ in looked_at],
        "packed": [packed for _, packed in looked_at],
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


def _look_at_cases(
    scores: PairedScores, arm: str, cases: Sequence[str]
) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Yield picture and packed viewer case of the cases whose files are still where summary.json says."""
    names = {int(label): name for label, name in scores.label_names.items() if label.isdigit()}
    for case in cases:
        try:
            maps = _read_maps(scores, arm, case)
        except (OSError, ValueError):  # moved, deleted or replaced since: the numbers stand without a picture
            continue
        if maps is None:
            continue
        reference, predictions = maps
        spacing_mm, image = reference.geometry.spacing_mm, _read_image(scores, arm, case, reference)
        source = draw_overlay(reference.values, predictions, spacing_mm, image=image, label_names=names)
        title = f"{case}: {arm} against {scores.arms[0]}"
        shown = against_reference(title, reference.values, predictions, spacing_mm, image=image, label_names=names)
        budget = min(_CASE_BUDGET, _MOST_CHARACTERS // (len(cases) * (len(scores.arms) - 1)))
        yield (
            {"case": case, "source": source, "caption": case, "viewer": title},
            pack_case(shown, budget=budget),
        )


def _read_maps(scores: PairedScores, arm: str, case: str) -> tuple[LabelMap, dict[str, np.ndarray]] | None:
    """Return the reference of a case and the predictions of baseline and arm; None where they are not at hand."""
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
    return reference, predictions


def _read_image(scores: PairedScores, arm: str, case: str, reference: LabelMap) -> np.ndarray | None:
    """Return the image of a case from where either arm's evaluation found it, or from next to the references."""
    for name in (scores.arms[0], arm):
        file, folder = Path(scores.files[name][case][0]), scores.images[name]
        images = images_beside(file.parent) if folder is None else Path(folder)
        path = find_image(images, case, image_ending(file, (*IMAGE_ENDINGS, ".png", ".bmp")))
        image, _ = read_image(path, str(scores.readers[name]), reference.values.shape)
        if image is not None:
            return image
    return None


def _render_published(table: PublishedTable, scores: PairedScores, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    rows = [{"mark": NOT_RUN_HERE, "cells": row} for row in table.rows]
    rows += [{"mark": RUN_HERE, "cells": [arm, *cells]} for arm, cells in our_rows(table, scores, comparisons).items()]
    return {
        "title": table.title,
        "header": ["method", *(column.title for column in table.columns)],
        "rows": rows,
        "notes": sources(table),
    }
