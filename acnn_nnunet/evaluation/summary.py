"""`summary.json`: nnU-Net's keys where nnU-Net has them, and the distances beside."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.masks.scores import STATUSES
from acnn_nnunet.evaluation.plan import EvaluationPlan
from acnn_nnunet.nnunet.labels import label_key

_HOST_COUNTS = {"TP": "true_positives", "FP": "false_positives", "FN": "false_negatives", "TN": "true_negatives"}


def summarise(plan: EvaluationPlan, entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of `summary.json`.

    `metric_per_case`, `mean` and `foreground_mean` are built and keyed as the host's, with its `Dice`, `IoU`, `TP`,
    `FP`, `FN`, `TN`, `n_pred` and `n_ref` (NaN where Dice does not apply, as in the host), and ours by the names of
    `cases.csv` (null where one does not apply). Means are over the cases to which a score applies; `counts` says how
    many those are.

    Args:
        plan: what was evaluated.
        entries: the journal's entries, one a case.
    """
    entries = sorted(entries, key=lambda entry: entry["case"])
    scored = [entry for entry in entries if entry["error"] is None]
    keys = [label_key(label) for label in plan.labels.foreground]
    per_case = [_case_metrics(plan, entry) for entry in scored]
    means = {key: _means([case["metrics"][key] for case in per_case]) for key in keys}
    return {
        "foreground_mean": _means(means.values(), skip_missing=False),
        "mean": means,
        "metric_per_case": per_case,
        "counts": {key: _counts(case["metrics"][key] for case in per_case) for key in keys},
        "excluded": [
            {"case": entry["case"], "reason": entry["error"]} for entry in entries if entry["error"] is not None
        ],
        "missing_predictions": [entry["case"] for entry in scored if entry["missing"]],
        **{key: value for key, value in plan.header().items() if key not in ("cases", "exhaustive")},
    }


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


def _means(metrics: Iterable[Mapping[str, Any]], *, skip_missing: bool = True) -> dict[str, float | None]:
    """Mean of each number: over the cases to which it applies, or (over labels) missing where one label has none."""
    metrics = list(metrics)
    names = [name for name in (metrics[0] if metrics else ()) if name != "status"]
    means: dict[str, float | None] = {}
    for name in names:
        values = np.array([math.nan if metric[name] is None else metric[name] for metric in metrics], dtype=float)
        if skip_missing:
            values = values[~np.isnan(values)]
        mean = float(values.mean()) if values.size else math.nan
        means[name] = None if math.isnan(mean) and name not in ("Dice", "IoU") else mean
    return means


def _counts(metrics: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    found = Counter(metric["status"] for metric in metrics)
    return {status: found[status] for status in STATUSES}
