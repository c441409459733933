"""`acnn-nnunet plausibility`: which predictions of a folder should be looked at, without ground truth."""

import contextlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from acnn_nnunet.files.safe_writes import make_output_folder, refuse_file, write_json, write_text
from acnn_nnunet.fold_prior.coder import load_coder
from acnn_nnunet.nnunet.label_files import LabelMap
from acnn_nnunet.plausibility.calibration import Calibration, CalibrationCases, calibrate
from acnn_nnunet.plausibility.inputs import (
    Predictions,
    existing_folder,
    find_predictions,
    find_rules,
    patients_of_cases,
    read_calibration,
)
from acnn_nnunet.plausibility.page import render_plausibility_page
from acnn_nnunet.plausibility.scores import PlausibilityScorer, PredictionScores
from acnn_nnunet.plausibility.table import (
    EMPTY,
    EXCLUDED,
    SCORED,
    PlausibilityRow,
    least_plausible_first,
    write_table,
)
from acnn_nnunet.plausibility.truth import References, spoil

TABLE_FILE, PAGE_FILE, CALIBRATION_FILE = "plausibility.csv", "report.html", "calibration.json"


@dataclass(frozen=True)
class Outcome:
    """What the command prints, and whether every prediction was scored."""

    text: str
    complete: bool


@dataclass(frozen=True)
class CalibrationOptions:
    """How `--calibrate` goes about it.

    Attributes:
        references: folder of ground truth.
        recall: share of the bad cases to be flagged.
        bad_dice: what a bad case's Dice is not above; None for that of the worst tenth.
        groups: table that says which patient a case is of; None takes groups.csv beside the references, if any.
        spoilt_copies: of each prediction, to learn from.
    """

    references: Path
    recall: float = 0.9
    bad_dice: float | None = None
    groups: Path | None = None
    spoilt_copies: int = 1


def plausibility(
    predictions: Path,
    output: Path,
    *,
    prior_file: Path,
    images: Path | None = None,
    rules_file: Path | None = None,
    calibration_file: Path | None = None,
    calibrate_on: CalibrationOptions | None = None,
    device: str = "cpu",
) -> Outcome:
    """Score every prediction of a folder and write `plausibility.csv` and `report.html`.

    Args:
        predictions: folder of label maps, named as nnU-Net names them.
        output: folder to write.
        prior_file: the shape prior.
        images: folder of the images that were segmented, to compare the codes of both.
        rules_file: anatomical rules, instead of those that the prior's dataset.json declares.
        calibration_file: a `calibration.json` of an earlier `calibrate_on`, to flag by.
        calibrate_on: makes `calibration.json` of these predictions.
        device: cpu, cuda or mps.

    Raises:
        FileNotFoundError, NotADirectoryError: for a folder or file that is not there.
        ValueError: if there are no predictions, none that can be scored, no images or no predictor where `images` is
            given, if rules or calibration cannot be used, or do not belong to the prior.
        OSError: if the output cannot be written.
    """
    if calibration_file is not None and calibrate_on is not None:
        raise ValueError("--calibrate makes a calibration, --calibration uses one: give one of them.")
    refuse_file(output)
    coder = load_coder(prior_file, device=device)
    found = find_predictions(predictions, coder, images=images)
    scorer = PlausibilityScorer(coder, find_rules(coder, rules_file))
    names = scorer.score_names(with_images=images is not None)
    calibration: Calibration | None
    if calibrate_on is not None:
        rows, calibration = _calibrate(scorer, found, calibrate_on, names)
    else:
        calibration = None if calibration_file is None else read_calibration(calibration_file, scorer, names)
        rows = [_judged(row, calibration) for row in score_folder(scorer, found)]
    if all(row.status == EXCLUDED for row in rows):
        raise ValueError(f"No prediction of {predictions} can be scored; the first: {rows[0].case}: {rows[0].reason}")
    make_output_folder(output)
    if calibrate_on is not None and calibration is not None:
        write_json(output / CALIBRATION_FILE, calibration.as_plain())
    write_table(output / TABLE_FILE, rows, score_names=names, rule_names=[rule.name for rule in scorer.rules])
    page = render_plausibility_page(
        rows, scorer, found, calibration, score_names=names, calibrated_here=calibrate_on is not None
    )
    write_text(output / PAGE_FILE, page)
    return Outcome(_summary(rows, calibration, output), all(row.status != EXCLUDED for row in rows))


def score_folder(scorer: PlausibilityScorer, found: Predictions) -> list[PlausibilityRow]:
    """Return a row a prediction; one that cannot be scored is excluded with the reason."""
    return [_row(scorer, found, case) for case in tqdm(found.cases, desc="plausibility", unit="case", disable=None)]


def calibration_rows(
    scorer: PlausibilityScorer, found: Predictions, references: References, *, spoilt_copies: int
) -> tuple[list[PlausibilityRow], list[PlausibilityRow]]:
    """Return rows with true scores: of the predictions, and of copies that were spoilt, as far as both have scores."""
    rows, spoilt = [], []
    for case in tqdm(found.cases, desc="calibration", unit="case", disable=None):
        try:
            pair = scorer.read(found.label_file(case)), references.read(case)
            images = found.image_files(case)
            rows.append(_with_truth(scorer, references, case, pair, images))
        except (ValueError, OSError) as error:
            rows.append(_excluded(case, error))
        if rows[-1].status == SCORED:
            spoilt += _spoilt_rows(scorer, references, case, pair, images, spoilt_copies)
    return rows, spoilt


