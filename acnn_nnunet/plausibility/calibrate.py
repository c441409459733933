"""Learns a calibration from scored predictions with ground truth, and measures it by patients that no fit saw."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from acnn_nnunet.plausibility.calibration import (
    Calibration,
    StructureCalibration,
    expecting,
)
from acnn_nnunet.plausibility.estimates import HeldOut, StructureEstimator, fit_structure, patients_needed
from acnn_nnunet.plausibility.measures import (
    judge_flags,
    judge_intervals,
    judge_order,
    review_sentence,
    reviews,
    worst_tenth,
)
from acnn_nnunet.plausibility.novelty import fit_novelty, novelty_scores
from acnn_nnunet.plausibility.scores import scores_of
from acnn_nnunet.plausibility.table import SCORED, Estimate, PlausibilityRow

MIN_CASES = 10
HeldOutEstimates = dict[str, tuple[Estimate, Estimate]]  # of each case: Dice and distance, by fits without its patient


def calibrate(
    rows: Sequence[PlausibilityRow],
    *,
    patient_of: Mapping[str, str],
    sources: Sequence[str],
    structure_scores: Sequence[str],
    case_scores: Sequence[str],
    recall: float,
    level: float,
    bad_dice: float | None = None,
    prior_sha256: str = "",
    rules: Sequence[dict[str, Any]] = (),
) -> tuple[Calibration, list[PlausibilityRow]]:
    """Learn what the scores of each structure come to, and choose the thresholds.

    Args:
        rows: with true scores.
        patient_of: patient of each case; a case without one is its own.
        sources: where scores come from.
        structure_scores: names of the scores of each structure.
        case_scores: names of the scores of the whole case.
        recall: share of the bad to be flagged.
        level: of the prediction intervals.
        bad_dice: a case or structure is bad if its Dice is not above this; None takes the lowest tenth.
        prior_sha256: hash of the prior.
        rules: the anatomical rules, as plain dictionaries.

    Returns:
        The calibration, and the rows judged by fits without their patient.

    Raises:
        ValueError: for too few cases or patients, Dice that is the same everywhere, or no bad case.
    """
    scored = [row for row in rows if row.status == SCORED]
    units = {row.case: patient_of.get(row.case, row.case) for row in scored}
    case_bad_dice = _check(scored, units, bad_dice=bad_dice)
    # Empty predictions have references too.
    lacking = {name for row in rows for name, each in row.structures.items() if each.in_reference is False}
    names = (*structure_scores, *case_scores)
    structures, held_out, left_out = _calibrate_structures(
        scored, units, scores=names, lacking=lacking, recall=recall, level=level, bad_dice=bad_dice
    )
    novelty, novelties = fit_novelty(scored, units, names=list(structures), scores=novelty_scores(sources))
    sources, rules = tuple(sources), tuple(rules)
    calibration = Calibration(
        structures, sources, level, recall, case_bad_dice, 0.0, prior_sha256, rules, left_out=left_out, novelty=novelty
    )
    judged = _judged_held_out(calibration, scored, held_out, novelties)
    calibration = replace(calibration, threshold=_case_threshold(judged, case_bad_dice, recall))
    judged = _judged_held_out(calibration, scored, held_out, novelties)
    alone = _alone(scored, units, sources, structures, level) if len(sources) > 1 else {}
    measured = {**measure(judged, case_bad_dice, patients=len(set(units.values()))), "alone": alone}
    calibration = replace(calibration, measured=measured)
    others = calibration.judged([row for row in rows if row.status != SCORED])
    found = {row.case: row for row in (*judged, *others)}
    return calibration, [found[row.case] for row in rows]


def without_patient(rows: Iterable[PlausibilityRow], patient_of: Mapping[str, str]) -> str:
    """Return a remark on the scored cases that a table of patients lacks; empty without such a table."""
    lacking = [row.case for row in rows if row.status == SCORED and row.case not in patient_of] if patient_of else []
    if not lacking:
        return ""
    return (
        f"the table of patients lacks {lacking[0]} ({len(lacking)} in all): such a case counts as a patient of its own"
    )


def _calibrate_structures(
    scored: Sequence[PlausibilityRow],
    units: Mapping[str, str],
    *,
    scores: Sequence[str],
    lacking: set[str],
    recall: float,
    level: float,
    bad_dice: float | None,
) -> tuple[dict[str, StructureCalibration], dict[str, HeldOutEstimates], dict[str, str]]:
    """Return by structure its calibration, what is expected of its cases, and of those left out why."""
    structures, held_out, left_out = {}, {}, {}
    for name in scored[0].structures:
        known = [row for row in scored if row.structures[name].present and row.structures[name].dice is not None]
        if reason := _too_few(name, known, scored, units, level):
            left_out[name] = reason
            continue
        structures[name], held_out[name] = _calibrate_structure(
            name,
            known,
            units,
            names=scores,
            always_there=name not in lacking,
            recall=recall,
            level=level,
            bad_dice=bad_dice,
        )
    if not structures:
        raise ValueError(f"No structure can be calibrated: {'; '.join(left_out.values())}.")
    return structures, held_out, left_out


def _case_threshold(judged: Sequence[PlausibilityRow], bad_dice: float, recall: float) -> float:
    """Return the plausibility below which a case is flagged, so that this share of the bad ones is."""
    known = [row for row in judged if row.plausibility is not None]
    expected, dice = (np.array([getattr(row, key) for row in known]) for key in ("plausibility", "dice"))
    return _threshold(expected, dice <= bad_dice, recall)


def measure(rows: Sequence[PlausibilityRow], bad_dice: float, *, patients: int) -> dict[str, Any]:
    """Return how well judged rows with true scores are ordered, which are found, and what a review brings."""
    rows = [row for row in rows if row.plausibility is not None]
    plausibility, dice, hausdorff_mm = (
        np.array([getattr(row, name) for row in rows], dtype=np.float64)
        for name in ("plausibility", "dice", "hausdorff_mm")
    )
    found = reviews(plausibility, dice)
    return {
        "cases": len(rows),
        "patients": patients,
        **judge_order(plausibility, dice, hausdorff_mm),
        **judge_flags(np.array([bool(row.flagged) for row in rows]), dice <= bad_dice),
        "unusual_share": float(np.mean([bool(row.unusual) for row in rows])),
        "reviews": found,
        "review_sentence": review_sentence(found),
    }


def _check(rows: Sequence[PlausibilityRow], units: Mapping[str, str], *, bad_dice: float | None) -> float:
    """Refuse what nothing can be learnt from; return the Dice up to which a case is bad."""
    num_patients = len(set(units.values()))
    if len(rows) < MIN_CASES or num_patients < 2:
        raise ValueError(
            f"A calibration needs {MIN_CASES} scored cases of two patients at least; there are {len(rows)} of "
            f"{num_patients}."
        )
    dice = np.array([row.dice for row in rows], dtype=np.float64)
    if np.ptp(dice) == 0:
        raise ValueError(f"All calibration cases have the same mean Dice, {dice[0]:g}: nothing can be learnt.")
    if bad_dice is not None and not (dice <= bad_dice).any():
        raise ValueError(f"No calibration case has a mean Dice of {bad_dice:g} or less: choose a higher --bad-dice.")
    return worst_tenth(dice) if bad_dice is None else bad_dice


def _too_few(
    name: str,
    known: Sequence[PlausibilityRow],
    scored: Sequence[PlausibilityRow],
    units: Mapping[str, str],
    level: float,
) -> str:
    """Return why a structure cannot be calibrated; empty if it can."""
    if not any(row.structures[name].dice is not None for row in scored):
        return f"no calibration case has {name}"
    if len(known) < MIN_CASES:
        return f"{name} is predicted in {len(known)} calibration cases, {MIN_CASES} are needed"
    patients, needed = len({units[row.case] for row in known}), patients_needed(level)
    if patients < needed <= len(set(units.values())):  # too few in all are refused with the level that they allow
        return f"{name} is predicted in {patients} calibration patients, {needed} are needed at --level {level:g}"
    return ""


def _calibrate_structure(
    name: str,
    known: Sequence[PlausibilityRow],
    units: Mapping[str, str],
    *,
    names: Sequence[str],
    always_there: bool,
    recall: float,
    level: float,
    bad_dice: float | None,
) -> tuple[StructureCalibration, HeldOutEstimates]:
    """Return the calibration of a structure, and what is expected of each case without its patient."""
    truth = [row.structures[name] for row in known]
    dice, hausdorff_mm = (np.array([getattr(each, key) for each in truth]) for key in ("dice", "hausdorff_mm"))
    estimator, expected = _fit(name, known, units, names=names, level=level)
    bad_dice = worst_tenth(dice) if bad_dice is None else bad_dice
    bad = dice <= bad_dice
    threshold = _threshold(expected.dice[:, 0], bad, recall)
    calibration = StructureCalibration(
        estimator,
        bad_dice,
        threshold,
        always_there,
        _measure_structure(expected, dice, hausdorff_mm, threshold, bad),
    )
    pairs = zip(expected.dice.tolist(), expected.hausdorff_mm.tolist(), strict=True)
    return calibration, {
        row.case: (Estimate.of(first), Estimate.of(second)) for row, (first, second) in zip(known, pairs, strict=True)
    }


def _threshold(expected: np.ndarray, bad: np.ndarray, recall: float) -> float:
    """Return the expected Dice up to which a share of the bad lies: the last of as many as it takes, worst first."""
    wanted = max(1, math.ceil(round(recall * float(bad.sum()), 9)))  # .55 of 20 are 11, not 11.000000000000002
    return float(np.sort(expected[bad])[wanted - 1]) if bad.any() else 0.0


def _measure_structure(
    expected: HeldOut, dice: np.ndarray, hausdorff_mm: np.ndarray, threshold: float, bad: np.ndarray
) -> dict[str, Any]:
    return {
        "cases": len(dice),
        **judge_order(expected.dice[:, 0], dice, hausdorff_mm),
        **judge_flags(expected.dice[:, 0] <= threshold, bad),
        "dice_intervals": judge_intervals(expected.dice[:, 1:], dice),
        "hausdorff_intervals": judge_intervals(expected.hausdorff_mm[:, 1:], hausdorff_mm),
    }


def _judged_held_out(
    calibration: Calibration,
    rows: Sequence[PlausibilityRow],
    held_out: Mapping[str, Mapping[str, tuple[Estimate, Estimate]]],
    novelties: Sequence[Mapping[str, float]],
) -> list[PlausibilityRow]:
    """Return rows judged as new ones are, with expectations and novelties of fits without their patient instead."""
    judged = []
    for row, own in zip(calibration.judged(rows), novelties, strict=True):
        structures = dict(row.structures)
        for name, known in calibration.structures.items():
            if row.case in held_out[name]:
                dice, hausdorff_mm = held_out[name][row.case]
                flagged = dice.value <= known.threshold
                kept = structures[name].shortfall
                structures[name] = expecting(structures[name], dice, hausdorff_mm, flagged, kept)
        judged.append(calibration.with_verdict(replace(row, structures=structures), own))
    return judged


def _alone(
    rows: Sequence[PlausibilityRow],
    units: Mapping[str, str],
    sources: Sequence[str],
    structures: Iterable[str],
    level: float,
) -> dict[str, Any]:
    """Return how well the scores of each source alone order the cases, by fits without the patient."""
    found = {}
    for source in sources:
        expected: dict[str, list[float]] = {row.case: [] for row in rows}
        for name in structures:
            known = [row for row in rows if row.structures[name].present and row.structures[name].dice is not None]
            held_out = _fit(name, known, units, names=scores_of(source), level=level)[1]
            for row, value in zip(known, held_out.dice[:, 0].tolist(), strict=True):
                expected[row.case].append(value)
        judged = [row for row in rows if expected[row.case]]
        truth = (np.array([getattr(row, key) for row in judged]) for key in ("dice", "hausdorff_mm"))
        found[source] = judge_order(np.array([np.mean(expected[row.case]) for row in judged]), *truth)
    return found


def _fit(
    name: str,
    known: Sequence[PlausibilityRow],
    units: Mapping[str, str],
    *,
    names: Sequence[str],
    level: float,
) -> tuple[StructureEstimator, HeldOut]:
    truth = [row.structures[name] for row in known]
    dice, hausdorff_mm = (np.array([getattr(each, key) for each in truth]) for key in ("dice", "hausdorff_mm"))
    scores, patients = [row.scores_for(name) for row in known], [units[row.case] for row in known]
    try:
        return fit_structure(scores, dice, hausdorff_mm, patients, names=names, level=level)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
