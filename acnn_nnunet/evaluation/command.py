"""`acnn-nnunet evaluate` and `merge`: from two folders to tables and a page."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.journal import Entries, cases_of_part
from acnn_nnunet.casewise.parts import joined_parts, part_done, refuse_changed
from acnn_nnunet.casewise.processes import prepare_workers
from acnn_nnunet.casewise.recorded import opened_journal
from acnn_nnunet.casewise.status import MOST_NAMED, more_in_status, write_status
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.evaluation.anatomy.cases import ANATOMY_FILE, CaseAnatomy, summarise_anatomy, write_anatomy
from acnn_nnunet.evaluation.anatomy.page import anatomy_section, anatomy_sentence
from acnn_nnunet.evaluation.case_images import images_beside
from acnn_nnunet.evaluation.cases import evaluate_cases
from acnn_nnunet.evaluation.clinical import indices as clinical
from acnn_nnunet.evaluation.clinical.page import clinical_section
from acnn_nnunet.evaluation.masks.scores import METRIC_TITLES, PIECE_IOU, LabelScores
from acnn_nnunet.evaluation.masks.table import CASES_FILE, LARGEST_COMPONENT_FILE, write_scores
from acnn_nnunet.evaluation.page import Row, write_report
from acnn_nnunet.evaluation.pictures import look_at_worst
from acnn_nnunet.evaluation.plan import EvaluationPlan, plan_evaluation
from acnn_nnunet.evaluation.summary import summarise, write_summary
from acnn_nnunet.evaluation.workers import PRELOADED
from acnn_nnunet.files.patients import GROUPS_FILE, CaseGroup, read_groups

COMMAND = "evaluate"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
# Cases may have come since, and pictures are no scores; else all must be equal for scores to belong together.
_MAY_CHANGE = ("command", "cases", "extra_predictions", "groups", "images")
_PATHS = ("reference", "prediction", "groups", "images")


@dataclass(frozen=True)
class EvaluationOptions:
    """How a folder of predictions is evaluated.

    Attributes:
        labels: words for `labels_of_words`; None reads the dataset.json.
        ignore_label: value of unannotated voxels, with `labels`.
        dataset_json: where labels come from; None looks for it in and above both folders.
        tolerance_mm: of the surface Dice.
        groups: table of case, patient, phase and group; None takes `groups.csv` next to the reference folder, if any.
        images: folder of images for the page's pictures; None takes nnU-Net's next to the reference folder.
        only_predicted: leave references without a prediction alone, instead of scoring them as misses: a fold's
            `validation` against all of `gt_segmentations`.
        rules_file: name of a set of anatomical rules, or a JSON file; None takes those that the dataset.json declares.
        piece_iou: least IoU of two pieces that match.
        execution: where the cases are scored; of a run in parts `merge_parts` writes the results.

    Raises:
        FileNotFoundError: if groups or images that are named do not exist.
    """

    labels: list[str] | None = None
    ignore_label: int | None = None
    dataset_json: Path | None = None
    tolerance_mm: float = 2.0
    groups: Path | None = None
    images: Path | None = None
    only_predicted: bool = False
    rules_file: Path | None = None
    piece_iou: float = PIECE_IOU
    execution: Execution = HERE

    def __post_init__(self) -> None:
        for option, path in (("--groups", self.groups), ("--images", self.images)):
            if path is not None and not path.exists():
                raise FileNotFoundError(f"{option} {path} does not exist.")


def evaluate(reference: Path, prediction: Path, output: Path, options: EvaluationOptions | None = None) -> Outcome:
    """Score the predictions of a folder and write `cases.csv`, `summary.json`, `report.html` and, with phases, indices.

    Args:
        reference: folder of reference label maps.
        prediction: folder of predictions with the same file names.
        output: folder to write, new or empty; one that the same evaluation began, to continue it.
        options: how; None takes the defaults.

    Raises:
        ValueError: if something given cannot be evaluated, or `output` holds something already.
        OSError: if a file cannot be read or written.
    """
    options = options or EvaluationOptions()
    execution = options.execution
    if options.groups is not None:
        read_groups(options.groups)  # refuse a bad table before anything is scored
    if execution.uses_processes:
        prepare_workers(PRELOADED)
    plan = plan_evaluation(
        reference,
        prediction,
        labels=options.labels,
        ignore_label=options.ignore_label,
        dataset_json=options.dataset_json,
        tolerance_mm=options.tolerance_mm,
        only_predicted=options.only_predicted,
        rules_file=options.rules_file,
        piece_iou=options.piece_iou,
    )
    header = {
        "command": COMMAND,
        **plan.header(),
        "groups": _path(options.groups or _existing(plan.reference.parent / GROUPS_FILE)),
        "images": _path(options.images or images_beside(plan.reference)),
    }
    output = Path(output)
    with opened_journal(output, header, execution, may_change=_MAY_CHANGE, paths=_PATHS, own_folder=True) as journal:
        cases = cases_of_part(plan.cases, num_parts=execution.num_parts, part_id=execution.part_id)
        evaluate_cases(plan, journal, cases, execution=execution)
        entries = journal.entries_of(cases)
        if execution.num_parts > 1:
            return part_done(output, execution, entries)
        return _write_results(plan, header, entries, output, execution)


def merge_parts(output: Path) -> Outcome:
    """Write the results of an evaluation that was run in parts.

    Raises:
        FileNotFoundError: if `output` holds no parts.
        ValueError: naming the parts that are missing, unfinished or of another evaluation, or cases that have changed.
    """
    header, entries = joined_parts(output, paths=_PATHS)
    plan = EvaluationPlan.from_header(header)
    if any(entry["error"] is None and "scores" not in entry for entry in entries):
        raise ValueError(f"The parts in {output} were written by an earlier version: finish them with --continue.")
    refuse_changed(entries, plan.files, output)
    return _write_results(plan, header, entries, Path(output), HERE)


class _Rows:
    """The scores of one kind in the entries, made anew each time they are iterated over: never all in memory."""

    def __init__(self, entries: Entries, kind: str) -> None:
        self._entries, self._kind = entries, kind

    def __iter__(self) -> Iterator[LabelScores]:
        for entry in self._entries:
            for values in entry[self._kind] if entry["error"] is None else ():
                yield LabelScores(**values)


class _Anatomies:
    """What the rules say of each prediction in the entries, made anew each time too."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def __iter__(self) -> Iterator[CaseAnatomy]:
        for entry in self._entries:
            if entry["error"] is None and entry.get("anatomy"):
                yield CaseAnatomy(**entry["anatomy"])


