"""Every case of `acnn-nnunet evaluate` against its reference, and what the journal says of it."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.journal import Journal
from acnn_nnunet.casewise.recorded import CaseWork, record_cases
from acnn_nnunet.evaluation.anatomy.cases import judge_case
from acnn_nnunet.evaluation.masks.case_scores import score_case
from acnn_nnunet.evaluation.plan import EvaluationPlan
from acnn_nnunet.files.headers import spacing_file
from acnn_nnunet.nnunet.label_files import LabelFileReader, LabelMap


def evaluate_cases(
    plan: EvaluationPlan, journal: Journal, cases: Sequence[str], *, execution: Execution = HERE
) -> None:
    """Score the cases that the journal does not hold yet, each written down as it ends; errors of `record_cases`."""
    # Thousands of names would travel with every case.
    light = dataclasses.replace(plan, cases=(), extra=())
    work = CaseWork(partial(evaluate_case, light), light.files, is_whole=_is_whole)
    record_cases(work, {case: case for case in cases}, journal, execution=execution)


def evaluate_case(plan: EvaluationPlan, case: str) -> dict[str, Any]:
    """Score one case.

    Returns:
        What the journal's entry holds: `case`, `missing` (no prediction), `scores` and `scores_largest_component`
        (fields of `LabelScores`, one per label), `anatomy` (fields of `CaseAnatomy`; None without rules or prediction).

    Raises:
        ValueError, OSError: if a file cannot be used, in one sentence that names it.
    """
    reader = LabelFileReader(plan.reader_name)
    reference = reader.read(plan.reference_file(case))
    _refuse_unknown_labels(plan, reference, plan.reference_file(case), is_reference=True)
    prediction = _read_prediction(plan, case, reader, reference)
    _refuse_untold_sizes(plan.reference_file(case), reference, prediction)
    pairs = score_case(
        reference,
        prediction,
        plan.labels.foreground,
        ignore=plan.labels.ignore,
        tolerance_mm=plan.tolerance_mm,
        piece_iou=plan.piece_iou,
        case=case,
    )
    return {
        "case": case,
        "missing": prediction is None,
        "reference_digest": reference.digest,
        "reference_spacing_mm": reference.volume_spacing_mm,
        "scores": [dict(vars(scores)) for scores, _ in pairs],
        "scores_largest_component": [dict(vars(cleaned)) for _, cleaned in pairs],
        "anatomy": None if prediction is None else _anatomy(plan, prediction, case),
    }


def _anatomy(plan: EvaluationPlan, prediction: LabelMap, case: str) -> dict[str, Any] | None:
    if not plan.rules:
        return None
    judged = judge_case(prediction.values, prediction.geometry, plan.rules, label_values=plan.label_values, case=case)
    return dataclasses.asdict(judged)


def _read_prediction(plan: EvaluationPlan, case: str, reader: LabelFileReader, reference: LabelMap) -> LabelMap | None:
    path = plan.prediction_file(case)
    if not path.is_file():
        return None
    prediction = reader.read(path)
    differences = prediction.geometry.differences(reference.geometry)
    both_have_three_axes = prediction.geometry.thickness_mm and reference.geometry.thickness_mm
    if both_have_three_axes and prediction.volume.shape != reference.volume.shape:
        differences.append(f"size {prediction.volume.shape} against {reference.volume.shape}")
    if differences:
        raise ValueError(f"{path} is not on its reference's grid: {'; '.join(differences)} (prediction, reference).")
    _refuse_unknown_labels(plan, prediction, path, is_reference=False)
    return prediction


def _refuse_untold_sizes(path: Path, reference: LabelMap, prediction: LabelMap | None) -> None:
    """Refuse a TIFF volume if neither spacing file is there: nnU-Net takes 1 mm."""
    told = not reference.geometry.assumed or (prediction is not None and not prediction.geometry.assumed)
    if reference.values.ndim == 3 and not told:
        raise ValueError(
            f"{path} does not tell how large its voxels are, and neither does its prediction: write "
            f'{{"spacing": [z, y, x]}} in mm to {spacing_file(path)}, as nnU-Net does.'
        )


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


def _is_whole(entry: dict[str, Any]) -> bool:
    return bool(entry.get("scores"))  # an earlier version wrote entries without
