"""`summary.json`: nnU-Net's keys where nnU-Net has them, and the distances beside."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.masks.scores import STATUSES
from acnn_nnunet.evaluation.plan import EvaluationPlan
from acnn_nnunet.files.safe_writes import write_json_rows
from acnn_nnunet.nnunet.labels import label_key

_HOST_COUNTS = {"TP": "true_positives", "FP": "false_positives", "FN": "false_negatives", "TN": "true_negatives"}


class CaseMetrics:
    """`metric_per_case` of `summary.json`: built from the entries each time it is iterated over, never held."""

    def __init__(self, plan: EvaluationPlan, entries: Iterable[dict[str, Any]], num_cases: int) -> None:
        self._plan, self._entries, self._num_cases = plan, entries, num_cases

    def __len__(self) -> int:
        return self._num_cases

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for entry in self._entries:
            if entry["error"] is None:
                yield _case_metrics(self._plan, entry)


def summarise(plan: EvaluationPlan, entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of `summary.json`.

    `metric_per_case`, `mean` and `foreground_mean` are built and keyed as the host's, with its `Dice`, `IoU`, `TP`,
    `FP`, `FN`, `TN`, `n_pred` and `n_ref` (NaN where Dice does not apply, as in the host), and ours by the names of
    `cases.csv` (null where one does not apply). Means are over the cases to which a score applies; `counts` says how
    many those are.

    Args:
        plan: what was evaluated.
        entries: the journal's entries, one per case, sorted; iterated over twice.
    """
    numbers = _Numbers([label_key(label) for label in plan.labels.foreground])
    excluded, missing = [], []
    for entry in entries:
        if entry["error"] is not None:
            excluded.append({"case": entry["case"], "reason": entry["error"]})
            continue
        numbers.add(entry["scores"])
        if entry["missing"]:
            missing.append(entry["case"])
    means = numbers.means()
    return {
        "foreground_mean": _mean_of(means.values()),
        "mean": means,
        "metric_per_case": CaseMetrics(plan, entries, numbers.num_cases),
        "counts": numbers.counts(),
        "excluded": excluded,
        "missing_predictions": missing,
        **{key: value for key, value in plan.header().items() if key not in ("cases", "exhaustive")},
    }


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write `summary.json` atomically, case by case.

    Raises:
        OSError: if it cannot be written.
    """
    write_json_rows(path, summary, {"metric_per_case": summary["metric_per_case"]})


def _case_metrics(plan: EvaluationPlan, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "case": entry["case"],
        "reference_file": str(plan.reference_file(entry["case"])),
        "prediction_file": str(plan.prediction_file(entry["case"])),
        "reference_digest": entry.get("reference_digest"),  # an earlier version noted none
        "reference_spacing_mm": entry.get("reference_spacing_mm"),
        "metrics": {scores["label"]: _label_metrics(scores) for scores in entry["scores"]},
    }


def _label_metrics(scores: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: scores[field] for name, field in _HOST_COUNTS.items()}
    elsewhere = {"case", "label", "dice", "iou", *_HOST_COUNTS.values()}
    return {
        "Dice": math.nan if scores["dice"] is None else scores["dice"],
        "IoU": math.nan if scores["iou"] is None else scores["iou"],
        **counts,
        "n_pred": counts["TP"] + counts["FP"],
        "n_ref": counts["TP"] + counts["FN"],
        **{name: value for name, value in scores.items() if name not in elsewhere},
    }


class _Numbers:
    """The numbers of each label over all cases, eight bytes each, NaN where one does not apply."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.num_cases = 0
        self._columns: dict[str, dict[str, array[float]]] = {key: {} for key in keys}
        self._statuses: dict[str, Counter[str]] = {key: Counter() for key in keys}

    def add(self, scores_of_case: Iterable[Mapping[str, Any]]) -> None:
        """Take in the scores of a case."""
        self.num_cases += 1
        for scores in scores_of_case:
            key = scores["label"]
            self._statuses[key][scores["status"]] += 1
            for name, value in _label_metrics(scores).items():
                if name != "status":
                    column = self._columns[key].setdefault(name, array("d"))
                    column.append(math.nan if value is None else value)

    def means(self) -> dict[str, dict[str, float | None]]:
        """Return the mean of each number over the cases to which it applies, by label."""
        return {
            key: {name: _mean(name, np.array(values)) for name, values in columns.items()}
            for key, columns in self._columns.items()
        }

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many cases have each status, by label."""
        return {key: {status: found[status] for status in STATUSES} for key, found in self._statuses.items()}


def _mean(name: str, values: np.ndarray) -> float | None:
    values = values[~np.isnan(values)]
    mean = float(values.mean()) if values.size else math.nan
    return None if math.isnan(mean) and name not in ("Dice", "IoU") else mean


def _mean_of(means: Iterable[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the mean over labels of each number; missing where one label has none."""
    means = list(means)
    found: dict[str, float | None] = {}
    for name in means[0] if means else ():
        values = [mean[name] for mean in means]
        mean = float(np.mean([math.nan if value is None else value for value in values]))
        found[name] = None if math.isnan(mean) and name not in ("Dice", "IoU") else mean
    return found
