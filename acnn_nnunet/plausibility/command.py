"""`acnn-nnunet plausibility`: which predictions of a folder should be looked at, without ground truth."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.run import run
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.evaluation.anatomy import declared
from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule
from acnn_nnunet.files.patients import GROUPS_FILE, read_groups
from acnn_nnunet.files.safe_writes import make_output_folder, refuse_file, write_json, write_text
from acnn_nnunet.fold_prior.case_files import list_images, list_labels
from acnn_nnunet.fold_prior.coder import Coder, load_coder
from acnn_nnunet.plausibility.calibration import Calibration, CalibrationCases, calibrate
from acnn_nnunet.plausibility.page import KeptSlice, render_plausibility_page
from acnn_nnunet.plausibility.scores import PlausibilityScorer
from acnn_nnunet.plausibility.table import (
    EMPTY,
    EXCLUDED,
    SCORED,
    PlausibilityRow,
    least_plausible_first,
    write_table,
)

TABLE_FILE, PAGE_FILE, CALIBRATION_FILE = "plausibility.csv", "report.html", "calibration.json"


@dataclass(frozen=True)
class PlausibilityOptions:
    """How predictions are scored and judged.

    Attributes:
        prior_file: the shape prior.
        images: folder of the images that were segmented, to compare the codes of both.
        rules_file: anatomical rules, instead of those that the prior's dataset.json declares.
        calibration_file: a `calibration.json` to flag by.
        references: folder of ground truth, to make a `calibration.json` of these predictions.
        recall: with `references`: share of the bad cases to be flagged.
        bad_dice: with `references`: a case is bad if its mean Dice is not above this; None takes the lowest tenth.
        groups_file: with `references`: table of the patient of each case; None takes groups.csv beside them, if any.
        device: cpu, cuda or mps.
    """

    prior_file: Path
    images: Path | None = None
    rules_file: Path | None = None
    calibration_file: Path | None = None
    references: Path | None = None
    recall: float = 0.9
    bad_dice: float | None = None
    groups_file: Path | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Prediction:
    """The files of a prediction.

    Attributes:
        case: file name without ending.
        label: its label map.
        images: one file or more, channels in order; none where no images are looked at.
        reference: ground truth, or None.
    """

    case: str
    label: Path
    images: tuple[Path, ...] = ()
    reference: Path | None = None


def plausibility(predictions: Path, output: Path, options: PlausibilityOptions) -> Outcome:
    """Score every prediction of a folder and write `plausibility.csv` and `report.html`, or make a calibration of them.

    Raises:
        FileNotFoundError, NotADirectoryError: for a folder or file that is not there.
        ValueError: if there are no predictions or none can be scored, if images are given without a predictor or for
            other cases, or if rules or calibration cannot be used or do not belong to the prior.
        OSError: if the output cannot be written.
    """
    if options.calibration_file is not None and options.references is not None:
        raise ValueError("--calibrate makes a calibration, --calibration uses one: give one of them.")
    refuse_file(output)
    coder = load_coder(options.prior_file, device=options.device)
    found = find_predictions(predictions, coder, images=options.images, references=options.references)
    scorer = PlausibilityScorer(coder, find_rules(coder, options.rules_file))
    names = scorer.score_names(with_images=options.images is not None)
    calibration = None
    if options.calibration_file is not None:
        calibration = read_calibration(options.calibration_file, scorer, names)
    patient_of: dict[str, str] = {}
    remark = ""
    if options.references is not None:
        patient_of, remark = patients_of_cases(options.groups_file, options.references)
    rows, slices = score_folder(scorer, found)
    _refuse_all_excluded(rows, predictions, calibrating=options.references is not None)
    if options.references is None:
        rows = [_judged(row, calibration) for row in rows]
    else:
        rows, calibration = _calibrated(rows, scorer, names, patient_of, options)
    rule_names = [rule.name for rule in scorer.rules]
    page = render_plausibility_page(
        rows,
        slices,
        calibration,
        calibrated_here=options.references is not None,
        score_names=names,
        folder=predictions,
        images=options.images,
        prior=coder.prior,
        rules=rule_names,
    )
    make_output_folder(output)
    if options.references is not None and calibration is not None:
        write_json(output / CALIBRATION_FILE, calibration.as_plain())
    write_table(output / TABLE_FILE, rows, score_names=names, rule_names=rule_names)
    write_text(output / PAGE_FILE, page)
    excluded = tuple(Excluded(row.case, row.reason) for row in rows if row.status == EXCLUDED)
    return Outcome(_summary(rows, calibration, output, remark), excluded)


def find_predictions(
    folder: Path, coder: Coder, *, images: Path | None = None, references: Path | None = None
) -> dict[str, Prediction]:
    """Return the files of each prediction of a folder; its image or reference may be missing.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such folder.
        ValueError: if it holds no label map, there is no image for any, or the prior has no predictor to read them.
    """
    ending = coder.file_ending
    labels = list_labels(folder, ending)
    channels: dict[str, tuple[Path, ...]] = {}
    truth: dict[str, Path] = {}
    if images is not None:
        coder.require_predictor()
        found = list_images(images, ending)
        if not set(found) & set(labels):
            raise ValueError(f"{images} holds no image of any prediction, such as {next(iter(labels))}_0000{ending}.")
        channels = {case: found.get(case, (images / f"{case}_0000{ending}",)) for case in labels}
    if references is not None:
        known = list_labels(references, ending)
        truth = {case: known.get(case, references / f"{case}{ending}") for case in labels}
    return {case: Prediction(case, file, channels.get(case, ()), truth.get(case)) for case, file in labels.items()}


def find_rules(coder: Coder, rules_file: Path | None) -> tuple[AnatomicalRule, ...]:
    """Return the rules of a set or a JSON file, or those that the prior's dataset declares, if any.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it holds no rules or they do not suit the prior's labels.
    """
    where = f"dataset.json of {coder.prior.spec.dataset}"
    return declared.find_rules(rules_file, coder.bundle.dataset_json, names=coder.names.values(), where=where)


def read_calibration(path: Path, scorer: PlausibilityScorer, names: Sequence[str]) -> Calibration:
    """Read a calibration that was made with the same prior, rules and kinds of scores.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file and what differs.
    """
    content = _read_json(path, "a calibration.json that --calibrate wrote")
    calibration = Calibration.from_plain(content, where=str(path))
    again = "calibrate again with --calibrate GT"
    if calibration.prior_sha256 != scorer.coder.prior.sha256:
        raise ValueError(f"{path} was made with another prior than {scorer.coder.prior.path}: {again}.")
    with_images = "image_disagreement" in calibration.scores
    if with_images != ("image_disagreement" in names):
        had, remedy = ("with", "give --images") if with_images else ("without", "leave out --images")
        raise ValueError(f"{path} was made {had} images: {remedy}, or {again}.")
    if list(calibration.rules) != [rule.as_plain() for rule in scorer.rules]:
        raise ValueError(f"{path} was made with other anatomical rules: name the same with --rules, or {again}.")
    return calibration


def patients_of_cases(groups_file: Path | None, references: Path) -> tuple[dict[str, str], str]:
    """Return the patient of each case, and a remark, of a table or of groups.csv beside the references, if any.

    A table that was found, not named, and cannot be read costs the patients only: it may lie there for another purpose.

    Raises:
        FileNotFoundError, ValueError: if the table that is named cannot be read.
    """
    beside = references.parent / GROUPS_FILE
    if groups_file is None and not beside.is_file():
        return {}, ""
    try:
        return {row.case: row.patient for row in read_groups(groups_file or beside)}, ""
    except (ValueError, OSError) as error:
        if groups_file is not None:
            raise
        return {}, f"each case counts as a patient of its own: {error}"


def score_folder(
    scorer: PlausibilityScorer, found: dict[str, Prediction]
) -> tuple[list[PlausibilityRow], dict[str, KeptSlice]]:
    """Return a row of each prediction, with the reason if it cannot be scored, and a slice to draw of each."""
    results = run(partial(score_prediction, scorer), found, description="plausibility")
    rows = [
        result.value[0] if result.value else PlausibilityRow(result.case, EXCLUDED, reason=str(result.error))
        for result in results
    ]
    return rows, {each.case: each.value[1] for each in results if each.value and each.value[1] is not None}


def score_prediction(scorer: PlausibilityScorer, files: Prediction) -> tuple[PlausibilityRow, KeptSlice | None]:
    """Score a prediction, against its reference too if there is one; return its row and a slice of it to draw.

    Raises:
        FileNotFoundError, ValueError: naming the file that is missing or cannot be used.
    """
    prediction = scorer.read(files.label)
    dice, hausdorff_mm = None, None
    if files.reference is not None:
        dice, hausdorff_mm = scorer.true_scores(prediction, scorer.read(files.reference))
    if missing := next((file for file in files.images if not file.is_file()), None):
        raise FileNotFoundError(f"{missing.parent} holds no image {missing.name}")
    found = scorer.score(prediction, image_files=files.images)
    row = PlausibilityRow(
        files.case,
        SCORED if found.scores else EMPTY,
        found.scores,
        found.violations,
        found.outside_share,
        dice=dice,
        hausdorff_mm=hausdorff_mm,
    )
    return row, KeptSlice.of(found, scorer.coder)


def _calibrated(
    rows: Sequence[PlausibilityRow],
    scorer: PlausibilityScorer,
    names: Sequence[str],
    patient_of: dict[str, str],
    options: PlausibilityOptions,
) -> tuple[list[PlausibilityRow], Calibration]:
    """Return rows with plausibilities from fits without their patient, and the calibration of all."""
    scored = [row for row in rows if row.status == SCORED]
    calibration, held_out = calibrate(
        CalibrationCases.of_rows(scored, names, patient_of),
        recall=options.recall,
        prior_sha256=scorer.coder.prior.sha256,
        rules=[rule.as_plain() for rule in scorer.rules],
        bad_dice=options.bad_dice,
    )
    expected = dict(zip((row.case for row in scored), held_out.tolist(), strict=True))
    return [_judged(row, calibration, expected.get(row.case)) for row in rows], calibration


def _refuse_all_excluded(rows: Sequence[PlausibilityRow], folder: Path, *, calibrating: bool) -> None:
    usable, wanted = ((SCORED,), "calibrated on") if calibrating else ((SCORED, EMPTY), "scored")
    if not any(row.status in usable for row in rows):
        reason = next((f"; the first: {row.case}: {row.reason}" for row in rows if row.reason), "")
        raise ValueError(f"No prediction of {folder} can be {wanted}{reason}")


def _judged(
    row: PlausibilityRow, calibration: Calibration | None, plausibility: float | None = None
) -> PlausibilityRow:
    """Return a row with its plausibility, by the calibration if it is not given; an empty prediction has 0."""
    if row.status == EMPTY:
        return replace(row, plausibility=0.0, flagged=None if calibration is None else True)
    if row.status == EXCLUDED or calibration is None:
        return row
    value = calibration.plausibility(row.scores) if plausibility is None else plausibility
    return replace(row, plausibility=value, flagged=calibration.flags(value))


def _summary(rows: Sequence[PlausibilityRow], calibration: Calibration | None, output: Path, remark: str) -> str:
    counts = {status: sum(row.status == status for row in rows) for status in (SCORED, EMPTY, EXCLUDED)}
    lines = [f"{counts[SCORED]} predictions scored, {counts[EMPTY]} empty, {counts[EXCLUDED]} left out"]
    lines += [f"  left out: {row.case}: {row.reason}" for row in rows if row.status == EXCLUDED]
    if remark:
        lines.append(remark)
    if calibration is not None:
        flagged = [row.case for row in least_plausible_first(rows) if row.flagged]
        more = ", …" if len(flagged) > 10 else ""
        lines.append(f"{len(flagged)} flagged{': ' if flagged else ''}{', '.join(flagged[:10])}{more}")
    else:
        lines.append("not flagged: without --calibration nothing says how low is too low")
    lines.append(f"report: {output / PAGE_FILE}")
    return "\n".join(lines)


def _read_json(path: Path, wanted: str) -> Any:
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}: it should be {wanted}.")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): it should be {wanted}.") from None
