"""`acnn-nnunet evaluate` and `merge`: from two folders to tables and a page."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.journal import Journal, cases_of_part, common_header, find_parts
from acnn_nnunet.casewise.processes import check_num_processes, prepare_workers
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.evaluation.cases import PRELOADED, evaluate_cases
from acnn_nnunet.evaluation.clinical.indices import write_clinical
from acnn_nnunet.evaluation.clinical.page import clinical_section
from acnn_nnunet.evaluation.masks.scores import METRIC_TITLES, LabelScores
from acnn_nnunet.evaluation.masks.table import CASES_FILE, LARGEST_COMPONENT_FILE, write_scores
from acnn_nnunet.evaluation.page import table_rows, write_report
from acnn_nnunet.evaluation.plan import EvaluationPlan, plan_evaluation
from acnn_nnunet.evaluation.summary import summarise
from acnn_nnunet.files.patients import GROUPS_FILE, read_groups
from acnn_nnunet.files.safe_writes import write_json

SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
# Cases may have come since, and pictures are no scores; else all must be equal for scores to belong together.
_MAY_CHANGE = ("cases", "extra_predictions", "groups", "images")
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
        num_processes: cases that are scored at a time.
        continue_evaluation: keep what an earlier run has scored.
        num_parts: of how many parts this is one; with more than one, `merge_parts` writes the results.
        part_id: which part, from 0.

    Raises:
        ValueError: for processes or parts that cannot be.
        FileNotFoundError: if groups or images that are named do not exist.
    """

    labels: list[str] | None = None
    ignore_label: int | None = None
    dataset_json: Path | None = None
    tolerance_mm: float = 2.0
    groups: Path | None = None
    images: Path | None = None
    only_predicted: bool = False
    num_processes: int = 1
    continue_evaluation: bool = False
    num_parts: int = 1
    part_id: int = 0

    def __post_init__(self) -> None:
        check_num_processes(self.num_processes)
        if not 0 <= self.part_id < self.num_parts:
            raise ValueError(f"-part_id {self.part_id} is no part of -num_parts {self.num_parts}: parts count from 0.")
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
    if options.groups is not None:
        read_groups(options.groups)  # refuse a bad table before anything is scored
    if options.num_processes > 1:
        prepare_workers(PRELOADED)
    plan = plan_evaluation(
        reference,
        prediction,
        labels=options.labels,
        ignore_label=options.ignore_label,
        dataset_json=options.dataset_json,
        tolerance_mm=options.tolerance_mm,
        only_predicted=options.only_predicted,
    )
    header = {
        **plan.header(),
        "groups": _path(options.groups or _existing(plan.reference.parent / GROUPS_FILE)),
        "images": _path(options.images or _images_beside(plan.reference)),
    }
    part = {"num_parts": options.num_parts, "part_id": options.part_id}
    journal = Journal.of_part(output, **part)
    if options.continue_evaluation:
        journal.go_on(header, may_change=_MAY_CHANGE, paths=_PATHS)
    else:
        journal.begin(header)
    cases = cases_of_part(plan.cases, **part)
    evaluate_cases(plan, journal, cases, num_processes=options.num_processes)
    if options.num_parts > 1:
        ending = f"After the last one: acnn-nnunet merge {output}"
        return Outcome(f"Part {options.part_id} of {options.num_parts} is done. {ending}")
    return _write_results(plan, header, journal.entries_of(cases), output)


def merge_parts(output: Path) -> Outcome:
    """Write the results of an evaluation that was run in parts.

    Raises:
        FileNotFoundError: if `output` holds no parts.
        ValueError: naming the parts that are missing, unfinished or of another evaluation.
    """
    journals = find_parts(output)
    header = common_header(journals, paths=_PATHS)
    plan = EvaluationPlan.from_header(header)
    entries = []
    for part_id, journal in enumerate(journals):
        entries += journal.entries_of(cases_of_part(plan.cases, num_parts=len(journals), part_id=part_id))
        if any(entry["error"] is None and "scores" not in entry for entry in entries):
            raise ValueError(f"{journal.path} was written by an earlier version: finish it with --continue.")
    return _write_results(plan, header, entries, output)


