"""`plausibility.csv`: one row per prediction, its scores and what they come to, per structure and for the case."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from acnn_nnunet.files import tables

SCORED, EMPTY, EXCLUDED = "scored", "empty", "excluded"
_EXPECTED = ("expected_dice", "expected_hausdorff_mm")


class Estimate(NamedTuple):
    """An expected value and its prediction interval, which may be unknown."""

    value: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "Estimate":
        """Return it from value, low and high, NaN where they are unknown."""
        value, *ends = numbers
        return cls(value, *(None if math.isnan(end) else end for end in ends))


@dataclass(frozen=True)
class Structure:
    """What is known of one label or region of a prediction.

    Attributes:
        present: whether the prediction holds it.
        scores: by the names of `estimates.BADNESS`, and the volume.
        in_reference: whether the reference holds it; None without one.
        dice, hausdorff_mm: true ones, where there was a reference and either map holds the structure.
        expected_dice, expected_hausdorff_mm: with prediction intervals; None without a calibration of the structure.
        flagged: whether somebody should look at it; None without a calibration of it.
        shortfall: by score, how far it lowers the logit of the expected Dice below that of a mean case.
        novelty: how unlike the calibration's predictions it is (Mahalanobis distance); None without a calibration.
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
    novelty: float | None = None


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
        flagged: whether somebody should look at it; None without a calibration.
        unusual: whether it is unlike the calibration's predictions; None without a calibration.
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
    unusual: bool | None = None
    dice: float | None = None
    hausdorff_mm: float | None = None
    reason: str = ""

    def scores_for(self, name: str) -> dict[str, float]:
        """Return the scores that a structure is judged by: its own, and those of the whole case."""
        return {**self.scores, **self.structures[name].scores}

    @property
    def strangest_structure(self) -> str:
        """The structure that is most unlike the calibration's; empty without a calibration."""
        found = {name: each.novelty for name, each in self.structures.items() if each.novelty is not None}
        return max(found, key=lambda name: found[name], default="")

    @property
    def novelty(self) -> float | None:
        """The novelty of the structure that is most unlike the calibration's; None without a calibration."""
        name = self.strangest_structure
        return self.structures[name].novelty if name else None

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
    """Return rows in the order of looking at them: flagged ones first, excluded ones last.

    Among them, the less plausible come earlier.

    Without a calibration the smallest Dice of any structure with another member, or with its reconstruction, decides,
    and with rules alone by how much they are broken.
    """
    return sorted(rows, key=order_of)


def order_of(row: PlausibilityRow) -> tuple[bool, bool, bool, float, str]:
    """Return what rows are sorted by in `least_plausible_first`."""
    dice = [value for each in row.structures.values() for name, value in each.scores.items() if "_dice" in name]
    broken = sum(each or 0.0 for each in row.violations.values())
    value = row.plausibility if row.plausibility is not None else min(dice, default=-broken)
    return row.status == EXCLUDED, row.status != EMPTY, not row.flagged, value, row.case


def write_table(
    path: Path,
    rows: Iterable[PlausibilityRow],
    *,
    structure_names: Sequence[str],
    score_names: Sequence[str],
    case_score_names: Sequence[str],
    rule_names: Sequence[str],
) -> None:
    """Write the table atomically, floats with full precision; empty where nothing applies.

    Args:
        path: file to write.
        rows: in the order of looking at them; iterated over twice.
        structure_names: that have columns.
        score_names: of each structure.
        case_score_names: of the whole case.
        rule_names: of the rules.

    Raises:
        OSError: if it cannot be written.
    """
    truth = ("dice", "hausdorff_mm") if any(row.dice is not None for row in rows) else ()
    columns = ["case", "status", "plausibility", "flagged", "unusual", "worst_structure", "slice_number", *truth]
    of_structure = [f"{measure}{end}" for measure in _EXPECTED for end in ("", "_low", "_high")]
    of_structure += ["flagged", "novelty", *truth, *score_names]
    columns += [f"{name}_{each}" for name in structure_names for each in of_structure]
    columns += [*case_score_names, "outside_share", *rule_names, "reason"]

    def cells(row: PlausibilityRow) -> list[Any]:
        found: list[Any] = [getattr(row, name) for name in columns[:7]]
        found += [getattr(row, name) for name in truth]
        for name in structure_names:
            found += _cells_of_structure(row.structures.get(name), truth=truth, score_names=score_names)
        found += [row.scores.get(name) for name in case_score_names]
        return [*found, row.outside_share, *(row.violations.get(name) for name in rule_names), row.reason]

    tables.write_rows(path, dict.fromkeys(columns, str), map(cells, rows))


def _cells_of_structure(structure: Structure | None, *, truth: Sequence[str], score_names: Sequence[str]) -> list[Any]:
    if structure is None:
        return [None] * (3 * len(_EXPECTED) + 2 + len(truth) + len(score_names))
    found: list[Any] = []
    for measure in _EXPECTED:
        found += getattr(structure, measure) or [None] * 3
    found += [getattr(structure, name) for name in ("flagged", "novelty", *truth)]
    return found + [structure.scores.get(name) for name in score_names]