def _write_results(
    plan: EvaluationPlan, header: dict[str, Any], entries: Entries, output: Path, execution: Execution
) -> Outcome:
    summary = {**summarise(plan, entries), "images": header["images"]}
    num_cases, excluded = len(entries), summary["excluded"]
    if len(excluded) == num_cases:
        raise ValueError(f"None of the {num_cases} cases could be scored; the first: {excluded[0]['reason']}")
    scores, cleaned = _Rows(entries, "scores"), _Rows(entries, "scores_largest_component")
    images = None if header["images"] is None else Path(header["images"])
    table = write_scores(output / CASES_FILE, scores, num_cases=num_cases)
    write_scores(output / LARGEST_COMPONENT_FILE, cleaned, num_cases=num_cases)
    write_status(output, entries)
    anatomy = _Anatomies(entries)
    if plan.rules:
        write_anatomy(output / ANATOMY_FILE, anatomy, plan.rules)
        summary["anatomy"] = summarise_anatomy(anatomy, plan.rules)
    write_summary(output / SUMMARY_FILE, summary)
    of_patients, note = _clinical_section(plan, header, excluded, scores, output)
    looked_at = look_at_worst(plan, scores, images=images, execution=execution)
    more = anatomy_section(anatomy, summary.get("anatomy")) + of_patients
    rows = write_report(output / REPORT_FILE, plan, summary, scores, cleaned, looked_at=looked_at, more=more)
    results = f"Results: {table}, {SUMMARY_FILE}, {REPORT_FILE}"
    lines = [*_lines(summary, rows), plan.note, note, results]
    excluded_cases = tuple(Excluded(each["case"], each["reason"]) for each in excluded)
    return Outcome("\n".join(line for line in lines if line), excluded_cases)


def _clinical_section(
    plan: EvaluationPlan,
    header: dict[str, Any],
    excluded: list[dict[str, str]],
    scores: Iterable[LabelScores],
    output: Path,
) -> tuple[str, str]:
    """Write the clinical indices where a table tells the phases; return their section of the page, and a note.

    A table that cannot be read costs the indices only, as does one that fits no case: it may lie there for another
    purpose.
    """
    for name in (clinical.TABLE_FILE, clinical.SUMMARY_FILE):  # of an earlier run, whose table may have been another
        (output / name).unlink(missing_ok=True)
    if header["groups"] is None:
        return "", ""
    groups: list[CaseGroup] = []
    reasons = {each["case"]: each["reason"] for each in excluded}
    try:
        groups = read_groups(Path(header["groups"]))
        result = clinical.measure_patients(scores, groups, label_names=plan.labels.names, excluded_cases=reasons)
    except (ValueError, OSError) as error:
        if groups and not any(row.phase for row in groups):
            return "", ""  # a table of groups alone
        # A table that was read says nothing of labels, which the error may be about.
        note = f"No clinical indices: {error}" + (
            "" if groups else " Correct the table, or name another with --groups."
        )
        return f"<p>{escape(note)}</p>", note
    clinical.write_clinical(result, output)
    return clinical_section(result), ""


def _lines(summary: dict[str, Any], rows: Iterable[Row]) -> list[str]:
    """Return a Markdown table of the scores, and the cases that are missing or excluded."""
    titles, rows = ["label", *METRIC_TITLES.values(), "cases"], list(rows)
    lines = [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    lines += [f"| {' | '.join([row.name, *row.metrics, str(row.num_cases)])} |" for row in rows]
    lines.append("Mean ± SD (median) over the cases to which a score applies.")
    if nowhere := [row.name for row in rows if not row.num_cases]:
        lines.append(f"WARNING: no reference and no prediction holds {', '.join(nowhere)}.")
    if anatomy := summary.get("anatomy"):
        lines.append(anatomy_sentence(anatomy))
    for key, words in (
        ("missing_predictions", "without a prediction, scored as misses"),
        ("extra_predictions", "without a reference, not scored"),
    ):
        if summary[key]:
            lines.append(f"{len(summary[key])} {words}: {_shortened(summary[key])}")
    shown = summary["excluded"][:MOST_NAMED]
    lines += [f"{case['case']} could not be scored, counts nowhere: {case['reason']}" for case in shown]
    return lines + more_in_status(len(summary["excluded"]))


def _shortened(cases: list[str], limit: int = 5) -> str:
    return ", ".join(cases[:limit]) + (", …" if len(cases) > limit else "")


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _path(path: Path | None) -> str | None:
    return None if path is None else str(Path(path).resolve())
