"""`acnn-nnunet evaluate` and `merge`: from two folders to tables and a page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.journal import FOLDER, Journal
from acnn_nnunet.evaluation.cases import evaluate_cases, prepare_workers
from acnn_nnunet.evaluation.clinical.indices import write_clinical
from acnn_nnunet.evaluation.clinical.page import clinical_section
from acnn_nnunet.evaluation.masks.case_scores import case_row
from acnn_nnunet.evaluation.masks.mask_scores import MaskScores
from acnn_nnunet.evaluation.page import METRIC_TITLES, table_rows, write_report
from acnn_nnunet.evaluation.plan import EvaluationPlan, plan_evaluation
from acnn_nnunet.evaluation.summary import summarise
from acnn_nnunet.evaluation.table import CASES_FILE, LARGEST_COMPONENT_FILE, CaseScore, write_scores
from acnn_nnunet.files.patients import read_groups
from acnn_nnunet.files.safe_writes import write_json

SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
_MAY_CHANGE = ("cases", "extra_predictions", "groups", "images")


@dataclass(frozen=True)
class Outcome:
    """What a command has to say, and whether every case could be scored."""

    text: str
    complete: bool = True


def evaluate(
    reference: Path,
    prediction: Path,
    output: Path,
    *,
    labels: list[str] | None = None,
    ignore_label: int | None = None,
    dataset_json: Path | None = None,
    tolerance_mm: float = 2.0,
    groups: Path | None = None,
    images: Path | None = None,
    only_predicted: bool = False,
    num_processes: int = 1,
    continue_evaluation: bool = False,
    num_parts: int = 1,
    part_id: int = 0,
) -> Outcome:
    """Score the predictions of a folder and write `cases.csv`, `summary.json`, `report.html` and, with phases, indices.

    Args:
        reference: folder of reference label maps.
        prediction: folder of predictions with the same file names.
        output: folder to write, new or empty; with `continue_evaluation` one that an evaluation of the same began.
        labels: words for `labels_of_words`; None reads the dataset.json.
        ignore_label: value of unannotated voxels, with `labels`.
        dataset_json: where labels come from; None looks for it in and above both folders.
        tolerance_mm: of the surface Dice.
        groups: table of case, patient, phase and group; None takes `groups.csv` beside the reference folder, if any.
        images: folder of images that the report's pictures show; None takes nnU-Net's beside the reference folder.
        only_predicted: leave references without a prediction alone, instead of scoring them as misses: a fold's
            `validation` against all of `gt_segmentations`.
        num_processes: cases that are scored at a time.
        continue_evaluation: keep what a former run has scored.
        num_parts: of how many parts this is one; with more than one, `merge_parts` writes the results.
        part_id: which, from 0.

    Raises:
        ValueError: if something given cannot be evaluated, or `output` holds something already.
        OSError: if a file cannot be written.
    """
    if num_processes < 1:
        raise ValueError(f"-np {num_processes}: at least one process is needed.")
    if not 0 <= part_id < num_parts:
        raise ValueError(f"-part_id {part_id} is no part of -num_parts {num_parts}: parts count from 0.")
    for option, path in (("--groups", groups), ("--images", images)):
        if path is not None and not path.exists():
            raise FileNotFoundError(f"{option} {path} does not exist.")
    if num_processes > 1:
        prepare_workers()
    plan = plan_evaluation(
        reference,
        prediction,
        labels=labels,
        ignore_label=ignore_label,
        dataset_json=dataset_json,
        tolerance_mm=tolerance_mm,
        only_predicted=only_predicted,
    )
    header = {
        **plan.header(),
        "groups": _path(groups or _existing(plan.reference.parent / "groups.csv")),
        "images": _path(images or _images_beside(plan.reference)),
    }
    journal = Journal.of_part(output, num_parts=num_parts, part_id=part_id)
    _open_journal(journal, header, output, continue_evaluation=continue_evaluation)
    cases = list(plan.cases[part_id::num_parts])
    evaluate_cases(plan, journal, cases, num_processes=num_processes)
    if num_parts > 1:
        return Outcome(f"Part {part_id} of {num_parts} is done. After the last one: acnn-nnunet merge {output}")
    return _write_results(plan, header, _entries(journal, cases), output)


def merge_parts(output: Path) -> Outcome:
    """Write the results of an evaluation that was run in parts.

    Raises:
        FileNotFoundError: if `output` holds no parts.
        ValueError: naming the parts that are missing, unfinished or of another evaluation.
    """
    output = Path(output)
    files = sorted((output / FOLDER).glob("part_*_of_*.jsonl"))
    if not files:
        raise FileNotFoundError(f"{output} holds no parts: `evaluate … -num_parts N -part_id I` writes them.")
    totals = {int(path.stem.rsplit("_", 1)[1]) for path in files}
    if len(totals) > 1:
        raise ValueError(f"{output / FOLDER} holds parts of {sorted(totals)}: delete those of the other evaluation.")
    num_parts = totals.pop()
    journals = [Journal.of_part(output, num_parts=num_parts, part_id=part_id) for part_id in range(num_parts)]
    absent = [str(part_id) for part_id, journal in enumerate(journals) if not journal.path.is_file()]
    if absent:
        raise ValueError(f"Part {', '.join(absent)} of {num_parts} is missing in {output}: run -part_id {absent[0]}.")
    headers = [journal.read()[0] for journal in journals]
    if any(header != headers[0] for header in headers):
        raise ValueError(f"The parts in {output / FOLDER} are of different evaluations: delete them and run all again.")
    plan = EvaluationPlan.from_header(headers[0])
    entries = []
    for part_id, journal in enumerate(journals):
        entries += _entries(journal, list(plan.cases[part_id::num_parts]))
    return _write_results(plan, headers[0], entries, output)


def _open_journal(journal: Journal, header: dict[str, Any], output: Path, *, continue_evaluation: bool) -> None:
    """Start the journal, or check that the one to go on with belongs to this evaluation."""
    if not continue_evaluation:
        others = [path for path in (output.iterdir() if output.is_dir() else ()) if path.name != FOLDER]
        if output.is_file() or others or journal.path.exists():
            raise ValueError(f"{output} exists and is not empty: use --continue, or name another folder with -o.")
        journal.start(header)
        return
    if not journal.path.is_file():
        if output.is_dir() and any(output.iterdir()) and not (output / FOLDER).is_dir():
            raise ValueError(f"{output} holds no evaluation to go on with: name another folder with -o.")
        journal.start(header)
        return
    before = journal.read()[0]
    # Cases may have come since, and pictures are no scores; else all must be equal for scores to belong together.
    changed = [key for key in header if key not in _MAY_CHANGE and header[key] != before.get(key)]
    if changed:
        raise ValueError(
            f"{output} holds an evaluation with another {changed[0]} ({before.get(changed[0])} instead of "
            f"{header[changed[0]]}): name another folder with -o."
        )
    if header != before:
        journal.renew(header)


def _entries(journal: Journal, cases: list[str]) -> list[dict[str, Any]]:
    """Return the last entry of each case.

    Raises:
        ValueError: naming cases that have none.
    """
    entries = {entry["case"]: entry for entry in journal.read()[1]}
    absent = [case for case in cases if case not in entries]
    if absent:
        raise ValueError(f"{journal.path} lacks {len(absent)} cases ({absent[0]}, …): finish it with --continue.")
    return [entries[case] for case in cases]


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
    clinical = _clinical_section(plan, header, entries, scores, output)
    write_report(output / REPORT_FILE, plan, summary, scores, cleaned, images=images, clinical=clinical)
    return Outcome(_text(plan, summary, scores, output), complete=not summary["excluded"])


def _clinical_section(
    plan: EvaluationPlan, header: dict[str, Any], entries: list[dict[str, Any]], scores: list[CaseScore], output: Path
) -> str:
    """Write the clinical indices where a table says the phases, and return what the page shows of them."""
    if header["groups"] is None:
        return ""
    excluded = {entry["case"]: entry["error"] for entry in entries if entry["error"] is not None}
    result = write_clinical(
        scores, read_groups(Path(header["groups"])), output, label_names=plan.labels.names, excluded_cases=excluded
    )
    return "" if result is None else clinical_section(result)


def _rows(entries: list[dict[str, Any]], which: str) -> list[CaseScore]:
    return [
        case_row(entry["case"], key, MaskScores(**values[which]))
        for entry in entries
        for key, values in entry["labels"].items()
    ]


def _text(plan: EvaluationPlan, summary: dict[str, Any], scores: list[CaseScore], output: Path) -> str:
    """Return a Markdown table of the scores, and what was left out."""
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
    return "\n".join([*lines, f"Results: {output / CASES_FILE}, {SUMMARY_FILE}, {REPORT_FILE}"])


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
