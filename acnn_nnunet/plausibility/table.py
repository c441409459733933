"""`plausibility.csv`: one row per prediction, its scores and what they come to, per structure and for the case."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from acnn_nnunet.files import tables

SCORED, EMPTY, EXCLUDED = "scored", "empty", "excluded"


class Estimate(NamedTuple):
    """An expected value and its prediction interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Structure:
    """What is known of one label or region of a prediction.

    Attributes:
        present: whether the prediction holds it.
        scores: by the names of `estimates.BADNESS`.
        in_reference: whether the reference holds it; None without one.
        dice, hausdorff_mm: true ones, where there was a reference and either map holds the structure.
        expected_dice, expected_hausdorff_mm: with prediction intervals; None without a calibration of the structure.
        flagged: whether somebody should look at it; None without a calibration of it.
        shortfall: by score, how far it lowers the logit of the expected Dice below that of a mean case.
    """

    present: bool
    scores: dict[str, float] = field(default_factory=dict)
    in_reference: bool | None = None
    dice: float | None = None
    hausdorff_mm: float | None = None
    expected_dice: Estimate | None = None
    expected_hausdorff_mm: Estimate | None = None
    flagged: bool | None = None
    shortfall: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PlausibilityRow:
    """What is known of a prediction.

    Attributes:
        case: file name without ending.
        status: scored, empty (least plausible) or excluded (for `reason`).
        structures: by the labels' names.
        scores: of the whole case, by the names of `estimates.BADNESS`.
        violations: by the rules' names, 0 to 1; None where the rule's structure is not predicted.
        outside_share: share of the anatomy beyond the prior's grid; None without a prior.
        diagonal_mm: of the image: what a miss costs.
        slice_number: of the slice where prediction and members, or reconstruction, differ most, from 1.
        plausibility: mean of the structures' expected Dice; None without a calibration.
        flagged: whether any structure is, or nothing is predicted; None without a calibration.
        dice, hausdorff_mm: true means over the structures, where there was a reference.
        reason: why it is excluded.
    """

    case: str
    status: str
    structures: dict[str, Structure] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    violations: dict[str, float | None] = field(default_factory=dict)
    outside_share: float | None = None
    diagonal_mm: float = 0.0
    slice_number: int | None = None
    plausibility: float | None = None
    flagged: bool | None = None
    dice: float | None = None
    hausdorff_mm: float | None = None
    reason: str = ""

    @property
    def worst_structure(self) -> str:
        """The structure that lies furthest below a mean case; empty without a calibration."""
        falls = {
            name: sum(each.shortfall.values()) if each.present else float("inf")
            for name, each in self.structures.items()
            if each.expected_dice is not None
        }
        return max(falls, key=lambda name: falls[name], default="")

    def as_plain(self) -> dict[str, Any]:
        """Return the dictionary that `from_plain` reads."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "PlausibilityRow":
        """Read what `as_plain` wrote."""
        return cls(**{**plain, "structures": {name: Structure(**each) for name, each in plain["structures"].items()}})


def least_plausible_first(rows: Iterable[PlausibilityRow]) -> list[PlausibilityRow]:
    """Return rows in the order of looking at them: the less plausible the earlier, excluded ones last.

    Without a calibration the smallest Dice of any structure with another member, or with its reconstruction, decides,
    and with rules alone by how much they are broken.
    """

    def order(row: PlausibilityRow) -> tuple[bool, bool, float, str]:
        dice = [value for each in row.structures.values() for name, value in each.scores.items() if "_dice" in name]
        broken = sum(each or 0.0 for each in row.violations.values())
        value = row.plausibility if row.plausibility is not None else min(dice, default=-broken)
        return row.status == EXCLUDED, row.status != EMPTY, value, row.case

    return sorted(rows, key=order)


def write_table(
    path: Path,
    rows: Sequence[PlausibilityRow],
    *,
    structure_names: Sequence[str],
    score_names: Sequence[str],
    case_score_names: Sequence[str],
    rule_names: Sequence[str],
) -> None:
    """Write the table atomically, least plausible first, floats with full precision; empty where nothing applies.

    Raises:
        OSError: if it cannot be written.
    """
    rows = least_plausible_first(rows)
    truth = ("dice", "hausdorff_mm") if any(row.dice is not None for row in rows) else ()
    columns = tables.columns_of(rows, ("case", "status", "plausibility", "flagged", "worst_structure", "slice_number"))
    columns |= tables.columns_of(rows, truth)
    for name in structure_names:
        each = [row.structures.get(name) for row in rows]
        columns |= _columns_of_structure(name, each, truth=truth, score_names=score_names)
    columns |= {name: [row.scores.get(name) for row in rows] for name in case_score_names}
    columns |= tables.columns_of(rows, ("outside_share",))
    columns |= {name: [row.violations.get(name) for row in rows] for name in rule_names}
    columns |= tables.columns_of(rows, ("reason",))
    tables.write_table(path, columns)


def _columns_of_structure(
    name: str, structures: Sequence[Structure | None], *, truth: Sequence[str], score_names: Sequence[str]
) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for measure in ("expected_dice", "expected_hausdorff_mm"):
        estimates = [None if each is None else getattr(each, measure) for each in structures]
        for index, ending in enumerate(("", "_low", "_high")):
            columns[f"{name}_{measure}{ending}"] = [None if each is None else each[index] for each in estimates]
    for attribute in ("flagged", *truth):
        columns[f"{name}_{attribute}"] = [None if each is None else getattr(each, attribute) for each in structures]
    for score in score_names:
        columns[f"{name}_{score}"] = [None if each is None else each.scores.get(score) for each in structures]
    return columns
