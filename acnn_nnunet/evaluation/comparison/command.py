"""`acnn-nnunet compare`: arms evaluated on the same cases, against the first of them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from acnn_nnunet import __version__
from acnn_nnunet.evaluation.comparison.paired_scores import HIGHER_IS_BETTER, PairedScores, read_paired_scores
from acnn_nnunet.evaluation.comparison.published import load_published
from acnn_nnunet.evaluation.comparison.tables import (
    render_latex,
    render_markdown,
    render_summary,
)
from acnn_nnunet.evaluation.statistics import (
    CONFIDENCE,
    RESAMPLES,
    bootstrap_intervals,
    count_wins,
    describe,
    holm,
    unit_sums,
    wilcoxon_p,
)
from acnn_nnunet.evaluation.summary import METRICS
from acnn_nnunet.evaluation.table import MISSED, SPURIOUS
from acnn_nnunet.files.safe_writes import write_json, write_text
from acnn_nnunet.files.tables import columns_of, write_table

COMMAND = "acnn-nnunet compare"
JSON_FILE, REPORT_FILE = "comparison.json", "report.html"
OUTPUT_FILES = (JSON_FILE, "comparison.csv", "comparison.md", "comparison.tex", REPORT_FILE)


@dataclass(frozen=True)
class Comparison:
    """One arm in one table (clean-up and stratum), label and metric; the paired fields are None for the baseline.

    Attributes:
        clean_up: "none" or "largest component".
        stratum: "all", a phase ("phase ED") or a group.
        label: as in cases.csv, or "foreground".
        metric: column of cases.csv.
        arm: name.
        num_cases: pairs.
        num_units: patients with a pair, or cases where there are no patients; what is resampled and tested.
        not_applicable: cases left out because the label is empty in the reference and in all arms.
        mean: over cases, as are `sd` (n − 1) and `median`.
        mean_difference: arm − baseline.
        ci_low: lower end of the bootstrap interval of the mean difference.
        ci_high: upper end.
        p_value: Wilcoxon signed-rank, two-sided.
        p_holm: Holm-corrected over all metrics and labels of this arm in this table.
        family_size: tests in that family.
        wins: pairs in which the arm beats the baseline.
        ties: pairs with equal scores.
        losses: pairs in which the baseline is better.
    """

    clean_up: str
    stratum: str
    label: str
    metric: str
    arm: str
    num_cases: int
    num_units: int
    not_applicable: int
    mean: float | None
    sd: float | None
    median: float | None
    mean_difference: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    family_size: int | None = None
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None


def compare(
    arms: Mapping[str, Path], output: Path, *, groups: Path | None = None, published: str | None = None, seed: int = 0
) -> str:
    """Compare evaluation folders case by case and write tables and a page.

    Args:
        arms: name to folder that `acnn-nnunet evaluate` wrote; the first is the baseline.
        output: folder; a former comparison in it is replaced.
        groups: groups.csv (case, group and optionally patient and phase).
        published: paper, acdc or cetus: published results to show beside.
        seed: of the bootstrap.

    Returns:
        What to print: the main table and where the files are.

    Raises:
        FileNotFoundError: if a folder lacks a file.
        ValueError: if the arms are no pairs, or `published` is unknown.
        FileExistsError: if the output folder holds something else.
        OSError: if the output cannot be written.
    """
    from acnn_nnunet.evaluation.comparison.page import render_report

    output = Path(output)
    tables = load_published(published) if published else []
    _check_output(output)
    scores = read_paired_scores(arms, groups=groups)
    comparisons = compare_scores(scores, seed=seed)
    report = render_report(scores, comparisons, published=tables)
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / JSON_FILE, _as_json(scores, comparisons, seed=seed, published=published))
    write_table(output / "comparison.csv", columns_of(comparisons, [field.name for field in fields(Comparison)]))
    write_text(output / "comparison.md", render_markdown(scores, comparisons, published=tables))
    write_text(output / "comparison.tex", render_latex(scores, comparisons))
    write_text(output / REPORT_FILE, report)
    return render_summary(scores, comparisons, published=tables) + f"\n{output}: {', '.join(OUTPUT_FILES)}"


def compare_scores(scores: PairedScores, *, seed: int = 0, resamples: int = RESAMPLES) -> list[Comparison]:
    """Return the statistics of every arm, label and metric in every table (clean-up and stratum).

    Args:
        scores: aligned scores.
        seed: of the bootstrap; every table starts from it.
        resamples: of the bootstrap.
    """
    comparisons: list[Comparison] = []
    for clean_up, values in scores.values.items():
        for stratum, members in scores.strata.items():
            units = np.unique(scores.units[members], return_inverse=True)[1]
            for index, arm in enumerate(scores.arms):
                rows = list(_describe_arm(scores, clean_up, stratum, arm, values[index][members], units))
                if index:
                    differences = (values[index] - values[0])[members].reshape(len(units), -1)
                    rows = _compare_arm(rows, differences, units, seed=seed, resamples=resamples)
                comparisons += rows
    return comparisons


def _describe_arm(
    scores: PairedScores, clean_up: str, stratum: str, arm: str, values: np.ndarray, units: np.ndarray
) -> Iterator[Comparison]:
    """Yield rows in the order of values (cases, labels, metrics) flattened over its last two axes."""
    for column, label in enumerate(scores.labels):
        valid = ~np.isnan(values[:, column, 0])
        for number, metric in enumerate(METRICS):
            mean, sd, median = describe(values[:, column, number])
            yield Comparison(
                clean_up=clean_up,
                stratum=stratum,
                label=label,
                metric=metric,
                arm=arm,
                num_cases=int(valid.sum()),
                num_units=len(set(units[valid].tolist())),
                not_applicable=int((~valid).sum()),
                mean=mean,
                sd=sd,
                median=median,
            )


def _compare_arm(
    rows: list[Comparison], differences: np.ndarray, units: np.ndarray, *, seed: int, resamples: int
) -> list[Comparison]:
    sums, counts = unit_sums(differences, units)
    unit_means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    intervals = bootstrap_intervals(differences, units, resamples=resamples, seed=seed)
    p_values = [wilcoxon_p(unit_means[:, column]) for column in range(len(rows))]
    adjusted = holm(p_values)
    compared = []
    for column, row in enumerate(rows):
        low, high = (None if np.isnan(end) else float(end) for end in intervals[column])
        wins, ties, losses = count_wins(differences[:, column], higher_is_better=HIGHER_IS_BETTER[row.metric])
        compared.append(
            replace(
                row,
                mean_difference=describe(differences[:, column])[0],
                ci_low=low,
                ci_high=high,
                p_value=p_values[column],
                p_holm=adjusted[column],
                family_size=sum(p is not None for p in p_values),
                wins=wins,
                ties=ties,
                losses=losses,
            )
        )
    return compared


def _check_output(output: Path) -> None:
    """Refuse a folder that holds anything but a former comparison."""
    if not output.exists():
        return
    if not output.is_dir():
        raise FileExistsError(f"{output} is a file: name a folder that does not exist yet.")
    names = sorted(path.name for path in output.iterdir())
    if not names:
        return
    foreign = [name for name in names if name.removesuffix(".partial") not in OUTPUT_FILES]
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


def _as_json(
    scores: PairedScores, comparisons: list[Comparison], *, seed: int, published: str | None
) -> dict[str, object]:
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
        "bootstrap": {"method": "percentile", "confidence": CONFIDENCE, "resamples": RESAMPLES, "seed": seed},
        "test": "Wilcoxon signed-rank, two-sided, zero differences left out; p = 1 where all differences are zero",
        "family": "all metrics and labels of one arm in one table (clean-up and stratum); Holm",
        "published": published,
        "results": [asdict(comparison) for comparison in comparisons],
    }
