"""A comparison as rows, Markdown and LaTeX."""

from collections.abc import Iterable, Sequence

from acnn_nnunet.evaluation.comparison.comparisons import Comparison, labels_that_differ
from acnn_nnunet.evaluation.comparison.published import PublishedTable, render_published
from acnn_nnunet.evaluation.comparison.scores import (
    ALL_CASES,
    CASE_METRIC_TITLES,
    FOREGROUND,
    NO_CLEAN_UP,
    WHOLE_CASE,
    PairedScores,
)
from acnn_nnunet.evaluation.masks.scores import BOTH_EMPTY, METRIC_TITLES, METRICS, MISSED, SPURIOUS

MARKDOWN_FILE = "comparison.md"
_LABELS_ON_A_SCREEN = 6  # with six metrics 36 lines

_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "<": r"$<$",
}


def render_markdown(
    scores: PairedScores, comparisons: Sequence[Comparison], *, published: Sequence[PublishedTable] = ()
) -> str:
    """Return the whole comparison: what was compared, how, and a table for every clean-up and stratum."""
    parts = [f"# {' against '.join((', '.join(scores.arms[1:]), scores.arms[0]))}", ""]
    parts += [f"- {line}" for line in explain(scores)]
    for clean_up, stratum, rows in split_tables(comparisons):
        parts += ["", f"## {table_title(clean_up, stratum)}", "", _markdown_table(scores, rows)]
    return "\n".join([*parts, *_published_parts(scores, comparisons, published)]) + "\n"


def render_summary(
    scores: PairedScores, comparisons: Sequence[Comparison], *, published: Sequence[PublishedTable] = ()
) -> str:
    """Return what the command prints: how it was counted, and the table of all cases without clean-up.

    Of many labels it shows the foreground and those that differ most, so that the table fits a screen.
    """
    rows = [row for row in comparisons if (row.clean_up, row.stratum) == (NO_CLEAN_UP, ALL_CASES)]
    first_metric = [row for row in rows if row.metric == METRICS[0]]
    labels = labels_that_differ(scores.labels, first_metric, most=_LABELS_ON_A_SCREEN)
    parts = [*explain(scores)[:3], "", _markdown_table(scores, rows, labels)]
    if len(labels) < len(scores.labels):
        parts += [
            "",
            f"{len(labels)} of {len(scores.labels)} labels: {FOREGROUND} and the largest mean differences in "
            f"{METRIC_TITLES[METRICS[0]]}. {MARKDOWN_FILE} has them all.",
        ]
    return "\n".join([*parts, *_published_parts(scores, comparisons, published)]) + "\n"