def calibration_cases(
    rows: Sequence[PlausibilityRow], spoilt: Sequence[PlausibilityRow], names: Sequence[str], unit_of: dict[str, str]
) -> CalibrationCases:
    """Return what `calibrate` takes of scored rows with true scores; a case that no group names is its own patient."""
    every = [*rows, *spoilt]
    return CalibrationCases(
        scores={name: np.array([row.scores[name] for row in every], dtype=np.float64) for name in names},
        dice=np.array([row.dice for row in every], dtype=np.float64),
        hausdorff_mm=np.array([row.hausdorff_mm for row in every], dtype=np.float64),
        units=[unit_of.get(row.case, row.case) for row in every],
        spoilt=np.arange(len(every)) >= len(rows),
    )


def _calibrate(
    scorer: PlausibilityScorer, found: Predictions, options: CalibrationOptions, names: Sequence[str]
) -> tuple[list[PlausibilityRow], Calibration]:
    """Return rows whose plausibility comes from a fit without their patient, and the calibration of all."""
    references = References(existing_folder(options.references), scorer.coder)
    unit_of = patients_of_cases(options.groups, options.references)
    rows, spoilt = calibration_rows(scorer, found, references, spoilt_copies=options.spoilt_copies)
    scored = [row for row in rows if row.status == SCORED]
    if not scored:
        reason = next((f"; the first: {row.case}: {row.reason}" for row in rows if row.reason), "")
        raise ValueError(f"No prediction of {found.folder} can be calibrated on{reason}")
    cases = calibration_cases(scored, spoilt, names, unit_of)
    calibration, held_out = calibrate(
        cases,
        recall=options.recall,
        prior_sha256=scorer.coder.prior.sha256,
        rules=[rule.as_plain() for rule in scorer.rules],
        bad_dice=options.bad_dice,
    )
    expected = dict(zip((row.case for row in scored), held_out.tolist(), strict=False))
    return [
        replace(row, plausibility=expected[row.case], flagged=calibration.flags(expected[row.case]))
        if row.status == SCORED
        else _judged(row, calibration)
        for row in rows
    ], calibration


def _row(scorer: PlausibilityScorer, found: Predictions, case: str) -> PlausibilityRow:
    try:
        scores = scorer.score(scorer.read(found.label_file(case)), image_files=found.image_files(case))
    except (ValueError, OSError) as error:
        return _excluded(case, error)
    return _scored(case, scores)


def _with_truth(
    scorer: PlausibilityScorer,
    references: References,
    case: str,
    pair: tuple[LabelMap, LabelMap],
    images: Sequence[Path],
) -> PlausibilityRow:
    """Return the row of a pair of prediction and reference, with its true scores."""
    prediction, reference = pair
    truth = references.judge(reference, prediction)
    row = _scored(case, scorer.score(prediction, image_files=images))
    return replace(row, dice=truth.dice, hausdorff_mm=truth.hausdorff_mm)


def _spoilt_rows(
    scorer: PlausibilityScorer,
    references: References,
    case: str,
    pair: tuple[LabelMap, LabelMap],
    images: Sequence[Path],
    copies: int,
) -> list[PlausibilityRow]:
    rows = []
    for copy in range(copies):
        wrong = spoil(pair[0], seed=zlib.crc32(f"{case} {copy}".encode()))
        with contextlib.suppress(ValueError):  # what the prior cannot read teaches nothing
            rows.append(_with_truth(scorer, references, case, (wrong, pair[1]), images))
    return [row for row in rows if row.status == SCORED]


def _scored(case: str, scores: PredictionScores) -> PlausibilityRow:
    status = EMPTY if scores.empty else SCORED
    return PlausibilityRow(case, status, scores.scores, scores.violations, scores.outside_share)


def _excluded(case: str, error: Exception) -> PlausibilityRow:
    return PlausibilityRow(case, EXCLUDED, reason=str(error) or type(error).__name__)


def _judged(row: PlausibilityRow, calibration: Calibration | None) -> PlausibilityRow:
    """Return a row with its plausibility; an empty prediction has none at all, and is flagged."""
    if calibration is None or row.status == EXCLUDED:
        return replace(row, plausibility=0.0) if row.status == EMPTY else row
    if row.status == EMPTY:
        return replace(row, plausibility=0.0, flagged=True)
    value = calibration.plausibility(row.scores)
    return replace(row, plausibility=value, flagged=calibration.flags(value))


def _summary(rows: Sequence[PlausibilityRow], calibration: Calibration | None, output: Path) -> str:
    counts = {status: sum(row.status == status for row in rows) for status in (SCORED, EMPTY, EXCLUDED)}
    lines = [f"{counts[SCORED]} predictions scored, {counts[EMPTY]} empty, {counts[EXCLUDED]} left out"]
    lines += [f"  left out: {row.case}: {row.reason}" for row in rows if row.status == EXCLUDED]
    if calibration is not None:
        flagged = [row.case for row in least_plausible_first(rows) if row.flagged]
        more = ", …" if len(flagged) > 10 else ""
        lines.append(f"{len(flagged)} flagged{': ' if flagged else ''}{', '.join(flagged[:10])}{more}")
    else:
        lines.append("not flagged: without --calibration nothing says how low is too low")
    lines.append(f"report: {output / PAGE_FILE}")
    return "\n".join(lines)
