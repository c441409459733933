"""`refined.csv`: what a refinement did to each case."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.journal import Entries
from acnn_nnunet.files import tables

EXCLUDED = "excluded"
"""A case whose files cannot be used: nothing is written for it."""

MEASURES = ("resemblance", "mahalanobis")
_CHANGES = {"changed_voxels": "voxels", "dice_with_prediction": "dice", "first_slice": "first_slice"}
_CHANGES |= {"last_slice": "last_slice"}


@dataclass(frozen=True)
class RefinedRow:
    """One case.

    Attributes:
        case: file name without ending.
        status: `refined`; `repaired`: it broke rules; `kept`: the calibration expects no gain, or it kept the rules;
            `left`: not of the prior's kind, or no repair was found; `excluded`.
        reason: in words, where it is not refined.
        soft: whether there were probabilities.
        changes: the fields of `Changes`; none of an excluded case.
        measures: by the names of `MEASURES`.
    """

    case: str
    status: str
    reason: str = ""
    soft: bool = False
    changes: dict[str, Any] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)


class RefinedRows:
    """The row of each case, read from the journal each time they are iterated over: never all in memory."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def __iter__(self) -> Iterator[RefinedRow]:
        return map(row_of, self._entries)


def write_table(path: Path, rows: Iterable[RefinedRow], *, label_names: Sequence[str]) -> None:
    """Write the table atomically, row by row; a cell is empty where nothing applies.

    Raises:
        OSError: if it cannot be written.
    """
    per_label = [(name, what) for name in label_names for what in ("added_ml", "removed_ml")]
    columns = ["case", "status", "probabilities", *_CHANGES, *(f"{name}_{what}" for name, what in per_label)]
    columns += [*MEASURES, "reason"]

    def cells(row: RefinedRow) -> list[Any]:
        found: list[Any] = [row.case, row.status, "yes" if row.soft else "no"]
        found += [row.changes.get(name) for name in _CHANGES.values()]
        found += [row.changes.get(what, {}).get(name) for name, what in per_label]
        return [*found, *(row.measures.get(name) for name in MEASURES), row.reason]

    tables.write_rows(path, dict.fromkeys(columns, str), map(cells, rows))


def row_of(entry: Mapping[str, Any]) -> RefinedRow:
    """Return the row of a case out of its journal's entry."""
    if entry["error"] is not None:
        return RefinedRow(entry["case"], EXCLUDED, reason=entry["error"])
    return RefinedRow(**entry["row"])
