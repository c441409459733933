"""`plausibility.csv`: one row a prediction, what was measured and what it comes to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from acnn_nnunet.files import tables

SCORED, EMPTY, EXCLUDED = "scored", "empty", "excluded"


@dataclass(frozen=True)
class PlausibilityRow:
    """What is known of a prediction.

    Attributes:
        case: file name without ending.
        status: scored, empty (least plausible) or excluded (for `reason`).
        scores: by the names of `calibration.SCORES`.
        violations: by the rules' names.
        outside_share: share of the anatomy beyond the prior's grid.
        plausibility: expected mean Dice; None without a calibration.
        flagged: whether somebody should look at it; None without a calibration.
        dice, hausdorff_mm: true means over the labels, where there was a reference.
        reason: why it is excluded.
    """

    case: str
    status: str
    scores: dict[str, float] = field(default_factory=dict)
    violations: dict[str, float | None] = field(default_factory=dict)
    outside_share: float | None = None
    plausibility: float | None = None
    flagged: bool | None = None
    dice: float | None = None
    hausdorff_mm: float | None = None
    reason: str = ""


def least_plausible_first(rows: Sequence[PlausibilityRow]) -> list[PlausibilityRow]:
    """Return rows in the order of looking at them: the less plausible the earlier, excluded ones last.

    Without a calibration the Dice of the reconstruction takes the plausibility's place.
    """

    def order(row: PlausibilityRow) -> tuple[bool, bool, float, str]:
        value = row.plausibility if row.plausibility is not None else row.scores.get("reconstruction_dice", 0.0)
        return row.status == EXCLUDED, row.status != EMPTY, value, row.case

    return sorted(rows, key=order)


def write_table(
    path: Path, rows: Sequence[PlausibilityRow], *, score_names: Sequence[str], rule_names: Sequence[str]
) -> None:
    """Write the table atomically, least plausible first, floats with full precision; empty where nothing applies.

    Raises:
        OSError: if it cannot be written.
    """
    rows = least_plausible_first(rows)
    truth = ("dice", "hausdorff_mm") if any(row.dice is not None for row in rows) else ()
    columns = tables.columns_of(rows, ("case", "status", "plausibility", "flagged", *truth))
    columns |= {name: [row.scores.get(name) for row in rows] for name in score_names}
    columns |= tables.columns_of(rows, ("outside_share",))
    columns |= {name: [row.violations.get(name) for row in rows] for name in rule_names}
    columns |= tables.columns_of(rows, ("reason",))
    tables.write_table(path, columns)
