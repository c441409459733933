"""Every case of `acnn-nnunet evaluate` against its reference, and what the journal says of it."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.journal import Journal
from acnn_nnunet.casewise.run import work_through
from acnn_nnunet.evaluation.masks.case_scores import score_case
from acnn_nnunet.evaluation.plan import EvaluationPlan
from acnn_nnunet.nnunet.label_files import LabelFileReader, LabelMap

PRELOADED = (__name__, "nnunetv2.imageio.reader_writer_registry", "nibabel")
"""Modules that every worker needs."""


def evaluate_cases(plan: EvaluationPlan, journal: Journal, cases: list[str], *, num_processes: int) -> None:
    """Score the cases that the journal does not hold yet, each written down as it ends.

    A case whose files have changed since, or that failed, is scored again. A file that cannot be used costs its own
    case only: the entry then holds the reason.

    Raises:
        WriteError: if the journal cannot be written.
    """
    done = {entry["case"] for entry in finished_entries(plan, journal)}
    open_cases = {case: case for case in cases if case not in done}
    work = partial(evaluate_case, plan)
    num_done = len(cases) - len(open_cases)
    for result in work_through(work, open_cases, num_processes=num_processes, num_done=num_done):
        journal.append(result.value or _failed_entry(plan, result.case, str(result.error)))


def finished_entries(plan: EvaluationPlan, journal: Journal) -> list[dict[str, Any]]:
    """Return the latest successful entry of each case whose files are unchanged."""
    return [
        entry
        for entry in journal.latest().values()  # without scores: failed, or written by an earlier version
        if entry.get("scores") and entry["stamp"] == _stamp(plan, entry["case"])
    ]


def evaluate_case(plan: EvaluationPlan, case: str) -> dict[str, Any]:
    """Score one case.

    Returns:
        The journal's entry: `case`, `stamp` of its files, `error` (None, or the reason why it is left out), `missing`
        (no prediction), `scores` and `scores_largest_component` (fields of `LabelScores`, one per label).

    Raises:
        ValueError, OSError: if a file cannot be used, in one sentence that names it.
    """
    stamp = _stamp(plan, case)
    reader = LabelFileReader(plan.reader_name)
    reference = reader.read(plan.reference_file(case))
    _refuse_unknown_labels(plan, reference, plan.reference_file(case), is_reference=True)
    prediction = _read_prediction(plan, case, reader, reference)
    pairs = score_case(
        reference,
        prediction,
        plan.labels.foreground,
        ignore=plan.labels.ignore,
        tolerance_mm=plan.tolerance_mm,
        case=case,
    )
    return {
        "case": case,
        "stamp": stamp,
        "error": None,
        "missing": prediction is None,
        "reference_digest": reference.digest,
        "reference_spacing_mm": reference.volume_spacing_mm,
        "scores": [dataclasses.asdict(scores) for scores, _ in pairs],
        "scores_largest_component": [dataclasses.asdict(cleaned) for _, cleaned in pairs],
    }


def _failed_entry(plan: EvaluationPlan, case: str, error: str) -> dict[str, Any]:
    return {"case": case, "stamp": _stamp(plan, case), "error": error, "missing": False, "scores": []}


def _read_prediction(plan: EvaluationPlan, case: str, reader: LabelFileReader, reference: LabelMap) -> LabelMap | None:
    path = plan.prediction_file(case)
    if not path.is_file():
        return None
    prediction = reader.read(path)
    differences = prediction.geometry.differences(reference.geometry)
    if differences:
        raise ValueError(f"{path} is not on its reference's grid: {'; '.join(differences)} (prediction, reference).")
    _refuse_unknown_labels(plan, prediction, path, is_reference=False)
    return prediction


def _refuse_unknown_labels(plan: EvaluationPlan, label_map: LabelMap, path: Path, *, is_reference: bool) -> None:
    if not plan.labels.exhaustive:
        return
    present = {value for value, box in enumerate(label_map.boxes, start=1) if box is not None}
    unknown = present - plan.labels.values - ({plan.labels.ignore} if is_reference else set())
    if unknown:
        raise ValueError(
            f"{path} holds the labels {_listed(unknown)}, which the dataset does not have (it has "
            f"{_listed(plan.labels.values)})."
        )


def _listed(labels: set[int], limit: int = 20) -> str:
    return ", ".join(map(str, sorted(labels)[:limit])) + (", …" if len(labels) > limit else "")


def _stamp(plan: EvaluationPlan, case: str) -> list[list[int] | None]:
    """Size and time of change of both files of a case; None for one that is missing."""
    stamps: list[list[int] | None] = []
    for path in (plan.reference_file(case), plan.prediction_file(case)):
        stat = path.stat() if path.is_file() else None
        stamps.append(None if stat is None else [stat.st_size, stat.st_mtime_ns])
    return stamps
