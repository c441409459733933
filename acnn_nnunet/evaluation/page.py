"""The page of an evaluation: tables, every case, and pictures of the worst."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
from acnn_nnunet.evaluation.pictures import LookedAt
from acnn_nnunet.evaluation.plan import EvaluationPlan
from acnn_nnunet.files.safe_writes import write_text
from acnn_nnunet.pages.distributions import draw_distributions
from acnn_nnunet.pages.page import render_page
from acnn_nnunet.pages.viewer import viewer_block


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
    looked_at: Sequence[LookedAt] = (),
    more: str = "",
) -> list[Row]:
    """Write the page of an evaluation, and return the rows of its first table.

    Args:
        path: file to write.
        plan: what was evaluated.
        summary: content of `summary.json`.
        scores: rows of `cases.csv`; they and the next are iterated over several times.
        cleaned: rows of `cases_largest_component.csv`.
        looked_at: the worst cases.
        more: HTML about anatomical rules and clinical indices, if there are any.

    Raises:
        OSError: if it cannot be written.
    """
    from markupsafe import Markup

    columns = ScoreColumns.of(plan, scores)
    tables = [("Scores", table_rows(columns))]
    if any(one != other for one, other in zip(scores, cleaned, strict=True)):
        tables.append(("Scores of the largest component of each label", table_rows(ScoreColumns.of(plan, cleaned))))
    page = render_page(
        "evaluation.html",
        summary=summary,
        num_scored=len(summary["metric_per_case"]),
        tables=tables,
        metric_titles=list(METRIC_TITLES.values()),
        measures=table_rows(columns, metrics=MEASURES),
        measure_titles=list(MEASURE_TITLES.values()),
        distributions=_draw_distributions(columns),
        more=Markup(more),
        pictures=[each.picture for each in looked_at],
        viewer=viewer_block([each.packed for each in looked_at if each.packed]),
    )
    write_text(path, page)
    return tables[0][1]


def table_rows(columns: "ScoreColumns", *, metrics: Sequence[str] = METRICS) -> list[Row]:
    """Return one row a label: "mean ± SD (median)" of each metric over the cases to which it applies."""
    rows = []
    for key, name in columns.names.items():
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


class ScoreColumns:
    """The scores of many cases, eight bytes a number: of each label those that apply, and how often each status is.

    Attributes:
        names: of the labels, by key.
        statuses: by the labels' keys.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names
        self.statuses: dict[str, Counter[str]] = {key: Counter() for key in names}
        self._values = {(key, metric): array("d") for key in names for metric in (*METRICS, *MEASURES)}

    @classmethod
    def of(cls, plan: EvaluationPlan, scores: Iterable[LabelScores]) -> "ScoreColumns":
        """Return the columns of rows, which are iterated over once."""
        columns = cls(plan.labels.names)
        for score in scores:
            columns.add(score)
        return columns

    def add(self, score: LabelScores) -> None:
        """Take in the scores of a label in a case; labels that the plan does not name do not count."""
        if score.label in self.statuses:
            self.statuses[score.label][score.status] += 1
            for metric in (*METRICS, *MEASURES):
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


def _draw_distributions(columns: ScoreColumns) -> str:
    """Dice and Hausdorff distance of every case, a column of dots a label; of very many cases a sample as dots."""
    panels = {
        METRIC_TITLES[metric]: [columns.values(key, metric) for key in columns.names]
        for metric in ("dice", "hausdorff_mm")
    }
    return draw_distributions(panels, list(columns.names.values()))
