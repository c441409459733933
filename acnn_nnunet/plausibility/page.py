"""The page of `plausibility`: which case, structure and slice to look at, why, and what a review brings."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.pages.page import figure_data_uri, format_number, new_figure, render_page
from acnn_nnunet.pages.viewer import viewer_block
from acnn_nnunet.plausibility.calibration import Calibration
from acnn_nnunet.plausibility.measures import risk_curve
from acnn_nnunet.plausibility.slices import KeptSlice
from acnn_nnunet.plausibility.table import (
    EMPTY,
    EXCLUDED,
    Estimate,
    PlausibilityRow,
)

SCORE_TITLES = {
    "members_dice": "Dice between members",
    "members_distance_mm": "distance between members, mm",
    "reconstruction_dice": "reconstruction Dice",
    "reconstruction_distance_mm": "reconstruction distance, mm",
    "rule_violation": "rules broken by, sum",
    "mahalanobis": "distance of the code (Mahalanobis)",
    "thinness_per_mm": "thinness (surface over volume), 1/mm",
    "volume_ml": "volume, ml",
}
DIGITS = {"members_dice": 3, "reconstruction_dice": 3, "rule_violation": 3, "volume_ml": 1}
SOURCE_TITLES = {"members": "members alone", "prior": "prior alone", "rules": "rules alone"}
_NUM_PICTURES, _NUM_UNCALIBRATED, _NUM_REASONS = 24, 12, 3
_MOST_CELLS = 20_000  # of the page's table: browsers are slow on more, and the CSV file has them all
_MOST_STRUCTURES = 12  # of a picture's caption


@dataclass(frozen=True)
class PageParts:
    """What the page says of a run.

    Attributes:
        folder: of the predictions.
        members: folders of the members.
        prior: the shape prior, or None.
        calibrated_here: whether the calibration was made from these very predictions.
        structure_names, score_names, case_score_names, rule_names: what the table has columns of.
    """

    folder: Path
    members: Sequence[Path]
    prior: Any
    calibrated_here: bool
    structure_names: Sequence[str]
    score_names: Sequence[str]
    case_score_names: Sequence[str]
    rule_names: Sequence[str]


def cases_to_show(rows: Iterable[PlausibilityRow], calibration: Calibration | None) -> list[str]:
    """Return the cases that the page has pictures of, of rows in the order of looking at them.

    These are the first flagged ones, or without a calibration the first of all.
    """
    scored = (row for row in rows if row.status != EXCLUDED)
    shown = scored if calibration is None else (row for row in scored if row.flagged)
    return [row.case for row in islice(shown, _NUM_UNCALIBRATED if calibration is None else _NUM_PICTURES)]


def render_plausibility_page(
    rows: Iterable[PlausibilityRow],
    slices: Mapping[str, KeptSlice],
    calibration: Calibration | None,
    parts: PageParts,
    *,
    packed: Mapping[str, dict[str, Any]] | None = None,
) -> str:
    """Return the self-contained page.

    Args:
        rows: of all predictions, in the order of looking at them; iterated over several times.
        slices: of the cases to draw.
        calibration: that they were judged by, if any.
        parts: of the run.
        packed: cases for the viewer, by name.
    """
    num_columns = 5 + len(parts.structure_names) * (1 + len(parts.score_names)) + len(parts.case_score_names)
    most_listed = max(1, _MOST_CELLS // num_columns)
    cases, counts = set(cases_to_show(rows, calibration)), Counter[str]()
    listed: list[PlausibilityRow] = []
    shown, excluded = [], []
    for row in rows:
        if row.status == EXCLUDED:
            excluded.append(row)
            continue
        counts["scored"] += 1
        counts["flagged"] += bool(row.flagged)
        counts["unusual"] += bool(row.unusual)
        counts["empty"] += row.status == EMPTY
        counts["known"] += row.dice is not None
        if len(listed) < most_listed:
            listed.append(row)
        if row.case in cases:
            shown.append(_shown(row, slices.get(row.case)))
    return render_page(
        "plausibility.html",
        rows=listed,
        num_rows=counts["scored"],
        num_flagged=counts["flagged"],
        num_unusual=counts["unusual"],
        excluded=excluded,
        num_empty=counts["empty"],
        with_truth=bool(counts["known"]),
        calibration=calibration,
        recommendation="" if calibration is None else recommendation(calibration),
        scatter=_draw_truth(rows, calibration) if calibration is not None and parts.calibrated_here else None,
        score_titles=SCORE_TITLES,
        source_titles=SOURCE_TITLES,
        digits=DIGITS,
        broken={row.case: _broken(row) for row in listed},
        shown=shown,
        viewer=viewer_block(list((packed or {}).values())),
        in_viewer=set(packed or {}),
        parts=parts,
    )


def recommendation(calibration: Calibration) -> str:
    """Return the sentence on a source that does as well alone as everything together; empty if there is none."""
    measured = calibration.measured
    alone = {name: each["aurc"] for name, each in measured.get("alone", {}).items()}
    best = min(alone, key=lambda name: alone[name], default=None)
    if best is None or alone[best] > measured["aurc"]:
        return ""
    title = SOURCE_TITLES[best].capitalize()
    return (
        f"{title} order the calibration cases as well as all scores together (area under the risk-coverage curve "
        f"{alone[best]:.3f} against {measured['aurc']:.3f}): the others can be left out."
    )


def reasons(row: PlausibilityRow) -> list[str]:
    """Return why a case is implausible: the worst structure's largest contributions, largest first, at most three."""
    structure = row.structures.get(row.worst_structure)
    if structure is None:
        return []
    if not structure.present:
        return [f"{row.worst_structure} is missing"]
    largest = sorted(structure.shortfall.items(), key=lambda item: -item[1])[:_NUM_REASONS]
    scores = {**row.scores, **structure.scores}
    found = []
    for name, fall in largest:
        if fall > 0:
            value = format_number(scores.get(name), DIGITS.get(name, 2))
            found.append(f"{SCORE_TITLES[name]} {value}")
    return found


