"""The page of an evaluation: tables, every case, and pictures of the worst."""

import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet import __version__
from acnn_nnunet.evaluation.case_images import find_image, read_image
from acnn_nnunet.evaluation.masks.scores import (
    BOTH_EMPTY,
    MEASURE_TITLES,
    MEASURES,
    METRIC_TITLES,
    METRICS,
    MISSED,
    SPURIOUS,
    LabelScores,
)
from acnn_nnunet.evaluation.plan import EvaluationPlan
from acnn_nnunet.files.safe_writes import write_text
from acnn_nnunet.nnunet.label_files import LabelFileReader
from acnn_nnunet.pages.overlays import draw_overlay
from acnn_nnunet.pages.page import LABEL_COLOURS, figure_data_uri, literal, new_figure, render_page
from acnn_nnunet.pages.viewer import against_reference, pack_case, viewer_block

_NUM_WORST = 6
_MOST_DOTS = 2000


@dataclass(frozen=True)
class Row:
    """One line of a table: a label, its scores as text, and how many cases stand behind them."""

    name: str
    metrics: list[str]
    num_cases: int
    missed: int
    spurious: int
    both_empty: int


def write_report(
    path: Path,
    plan: EvaluationPlan,
    summary: dict[str, Any],
    scores: Iterable[LabelScores],
    cleaned: Iterable[LabelScores],
    *,
    images: Path | None,
    more: str = "",
) -> None:
    """Write the page of an evaluation.

    Args:
        path: file to write.
        plan: what was evaluated.
        summary: content of `summary.json`.
        scores: rows of `cases.csv`; they and the next are iterated over several times.
        cleaned: rows of `cases_largest_component.csv`.
        images: folder of the images to show under the outlines, if any.
        more: HTML about anatomical rules and clinical indices, if there are any.

    Raises:
        OSError: if it cannot be written.
    """
    from markupsafe import Markup

    tables = [("Scores", table_rows(plan, scores))]
    if any(one != other for one, other in zip(scores, cleaned, strict=True)):
        tables.append(("Scores of the largest component of each label", table_rows(plan, cleaned)))
    looked_at = [_look_at(plan, case, dice, images) for case, dice in worst_cases(scores)]
    page = render_page(
        "evaluation.html",
        version=__version__,
        summary=summary,
        num_scored=len(summary["metric_per_case"]),
        tables=tables,
        metric_titles=list(METRIC_TITLES.values()),
        measures=table_rows(plan, scores, metrics=MEASURES),
        measure_titles=list(MEASURE_TITLES.values()),
        distributions=_draw_distributions(plan, scores),
        more=Markup(more),
        pictures=[picture for picture, _ in looked_at],
        viewer=viewer_block([packed for _, packed in looked_at if packed]),
    )
    write_text(path, page)


def table_rows(plan: EvaluationPlan, scores: Iterable[LabelScores], *, metrics: Sequence[str] = METRICS) -> list[Row]:
    """Return one row a label: "mean ± SD (median)" of each metric over the cases to which it applies."""
    columns = _Columns(plan, metrics)
    for score in scores:
        columns.add(score)
    rows = []
    for key, name in plan.labels.names.items():
        counts = columns.statuses[key]
        rows.append(
            Row(
                name=name if name == key else f"{name} ({key})",
                metrics=[_spread(columns.values(key, metric), digits=_digits(metric)) for metric in metrics],
                num_cases=counts.total() - counts[BOTH_EMPTY],
                missed=counts[MISSED],
                spurious=counts[SPURIOUS],
                both_empty=counts[BOTH_EMPTY],
            )
        )
    return rows


def worst_cases(scores: Iterable[LabelScores], count: int = _NUM_WORST) -> list[tuple[str, float]]:
    """Return the cases of lowest mean Dice over the labels that apply, worst first, each with that mean."""
    dice: dict[str, array[float]] = {}
    for score in scores:
        if score.dice is not None:
            dice.setdefault(score.case, array("d")).append(score.dice)
    means = ((case, float(np.mean(values))) for case, values in dice.items())
    return heapq.nsmallest(count, means, key=lambda item: (item[1], item[0]))


