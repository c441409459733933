"""`refined.csv`: what a refinement did to each case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acnn_nnunet.files import tables

EXCLUDED = "excluded"
"""A case whose files cannot be used: nothing is written for it."""

MEASURES = ("resemblance", "mahalanobis")


@dataclass(frozen=True)
class RefinedRow:
    """One case.

    Attributes:
        case: file name without ending.
        status: `refined`; `kept`: the calibration expects no gain; `left`: not of the prior's kind; `excluded`.
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


def write_table(path: Path, rows: Sequence[RefinedRow], *, label_names: Sequence[str]) -> None:
    """Write the table atomically; a cell is empty where nothing applies.

    Raises:
        OSError: if it cannot be written.
    """
    columns = tables.columns_of(rows, ("case", "status"))
    columns["probabilities"] = ["yes" if row.soft else "no" for row in rows]
    titles = {"changed_voxels": "voxels", "dice_with_prediction": "dice"}
    titles |= {"first_slice": "first_slice", "last_slice": "last_slice"}
    columns |= {title: [row.changes.get(name) for row in rows] for title, name in titles.items()}
    for name in label_names:
        for what in ("added_ml", "removed_ml"):
            columns[f"{name}_{what}"] = [row.changes.get(what, {}).get(name) for row in rows]
    columns |= {name: [row.measures.get(name) for row in rows] for name in MEASURES}
    columns["reason"] = [row.reason for row in rows]
    tables.write_table(path, columns)


def row_of(entry: Mapping[str, Any]) -> RefinedRow:
    """Return the row of a case out of its journal's entry."""
    if entry["error"] is not None:
        return RefinedRow(entry["case"], EXCLUDED, reason=entry["error"])
    return RefinedRow(**entry["row"])