def _shown(row: PlausibilityRow, kept: KeptSlice | None) -> dict[str, Any]:
    """Return what the page says of a case that it shows."""
    expected = {name: each for name, each in row.structures.items() if each.expected_dice is not None}
    if len(expected) > _MOST_STRUCTURES:
        worst = sorted(expected, key=lambda name: -sum(expected[name].shortfall.values()))[:_MOST_STRUCTURES]
        expected = {name: expected[name] for name in worst}
    structures = [
        (name, _interval(each.expected_dice, 2), _interval(each.expected_hausdorff_mm, 1), bool(each.flagged))
        for name, each in expected.items()
    ]
    return {
        "case": row.case,
        "row": row,
        "structures": structures,
        "reasons": ["nothing is predicted"] if row.status == EMPTY else reasons(row),
        "unusual": _unusual(row),
        "broken": _broken(row),
        "picture": "" if kept is None else kept.draw(row.case),
        "line": "" if kept is None else kept.line,
    }


def _interval(estimate: Estimate | None, digits: int) -> str:
    """Return "0.81 (0.70 to 0.88)", or what of it is known."""
    if estimate is None:
        return "–"
    value, low, high = (format_number(each, digits) for each in estimate)
    return value if estimate.low is None else f"{value} ({low} to {high})"


def _unusual(row: PlausibilityRow) -> str:
    """Return what is unlike the calibration's predictions; empty if nothing is."""
    if not row.unusual:
        return ""
    return f"unlike the calibration's predictions: {row.strangest_structure} (novelty {format_number(row.novelty, 1)})"


def _broken(row: PlausibilityRow) -> str:
    """Return the rules that a case breaks, the most broken first."""
    broken = sorted(((value, name) for name, value in row.violations.items() if value), reverse=True)
    return ", ".join(f"{name} ({value:.1%})" for value, name in broken)


def _draw_truth(rows: Iterable[PlausibilityRow], calibration: Calibration) -> str:
    """Draw the true Dice of every case over its plausibility, and the risk-coverage curve."""
    known = [(row.plausibility, row.dice) for row in rows if row.plausibility is not None and row.dice is not None]
    points = np.array(known, dtype=np.float64)
    figure = new_figure(9.2, 4.2)
    axis, curve = figure.subplots(1, 2)
    axis.scatter(*points.T, s=14, color="#0072b2", alpha=0.7, lw=0)
    low = max(0.0, points.min() - 0.02)
    axis.plot([low, 1], [low, 1], color="#999", lw=0.8)
    axis.axhline(calibration.bad_dice, color="#e69f00", lw=1, ls="--", label="bad below")
    axis.set(xlim=(low, 1), ylim=(low, 1), xlabel="plausibility, by a fit without the patient", ylabel="true mean Dice")
    axis.legend(fontsize=8, frameon=False, loc="lower right")
    coverage, risk = risk_curve(*points.T)
    curve.plot(100 * coverage, risk, color="#0072b2")
    curve.set(xlabel="cases kept, most plausible first, %", ylabel="risk: mean 1 − Dice of these", ylim=(0, None))
    return figure_data_uri(figure)