def _write_results(
    plan: EvaluationPlan, header: dict[str, Any], entries: list[dict[str, Any]], output: Path
) -> Outcome:
    entries = sorted(entries, key=lambda entry: entry["case"])
    scored = [entry for entry in entries if entry["error"] is None]
    if not scored:
        raise ValueError(f"None of the {len(entries)} cases could be scored; the first: {entries[0]['error']}")
    scores, cleaned = (_rows(scored, which) for which in ("scores", "scores_largest_component"))
    write_scores(output / CASES_FILE, scores)
    write_scores(output / LARGEST_COMPONENT_FILE, cleaned)
    summary = summarise(plan, entries)
    write_json(output / SUMMARY_FILE, summary)
    images = None if header["images"] is None else Path(header["images"])
    clinical, note = _clinical_section(plan, header, entries, scores, output)
    write_report(output / REPORT_FILE, plan, summary, scores, cleaned, images=images, clinical=clinical)
    excluded = tuple(Excluded(entry["case"], entry["reason"]) for entry in summary["excluded"])
    lines = [*_lines(plan, summary, scores), note, f"Results: {output / CASES_FILE}, {SUMMARY_FILE}, {REPORT_FILE}"]
    return Outcome("\n".join(line for line in lines if line), excluded)


def _clinical_section(
    plan: EvaluationPlan, header: dict[str, Any], entries: list[dict[str, Any]], scores: list[LabelScores], output: Path
) -> tuple[str, str]:
    """Write the clinical indices where a table tells the phases; return their section of the page, and a note.

    A table that cannot be read costs the indices only: it may lie there for another purpose.
    """
    if header["groups"] is None:
        return "", ""
    try:
        groups = read_groups(Path(header["groups"]))
    except (ValueError, OSError) as error:
        note = f"No clinical indices: {error} Correct the table, or name another with --groups."
        return f"<p>{escape(note)}</p>", note
    excluded = {entry["case"]: entry["error"] for entry in entries if entry["error"] is not None}
    result = write_clinical(scores, groups, output, label_names=plan.labels.names, excluded_cases=excluded)
    return ("" if result is None else clinical_section(result)), ""


def _rows(entries: list[dict[str, Any]], which: str) -> list[LabelScores]:
    return [LabelScores(**values) for entry in entries for values in entry[which]]


def _lines(plan: EvaluationPlan, summary: dict[str, Any], scores: list[LabelScores]) -> list[str]:
    """Return a Markdown table of the scores, and the cases that are missing or excluded."""
    titles = ["label", *METRIC_TITLES.values(), "cases"]
    lines = [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    lines += [f"| {' | '.join([row.name, *row.metrics, str(row.num_cases)])} |" for row in table_rows(plan, scores)]
    lines.append("Mean ± SD (median) over the cases to which a score applies.")
    for key, words in (
        ("missing_predictions", "without a prediction, scored as misses"),
        ("extra_predictions", "without a reference, not scored"),
    ):
        if summary[key]:
            lines.append(f"{len(summary[key])} {words}: {_shortened(summary[key])}")
    lines += [f"{case['case']} could not be scored, counts nowhere: {case['reason']}" for case in summary["excluded"]]
    return lines


def _shortened(cases: list[str], limit: int = 5) -> str:
    return ", ".join(cases[:limit]) + (", …" if len(cases) > limit else "")


def _images_beside(reference: Path) -> Path | None:
    """Return `imagesTr` for `labelsTr` and the like."""
    if not reference.name.startswith("labels"):
        return None
    return _existing(reference.parent / reference.name.replace("labels", "images", 1))


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _path(path: Path | None) -> str | None:
    return None if path is None else str(Path(path).resolve())
