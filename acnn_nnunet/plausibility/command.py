"""`acnn-nnunet plausibility`: which predictions of a folder should be looked at, without ground truth."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.journal import Entries, cases_of_part
from acnn_nnunet.casewise.parts import joined_parts, part_done
from acnn_nnunet.casewise.recorded import as_json, opened_journal
from acnn_nnunet.casewise.status import MOST_NAMED, more_in_status, write_status
from acnn_nnunet.casewise.work import Excluded, Outcome, PerWorker
from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule
from acnn_nnunet.files.folders import existing_folder
from acnn_nnunet.files.on_demand import OnDemand
from acnn_nnunet.files.patients import GROUPS_FILE, read_groups
from acnn_nnunet.files.safe_writes import refuse_file, write_json, write_text
from acnn_nnunet.fold_prior.case_files import list_images, list_labels
from acnn_nnunet.plausibility.calibrate import calibrate, without_patient
from acnn_nnunet.plausibility.calibration import Calibration
from acnn_nnunet.plausibility.cases import JudgedRows, rows_of, score_cases
from acnn_nnunet.plausibility.estimates import check_level
from acnn_nnunet.plausibility.members import find_members
from acnn_nnunet.plausibility.page import PageParts, cases_to_show, render_plausibility_page
from acnn_nnunet.plausibility.scores import Prediction, Scorer
from acnn_nnunet.plausibility.slices import KeptSlice
from acnn_nnunet.plausibility.subject import find_dataset_json, read_json, subject_of_dataset, subject_of_prior
from acnn_nnunet.plausibility.table import EMPTY, EXCLUDED, SCORED, PlausibilityRow, least_plausible_first, write_table
from acnn_nnunet.plausibility.viewer_cases import pack_shown_cases

COMMAND = "plausibility"
TABLE_FILE, PAGE_FILE, CALIBRATION_FILE = "plausibility.csv", "report.html", "calibration.json"
# What changes no score: a calibration is made and applied after all cases are scored.
_MAY_CHANGE = ("command", "cases", "settings")
_PATHS = ("predictions", "images", "references")
_FILES = ("prior_file", "images", "dataset_json", "rules_file", "calibration_file", "references", "groups_file")


@dataclass(frozen=True)
class PlausibilityOptions:
    """How predictions are scored and judged. A prior, members or rules are needed, any of them.

    Attributes:
        prior_file: the shape prior.
        members: folders of the predictions of an ensemble's members: folds, seeds or mirrorings.
        images: folder of the images that were segmented, to be seen on the page.
        dataset_json: without a prior: says the labels; None looks for it in and above the predictions.
        rules_file: anatomical rules, instead of those that the dataset.json declares.
        calibration_file: a `calibration.json` to judge by.
        references: folder of ground truth, to make a `calibration.json` of these predictions.
        recall: with `references`: share of the bad to be flagged.
        bad_dice: with `references`: bad is a Dice that is not above this; None takes the lowest tenth.
        level: with `references`: of the prediction intervals.
        groups_file: with `references`: table of the patient of each case; None takes groups.csv beside them, if any.
        execution: where the cases are scored.
        device: cpu, cuda or mps.

    Raises:
        ValueError: for options that exclude each other, or a level outside 0 to 1.
    """

    prior_file: Path | None = None
    members: tuple[Path, ...] = ()
    images: Path | None = None
    dataset_json: Path | None = None
    rules_file: Path | None = None
    calibration_file: Path | None = None
    references: Path | None = None
    recall: float = 0.9
    bad_dice: float | None = None
    level: float = 0.9
    groups_file: Path | None = None
    execution: Execution = HERE
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.calibration_file is not None and self.references is not None:
            raise ValueError("--calibrate makes a calibration, --calibration uses one: give one of them.")
        if self.prior_file is not None and self.dataset_json is not None:
            raise ValueError("-djfile goes without a prior: a prior brings the labels of its own dataset.")
        if not 0 < self.recall <= 1:
            raise ValueError(f"The recall is {self.recall:g}; it is above 0 and at most 1.")
        check_level(self.level)


def plausibility(predictions: Path, output: Path, options: PlausibilityOptions) -> Outcome:
    """Score every prediction of a folder and write `plausibility.csv` and `report.html`, or make a calibration of them.

    Raises:
        FileNotFoundError, NotADirectoryError: for a folder or file that is not there.
        ValueError: for predictions, images, members, rules or a calibration that do not belong together, or if nothing
            can be scored.
        OSError: if a result cannot be written.
    """
    refuse_file(output)
    if output.resolve() == existing_folder(predictions).resolve():
        raise ValueError(f"{output} is the folder that is read from: choose another one with -o.")
    execution, options = options.execution, replace(options, execution=HERE)
    loaded = PerWorker(partial(load_scorer, predictions, options))
    scorer = loaded()
    found = find_predictions(predictions, scorer, options)
    _read_tables(scorer, options)  # what is wrong with them shows before anything is scored
    header = _header(predictions, scorer, found, options)
    with opened_journal(output, header, execution, may_change=_MAY_CHANGE, paths=_PATHS) as journal:
        part = cases_of_part(header["cases"], num_parts=execution.num_parts, part_id=execution.part_id)
        score_cases(loaded, OnDemand(part, found.__getitem__), journal, execution=execution)
        entries = journal.entries_of(part)
        if execution.num_parts > 1:
            return part_done(output, execution, entries)
        return _write_results(predictions, output, scorer, entries, options)


def merge_parts(output: Path) -> Outcome:
    """Write the results of predictions that were scored in parts.

    Raises:
        FileNotFoundError: if `output` holds no parts, or a file that was named is gone.
        ValueError: naming the parts that are missing, unfinished or of another run.
    """
    header, entries = joined_parts(output, paths=_PATHS)
    settings: dict[str, Any] = header["settings"]
    files = {key: Path(settings[key]) for key in _FILES if settings[key]}
    options = PlausibilityOptions(**{**settings, **files, "members": tuple(map(Path, settings["members"]))})
    predictions = Path(header["predictions"])
    return _write_results(predictions, Path(output), load_scorer(predictions, options), entries, options)


def _read_tables(scorer: Scorer, options: PlausibilityOptions) -> tuple[Calibration | None, dict[str, str], str]:
    """Return calibration, patients of cases, and a remark on them."""
    if options.references is not None:
        return None, *patients_of_cases(options.groups_file, options.references)
    file = options.calibration_file
    return (None if file is None else read_calibration(file, scorer)), {}, ""


def _write_results(
    predictions: Path, output: Path, scorer: Scorer, entries: Entries, options: PlausibilityOptions
) -> Outcome:
    calibration, patient_of, remark = _read_tables(scorer, options)
    rows: Iterable[PlausibilityRow] = JudgedRows(entries, calibration)
    _refuse_all_excluded(rows, predictions, calibrating=options.references is not None)
    if options.references is not None:
        calibration, learnt = learn(scorer, rows_of(entries), patient_of, options)
        rows = least_plausible_first(learnt)
    _write(predictions, output, scorer, rows, calibration, entries, options)
    write_status(output, entries)
    excluded = tuple(Excluded(row.case, row.reason) for row in rows if row.status == EXCLUDED)
    return Outcome(_summary(rows, calibration, output, remark or without_patient(rows, patient_of)), excluded)


def load_scorer(predictions: Path, options: PlausibilityOptions) -> Scorer:
    """Return what scores predictions: a prior, members, rules; loads torch for a prior only.

    Raises:
        FileNotFoundError, ValueError: if prior, dataset.json or rules cannot be used, or nothing gives scores.
    """
    num_members = len(options.members)
    if options.prior_file is not None:
        from acnn_nnunet.plausibility.prior_scores import load_prior_scorer

        prior = load_prior_scorer(options.prior_file, device=options.device)
        return Scorer(subject_of_prior(prior.coder, options.rules_file), prior, num_members)
    file = options.dataset_json or find_dataset_json([predictions, *options.members, options.references])
    scorer = Scorer(subject_of_dataset(file, options.rules_file), None, num_members)
    if not scorer.sources:
        raise ValueError(
            "Nothing to score by: name a prior (--prior, or -d, -c and -f), two or more --members, or --rules."
        )
    return scorer


def find_predictions(folder: Path, scorer: Scorer, options: PlausibilityOptions) -> Mapping[str, Prediction]:
    """Return the files of each prediction of a folder; its image, member or reference may be missing.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such folder.
        ValueError: if it holds no label map, there is no image for any, or the members have none of the cases.
    """
    ending = scorer.subject.file_ending
    labels = list_labels(folder, ending)
    members = find_members(options.members, list(labels), ending) if options.members else {}
    images, references = options.images, options.references
    channels = {} if images is None else list_images(images, ending)
    truth = {} if references is None else list_labels(references, ending)
    if images is not None and not set(channels) & set(labels):
        raise ValueError(f"{images} holds no image of any prediction, such as {next(iter(labels))}_0000{ending}.")

    def prediction(case: str) -> Prediction:
        shown = () if images is None else channels.get(case, (images / f"{case}_0000{ending}",))
        reference = None if references is None else truth.get(case, references / f"{case}{ending}")
        return Prediction(case, labels[case], members.get(case, ()), shown, reference)

    return OnDemand(labels, prediction)


def read_calibration(path: Path, scorer: Scorer) -> Calibration:
    """Read a calibration that was made with the same prior, rules, number of members and sources of scores.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file and what differs.
    """
    content = read_json(path, "a calibration.json that --calibrate wrote")
    calibration = Calibration.from_plain(content, where=str(path))
    again = "calibrate again with --calibrate GT"
    for source, option in (("members", "--members"), ("prior", "--prior")):
        if (had := source in calibration.sources) != (source in scorer.sources):
            way, remedy = ("with", f"give {option}") if had else ("without", f"leave out {option}")
            raise ValueError(f"{path} was made {way} {source}: {remedy}, or {again}.")
    if calibration.num_members != scorer.num_members:
        raise ValueError(
            f"{path} was made with {calibration.num_members} members, not with {scorer.num_members}: name those of the "
            f"same networks, or {again}."
        )
    if scorer.prior is not None and calibration.prior_sha256 != scorer.prior.coder.prior.sha256:
        raise ValueError(f"{path} was made with another prior than {scorer.prior.coder.prior.path}: {again}.")
    if list(calibration.rules) != [rule.as_plain() for rule in scorer.subject.rules]:
        raise ValueError(f"{path} was made with other anatomical rules: name the same with --rules, or {again}.")
    if strangers := sorted(set(calibration.structures) - set(scorer.subject.names)):
        raise ValueError(f"{path} was made for other labels, such as {strangers[0]}: {again}.")
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


def learn(
    scorer: Scorer, rows: Sequence[PlausibilityRow], patient_of: dict[str, str], options: PlausibilityOptions
) -> tuple[Calibration, list[PlausibilityRow]]:
    """Return a calibration of rows with true scores, and the rows judged by fits without their patient."""
    calibration, judged = calibrate(
        rows,
        patient_of=patient_of,
        sources=scorer.sources,
        structure_scores=scorer.structure_scores,
        case_scores=scorer.case_scores,
        recall=options.recall,
        level=options.level,
        bad_dice=options.bad_dice,
        prior_sha256="" if scorer.prior is None else scorer.prior.coder.prior.sha256,
        rules=_plain_rules(scorer.subject.rules),
    )
    return replace(calibration, num_members=scorer.num_members), judged


def _plain_rules(rules: Sequence[AnatomicalRule]) -> list[dict[str, Any]]:
    return [rule.as_plain() for rule in rules]


def _header(
    predictions: Path, scorer: Scorer, found: Mapping[str, Prediction], options: PlausibilityOptions
) -> dict[str, Any]:
    """Return what must be equal for scores to belong together, and the settings that `merge` needs."""
    prior = scorer.prior
    settings = {key: value for key, value in asdict(options).items() if key != "execution"}
    content = {
        "command": COMMAND,
        "predictions": str(predictions.resolve()),
        "members": [str(Path(folder).resolve()) for folder in options.members],
        "images": None if options.images is None else str(options.images.resolve()),
        "references": None if options.references is None else str(options.references.resolve()),
        "prior": "" if prior is None else prior.coder.prior.sha256,
        "labels": {name: list(values) for name, values in scorer.subject.label_values.items()},
        "rules": _plain_rules(scorer.subject.rules),
        "scores": [*scorer.structure_columns, *scorer.case_scores],
        "cases": list(found),
        "settings": settings,
    }
    return as_json(content)


def _write(
    predictions: Path,
    output: Path,
    scorer: Scorer,
    rows: Iterable[PlausibilityRow],
    calibration: Calibration | None,
    entries: Entries,
    options: PlausibilityOptions,
) -> None:
    rule_names = tuple(rule.name for rule in scorer.subject.rules)
    names = {"structure_names": scorer.subject.names, "score_names": scorer.structure_columns}
    names |= {"case_score_names": scorer.case_scores, "rule_names": rule_names}
    drawn = cases_to_show(rows, calibration)
    shown = [entry for entry in entries if entry["case"] in drawn and entry.get("slice") is not None]
    page = render_plausibility_page(
        rows,
        {entry["case"]: KeptSlice.from_plain(entry["slice"]) for entry in shown},
        calibration,
        PageParts(
            folder=predictions,
            members=options.members,
            prior=None if scorer.prior is None else scorer.prior.coder.prior,
            calibrated_here=options.references is not None,
            **names,
        ),
        packed=pack_shown_cases(scorer, find_predictions(predictions, scorer, options), drawn),
    )
    if options.references is not None and calibration is not None:
        write_json(output / CALIBRATION_FILE, calibration.as_plain())
    write_table(output / TABLE_FILE, rows, **names)
    write_text(output / PAGE_FILE, page)


def _refuse_all_excluded(rows: Iterable[PlausibilityRow], folder: Path, *, calibrating: bool) -> None:
    usable, wanted = ((SCORED,), "calibrated on") if calibrating else ((SCORED, EMPTY), "scored")
    if not any(row.status in usable for row in rows):
        reason = next((f"; the first: {row.case}: {row.reason}" for row in rows if row.reason), "")
        raise ValueError(f"No prediction of {folder} can be {wanted}{reason}")


def _summary(rows: Iterable[PlausibilityRow], calibration: Calibration | None, output: Path, remark: str) -> str:
    counts, excluded, flagged = Counter[str](), [], []
    for row in rows:
        counts[row.status] += 1
        if row.status == EXCLUDED:
            excluded.append(f"  left out: {row.case}: {row.reason}")
        elif row.flagged:
            flagged.append(row.case)
    lines = [f"{counts[SCORED]} predictions scored, {counts[EMPTY]} empty, {counts[EXCLUDED]} left out"]
    lines += excluded[:MOST_NAMED] + more_in_status(len(excluded))
    if remark:
        lines.append(remark)
    if calibration is not None:
        more = ", …" if len(flagged) > 10 else ""
        lines.append(f"{len(flagged)} flagged{': ' if flagged else ''}{', '.join(flagged[:10])}{more}")
        lines += [f"no expectation for {name}: {reason}" for name, reason in calibration.left_out.items()]
        lines.append(calibration.measured.get("review_sentence", ""))
    else:
        lines.append("not flagged: without --calibration nothing says how low is too low")
    lines.append(f"report: {output / PAGE_FILE}")
    return "\n".join(line for line in lines if line)
