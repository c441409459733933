"""Plausible or not: the slices and cases of a folder by its dataset's rules, and their table `anatomy.csv`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule, check_rules, slice_axis
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.tables import read_table, write_rows

ANATOMY_FILE = "anatomy.csv"
COLUMNS = ("case", "slices", "implausible_slices", "implausible")


@dataclass(frozen=True)
class CaseAnatomy:
    """How plausible a label map is.

    Attributes:
        case: name.
        slices: slices with a label; 0 where no rule is about slices.
        implausible_slices: those that break a rule.
        implausible: 1 if any rule is broken, else 0.
        violations: by the rules' names, 0 to 1; None where a rule does not apply.
    """

    case: str
    slices: int
    implausible_slices: int
    implausible: int
    violations: dict[str, float | None]


def judge_case(
    values: np.ndarray,
    geometry: Geometry,
    rules: Sequence[AnatomicalRule],
    *,
    label_values: Mapping[str, tuple[int, ...]],
    case: str = "",
) -> CaseAnatomy:
    """Check a label map `(Z, Y, X)` or `(Y, X)` against rules; an image of two axes is one slice."""
    checks = check_rules(
        values, rules, label_values=label_values, spacing_mm=geometry.spacing_mm, left_mm=geometry.left_mm
    )
    slices, broken = 0, 0
    if any(rule.in_plane for rule in rules):
        axis = slice_axis(geometry.spacing_mm)
        present = values > 0
        slices = int(np.count_nonzero(present.any(axis=tuple(i for i in range(values.ndim) if i != axis))))
        if axis is None:
            slices = int(present.any())
            broken = int(any(check.violation for check in checks if check.rule.in_plane))
        else:
            broken = len({index for check in checks for index in check.slices})
    implausible = int(any(check.violation for check in checks))
    return CaseAnatomy(case, slices, broken, implausible, {check.rule.name: check.violation for check in checks})


def write_anatomy(path: Path, cases: Iterable[CaseAnatomy], rules: Sequence[AnatomicalRule]) -> None:
    """Write one row per case and a column per rule; a cell is empty where a rule does not apply.

    Raises:
        OSError: if it cannot be written.
    """
    names = [rule.name for rule in rules]
    columns: dict[str, type] = {"case": str, **dict.fromkeys(COLUMNS[1:], int), **dict.fromkeys(names, float)}
    rows = ([*(getattr(case, name) for name in COLUMNS), *(case.violations[name] for name in names)] for case in cases)
    write_rows(path, columns, rows)


def read_anatomy(path: Path) -> dict[str, CaseAnatomy]:
    """Read a table that `write_anatomy` wrote, by case.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: naming file and line, if it is no such table.
    """
    table = read_table(path, made_by=f"`acnn-nnunet evaluate` writes it where rules are declared, into {path.parent}.")
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise ValueError(f"{path} lacks the column {missing[0]}: evaluate again.")
    rules = [column for column in table.columns if column not in COLUMNS]
    found = {}
    for where, row in table.rows():
        try:
            slices, implausible_slices, implausible = (int(row[column]) for column in COLUMNS[1:])
            violations = {rule: float(row[rule]) if row[rule] else None for rule in rules}
        except ValueError as error:
            raise ValueError(f"{where}: {error}; evaluate again.") from None
        found[row["case"]] = CaseAnatomy(row["case"], slices, implausible_slices, implausible, violations)
    return found


def summarise_anatomy(cases: Iterable[CaseAnatomy], rules: Sequence[AnatomicalRule]) -> dict[str, Any]:
    """Return what `summary.json` says: how many cases and slices are implausible, how many cases break each rule.

    `cases_it_applies_to` counts the cases to which each rule applies.
    """
    total: Counter[str] = Counter()
    broken, applies = Counter({rule.name: 0 for rule in rules}), Counter({rule.name: 0 for rule in rules})
    for case in cases:
        total.update(cases=1, implausible_cases=case.implausible)
        total.update(slices=case.slices, implausible_slices=case.implausible_slices)
        broken.update(name for name, value in case.violations.items() if value)
        applies.update(name for name, value in case.violations.items() if value is not None)
    return {
        "rules": [rule.as_plain() for rule in rules],
        **{key: total[key] for key in ("cases", "implausible_cases", "slices", "implausible_slices")},
        "cases_that_break": dict(broken),
        "cases_it_applies_to": dict(applies),
    }
