"""Clinical indices for people: a table of agreement, Bland–Altman and scatter plots."""

from typing import Any

from acnn_nnunet.evaluation.clinical.agreement import Agreement
from acnn_nnunet.evaluation.clinical.indices import MYOCARDIUM_G_PER_ML, ClinicalResult, Index
from acnn_nnunet.pages.page import LABEL_COLOURS, figure_data_uri, new_figure, render_page

_UNITS = {"percent": "%", "ml": "ml", "g": "g"}
_NO_GROUP = "no group"


def clinical_section(result: ClinicalResult) -> str:
    """Return the indices as a self-contained piece of HTML: a table, a pair of plots per index, and who is left out."""
    rows = [
        {
            "name": f"{index.name}, {_UNITS[index.unit]}",
            "group": group or "all",
            "agreement": result.agreement(index, group=group),
            "missed": sum(index.key in each.missed for each in result.patients if group in (None, each.group)),
        }
        for index in result.indices
        for group in (None, *result.groups)
    ]
    figures = [
        {"name": index.name, "source": figure_data_uri(draw_agreement(result, index), dpi=80)}
        for index in result.indices
        if result.pairs(index)
    ]
    return render_page(
        "clinical.html",
        num_patients=len(result.patients),
        rows=rows,
        figures=figures,
        excluded=result.excluded,
        unassigned_cases=result.unassigned_cases,
        density=MYOCARDIUM_G_PER_ML,
    )


def draw_agreement(result: ClinicalResult, index: Index) -> Any:
    """Return a matplotlib figure with a Bland–Altman plot and a scatter plot of an index, coloured by group."""
    figure = new_figure(9.0, 3.8)
    bland_altman, scatter = figure.subplots(1, 2)
    unit = _UNITS[index.unit]
    pairs = result.pairs(index)
    for number, group in enumerate(sorted({patient.group for patient, _, _ in pairs})):
        points = [(reference, prediction) for patient, reference, prediction in pairs if patient.group == group]
        style = {"s": 18, "color": LABEL_COLOURS[number % len(LABEL_COLOURS)], "label": group or _NO_GROUP}
        bland_altman.scatter([(r + p) / 2 for r, p in points], [p - r for r, p in points], **style)
        scatter.scatter([r for r, _ in points], [p for _, p in points], **style)
    agreement = result.agreement(index)
    _draw_limits(bland_altman, agreement)
    bland_altman.set(xlabel=f"mean of reference and prediction, {unit}", ylabel=f"prediction − reference, {unit}")
    ends = [end for _, reference, prediction in pairs for end in (reference, prediction)]
    if ends:
        scatter.plot([min(ends), max(ends)], [min(ends), max(ends)], color="#888888", linewidth=1, zorder=0)
    r = agreement.pearson_r
    scatter.set(xlabel=f"reference, {unit}", ylabel=f"prediction, {unit}", title="" if r is None else f"r = {r:.3f}")
    if result.groups:
        scatter.legend(fontsize=8)
    figure.suptitle(f"{index.name} ({agreement.n} patients)", fontsize=11)
    return figure


def _draw_limits(axes: Any, agreement: Agreement) -> None:
    """Draw bias and limits of agreement as lines and say them above."""
    if agreement.bias is None:
        return
    axes.axhline(agreement.bias, color="#444444", linewidth=1, zorder=0)
    title = f"bias {agreement.bias:.2f}"
    if agreement.lower_limit is not None and agreement.upper_limit is not None:
        for limit in (agreement.lower_limit, agreement.upper_limit):
            axes.axhline(limit, color="#444444", linestyle="--", linewidth=1, zorder=0)
        title += f", limits {agreement.lower_limit:.2f} to {agreement.upper_limit:.2f}"
    axes.set_title(title)