def render_latex(scores: PairedScores, comparisons: Sequence[Comparison]) -> str:
    r"""Return a booktabs table for every clean-up and stratum (`\usepackage{booktabs}`)."""
    parts = [r"% needs \usepackage{booktabs}"]
    parts += [f"% {_escape_comment(line)}" for line in explain(scores)]
    for clean_up, stratum, rows in split_tables(comparisons):
        header, body = table_cells(scores, rows)
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{escape_tex(table_title(clean_up, stratum))}}}"]
        lines += [rf"\begin{{tabular}}{{ll{'r' * (len(header) - 2)}}}", r"\toprule"]
        lines += [_tex_row(header), r"\midrule", *map(_tex_row, body)]
        parts += ["", *lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(parts) + "\n"


def explain(scores: PairedScores) -> list[str]:
    """Return the sentences that say what was compared and how, the main ones first."""
    num_units, unit = len(set(scores.units.tolist())), "patient" if scores.by_patient else "case"
    missed, spurious, empty = (scores.count_statuses(status) for status in (MISSED, SPURIOUS, BOTH_EMPTY))
    sentences = [
        f"{len(scores.cases)} cases{f' of {num_units} patients' if scores.by_patient else ''}; differences are arm − "
        f"{scores.arms[0]}, wins and losses go by the direction of the metric.",
        f"Labels missed (scored 0, or with the image's diagonal): {_counts(missed)}; found where the reference has "
        f"none: {_counts(spurious)}.",
        "Only one " + unit + ": no interval and no test is possible."
        if num_units < 2
        else f"95 % percentile bootstrap interval of the mean difference, drawn by {unit}; p of the two-sided Wilcoxon "
        f"signed-rank test on {'patient means' if scores.by_patient else 'cases'}, zero differences left out (p = 1 "
        "where all are zero); Holm's correction over all metrics and labels of one arm in one table.",
        f"Rows empty in reference and prediction: {_counts(empty)}. Such a label is left out where all arms leave it "
        "empty; where another arm finds something in it, it counts as perfect.",
    ]
    if scores.without_digests:
        sentences.append(
            f"An earlier version evaluated {', '.join(scores.without_digests)}: that the references are the same is "
            "known from the size of each label only. Evaluate again to make sure."
        )
    if scores.tolerance_mm is not None:
        sentences.append(f"Surface Dice at a tolerance of {scores.tolerance_mm:g} mm.")
    excluded = {arm: len(cases) for arm, cases in scores.excluded.items() if cases}
    if excluded:
        sentences.append(f"Cases that `evaluate` could not score, in no arm compared: {_counts(excluded)}.")
    return sentences


def split_tables(comparisons: Iterable[Comparison]) -> list[tuple[str, str, list[Comparison]]]:
    """Return (clean-up, stratum, rows) of every table, in order."""
    tables: dict[tuple[str, str], list[Comparison]] = {}
    for row in comparisons:
        tables.setdefault((row.clean_up, row.stratum), []).append(row)
    return [(*key, rows) for key, rows in tables.items()]


def table_title(clean_up: str, stratum: str) -> str:
    """Return the heading of a table."""
    cases = "All cases" if stratum == ALL_CASES else stratum
    return f"{cases}, {'no clean-up' if clean_up == NO_CLEAN_UP else f'{clean_up} of every label kept'}"


def table_cells(
    scores: PairedScores, rows: Sequence[Comparison], labels: Sequence[str] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of one table: a line per metric and label, all arms, then the difference of each arm.

    Args:
        scores: aligned scores.
        rows: of the table.
        labels: to show; None shows all.
    """
    by_key = {(row.metric, row.label, row.arm): row for row in rows}
    header = ["metric", "label", "n", *scores.arms]
    for arm in scores.arms[1:]:
        header += [f"{arm} − {scores.arms[0]} [95 % CI]", "p", "p Holm", "wins/ties/losses"]
    lines = [(metric, label) for metric in METRICS for label in (scores.labels if labels is None else labels)]
    lines += [(metric, WHOLE_CASE) for metric in CASE_METRIC_TITLES if (metric, WHOLE_CASE, scores.arms[0]) in by_key]
    titles = METRIC_TITLES | CASE_METRIC_TITLES
    body = []
    for metric, label in lines:
        arms = [by_key[metric, label, arm] for arm in scores.arms]
        cells = [titles[metric], scores.title(label), str(arms[0].num_cases), *map(format_arm, arms)]
        for row in arms[1:]:
            cells += [_interval(row), format_p(row.p_value), format_p(row.p_holm), _wins(row)]
        body.append(cells)
    return header, body


def format_arm(row: Comparison) -> str:
    """Return "mean ± SD (median)"; empty where no case applies."""
    if row.mean is None or row.median is None:
        return ""
    return f"{format_score(row.mean, row.metric)}{_sd(row)} ({format_score(row.median, row.metric)})"


def format_mean(row: Comparison) -> str:
    """Return "mean ± SD", as published tables have it."""
    return "" if row.mean is None else f"{format_score(row.mean, row.metric)}{_sd(row)}"


def format_score(value: float, metric: str, *, signed: bool = False) -> str:
    """Return a score with the digits of its metric: 3 for overlap, 2 for mm."""
    text = f"{value:{'+' if signed else ''}.{2 if metric.endswith('_mm') else 3}f}"
    return text.replace("-", "−")


def format_p(value: float | None) -> str:
    """Return p with three digits; empty where no test is possible."""
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def escape_tex(text: str) -> str:
    """Return text that LaTeX prints as it stands."""
    return "".join(_TEX.get(character, character) for character in text)


def _markdown_table(scores: PairedScores, rows: Sequence[Comparison], labels: Sequence[str] | None = None) -> str:
    header, body = table_cells(scores, rows, labels)
    rule = ["---", "---"] + ["---:"] * (len(header) - 2)
    return "\n".join(
        "| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in (header, rule, *body)
    )


def _published_parts(
    scores: PairedScores, comparisons: Sequence[Comparison], published: Sequence[PublishedTable]
) -> list[str]:
    parts = []
    for table in published:
        parts += ["", render_published(table, ours=our_rows(table, scores, comparisons))]
    return parts


def our_rows(table: PublishedTable, scores: PairedScores, comparisons: Sequence[Comparison]) -> dict[str, list[str]]:
    """Return, for every arm, mean ± SD in the columns of a published table that we measure too; empty if in none.

    Columns are matched by the label's name ("LV") and, where they are of one phase, by that phase in groups.csv.
    """
    by_key = {(row.metric, row.label, row.stratum, row.arm): row for row in comparisons if row.clean_up == NO_CLEAN_UP}
    names = {name.casefold(): label for label, name in scores.label_names.items()}
    phases = {stratum.casefold(): stratum for stratum in scores.strata if stratum != ALL_CASES}
    rows = {}
    for arm in scores.arms:
        cells = []
        for column in table.columns:
            label = next((names[name.casefold()] for name in column.structures if name.casefold() in names), None)
            stratum = phases.get(f"phase {column.phase}".casefold(), "") if column.phase else ALL_CASES
            row = by_key.get((column.metric or "", label or "", stratum, arm))
            cells.append(format_mean(row) if row else "")
        if any(cells):
            rows[arm] = cells
    return rows


def _tex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(escape_tex, cells)) + r" \\"


def _escape_comment(text: str) -> str:
    return " ".join(text.split())


def _sd(row: Comparison) -> str:
    return "" if row.sd is None else f" ± {format_score(row.sd, row.metric)}"


def _interval(row: Comparison) -> str:
    if row.mean_difference is None:
        return ""
    difference = format_score(row.mean_difference, row.metric, signed=True)
    if row.ci_low is None or row.ci_high is None:
        return difference
    low, high = (format_score(end, row.metric, signed=True) for end in (row.ci_low, row.ci_high))
    return f"{difference} [{low}, {high}]"


def _wins(row: Comparison) -> str:
    return f"{row.wins}/{row.ties}/{row.losses}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{arm} {count}" for arm, count in counts.items())
