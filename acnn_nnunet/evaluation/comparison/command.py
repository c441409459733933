"""`acnn-nnunet compare`: arms evaluated on the same cases, against the first of them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from acnn_nnunet import __version__
from acnn_nnunet.evaluation.comparison.anatomy import compare_anatomy
from acnn_nnunet.evaluation.comparison.comparisons import Comparison, compare_scores
from acnn_nnunet.evaluation.comparison.published import load_published
from acnn_nnunet.evaluation.comparison.scores import PairedScores, read_paired_scores
from acnn_nnunet.evaluation.comparison.tables import MARKDOWN_FILE, render_latex, render_markdown, render_summary
from acnn_nnunet.evaluation.masks.scores import MISSED, SPURIOUS
from acnn_nnunet.evaluation.statistics import CONFIDENCE, RESAMPLES
from acnn_nnunet.files.safe_writes import names_in, write_json, write_text
from acnn_nnunet.files.tables import columns_of, write_table

COMMAND = "acnn-nnunet compare"
JSON_FILE, REPORT_FILE = "comparison.json", "report.html"
OUTPUT_FILES = (JSON_FILE, "comparison.csv", MARKDOWN_FILE, "comparison.tex", REPORT_FILE)


@dataclass(frozen=True)
class ComparisonOptions:
    """How arms are compared.

    Attributes:
        groups: groups.csv (case, group and optionally patient and phase), for tables per group and tests per patient.
        published: paper, acdc or cetus: published results to show next to ours.
        seed: of the bootstrap.
    """

    groups: Path | None = None
    published: str | None = None
    seed: int = 0


def compare(arms: Mapping[str, Path], output: Path, options: ComparisonOptions | None = None) -> str:
    """Compare evaluation folders case by case and write tables and a page.

    Args:
        arms: name to folder that `acnn-nnunet evaluate` wrote; the first is the baseline.
        output: folder; an earlier comparison in it is replaced.
        options: how; None takes the defaults.

    Returns:
        What to print: the main table and where the files are.

    Raises:
        FileNotFoundError: if a folder lacks a file.
        ValueError: if the arms are no pairs, or `published` is unknown.
        FileExistsError: if the output folder holds something else.
        OSError: if the output cannot be written.
    """
    from acnn_nnunet.evaluation.comparison.page import render_report

    output, options = Path(output), options or ComparisonOptions()
    tables = load_published(options.published) if options.published else []
    _check_output(output)
    scores = read_paired_scores(arms, groups=options.groups)
    comparisons = compare_scores(scores, seed=options.seed) + compare_anatomy(scores, seed=options.seed)
    report = render_report(scores, comparisons, published=tables)
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / JSON_FILE, _as_json(scores, comparisons, options))
    write_table(output / "comparison.csv", columns_of(comparisons, [field.name for field in fields(Comparison)]))
    write_text(output / MARKDOWN_FILE, render_markdown(scores, comparisons, published=tables))
    write_text(output / "comparison.tex", render_latex(scores, comparisons))
    write_text(output / REPORT_FILE, report)
    return render_summary(scores, comparisons, published=tables) + f"\n{output}: {', '.join(OUTPUT_FILES)}"


def _check_output(output: Path) -> None:
    """Refuse a folder that holds anything but a former comparison."""
    if not output.exists():
        return
    if not output.is_dir():
        raise FileExistsError(f"{output} is a file: name a folder that does not exist yet.")
    names = names_in(output)
    if not names:
        return
    foreign = [name for name in names if name not in OUTPUT_FILES]
    if foreign or not _is_comparison(output / JSON_FILE):
        raise FileExistsError(
            f"{output} holds {(foreign or names)[0]}, which no comparison wrote: name a folder that does not exist yet."
        )


def _is_comparison(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("command") == COMMAND


def _as_json(scores: PairedScores, comparisons: list[Comparison], options: ComparisonOptions) -> dict[str, object]:
    return {
        "command": COMMAND,
        "version": __version__,
        "arms": {arm: str(folder) for arm, folder in scores.folders.items()},
        "baseline": scores.arms[0],
        "num_cases": len(scores.cases),
        "units": "patients" if scores.by_patient else "cases",
        "num_units": len(set(scores.units.tolist())),
        "strata": {name: int(members.sum()) for name, members in scores.strata.items()},
        "label_names": scores.label_names,
        "tolerance_mm": scores.tolerance_mm,
        "missed": scores.count_statuses(MISSED),
        "spurious": scores.count_statuses(SPURIOUS),
        "excluded": scores.excluded,
        "bootstrap": {"method": "percentile", "confidence": CONFIDENCE, "resamples": RESAMPLES, "seed": options.seed},
        "test": "Wilcoxon signed-rank, two-sided, zero differences left out; p = 1 where all differences are zero",
        "family": "all metrics and labels of one arm in one table (clean-up and stratum), whole cases apart; Holm",
        "published": options.published,
        "results": [asdict(comparison) for comparison in comparisons],
    }