class _Columns:
    """The scores of many cases, eight bytes a number: of each label those that apply, and how often each status is."""

    def __init__(self, plan: EvaluationPlan, metrics: Sequence[str]) -> None:
        self.statuses: dict[str, Counter[str]] = {key: Counter() for key in plan.labels.names}
        self._metrics = metrics
        self._values = {(key, metric): array("d") for key in plan.labels.names for metric in metrics}

    def add(self, score: LabelScores) -> None:
        """Take in the scores of a label in a case; labels that the plan does not name do not count."""
        if score.label in self.statuses:
            self.statuses[score.label][score.status] += 1
            for metric in self._metrics:
                if (value := getattr(score, metric)) is not None:
                    self._values[score.label, metric].append(value)

    def values(self, label: str, metric: str) -> np.ndarray:
        """Return the values of the cases to which the metric applies."""
        return np.array(self._values[label, metric])


def _digits(metric: str) -> int:
    return 2 if metric.endswith(("_mm", "_ml")) or metric.startswith("pieces_") else 3


def _spread(applicable: np.ndarray, *, digits: int) -> str:
    if not applicable.size:
        return "–"
    deviation = (
        f"\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{applicable.std(ddof=1):.{digits}f}" if applicable.size > 1 else ""
    )
    return f"{applicable.mean():.{digits}f}{deviation} ({np.median(applicable):.{digits}f})"


def _draw_distributions(plan: EvaluationPlan, scores: Iterable[LabelScores]) -> str:
    """Dice and Hausdorff distance of every case, a column of dots a label; of very many cases a sample as dots."""
    names = plan.labels.names
    columns = _Columns(plan, ("dice", "hausdorff_mm"))
    for score in scores:
        columns.add(score)
    figure = new_figure(max(6.0, 2.0 + 0.8 * len(names)), 3.4)
    rng = np.random.default_rng(0)
    for axis, metric in zip(figure.subplots(1, 2), ("dice", "hausdorff_mm"), strict=True):
        for position, key in enumerate(names):
            values = columns.values(key, metric)
            if not values.size:
                continue
            colour = LABEL_COLOURS[position % len(LABEL_COLOURS)]
            axis.boxplot(values, positions=[position], widths=0.55, showfliers=False, medianprops={"color": "#222"})
            shown = values if values.size <= _MOST_DOTS else rng.choice(values, _MOST_DOTS, replace=False)
            axis.scatter(position + rng.uniform(-0.18, 0.18, shown.size), shown, s=9, color=colour, alpha=0.6, lw=0)
        axis.set_xticks(
            range(len(names)), [literal(name) for name in names.values()], rotation=30 if len(names) > 4 else 0
        )
        axis.set_xlim(-0.6, len(names) - 0.4)
        axis.set_title(METRIC_TITLES[metric], fontsize=10)
    return figure_data_uri(figure)


def _look_at(
    plan: EvaluationPlan, case: str, dice: float, images: Path | None
) -> tuple[dict[str, str], dict[str, Any] | None]:
    """Return picture and caption of a case, and its packed viewer case; neither where a file is unreadable by now."""
    reader = LabelFileReader(plan.reader_name)
    path = plan.prediction_file(case)
    caption = f"{case}: mean Dice {dice:.3f}"
    try:
        reference = reader.read(plan.reference_file(case))
        prediction = reader.read(path).values if path.is_file() else np.zeros_like(reference.values)
    except (ValueError, OSError) as error:  # parts may be merged where the files are not
        return {"case": case, "source": "", "caption": f"{caption}, no picture: {error}", "viewer": ""}, None
    image_file = find_image(images, case, plan.file_ending)
    image, about_image = read_image(image_file, plan.reader_name, reference.values.shape)
    spacing_mm = reference.geometry.spacing_mm
    label_names = {int(key): name for key, name in plan.labels.names.items() if key.isdigit()}
    source = draw_overlay(reference.values, {case: prediction}, spacing_mm, image=image, label_names=label_names)
    note = ("" if path.is_file() else ", no prediction") + about_image
    packed = pack_case(
        against_reference(case, reference.values, {"": prediction}, spacing_mm, image=image, label_names=label_names)
    )
    return {"case": case, "source": source, "caption": caption + note, "viewer": case}, packed
