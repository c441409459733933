"""`groups.csv`: which patient, phase and group each case of a dataset belongs to."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from acnn_nnunet.files.tables import columns_of, read_table, write_table

GROUPS_FILE = "groups.csv"


@dataclass(frozen=True)
class CaseGroup:
    """One row of the table.

    Attributes:
        case: the case's name, as in imagesTr without channel and ending.
        patient: whom the case is of; cases of one patient belong to the same fold.
        phase: ED or ES, or empty.
        group: the patient's group, such as a diagnosis, or empty where it is unknown.
    """

    case: str
    patient: str
    phase: str
    group: str


COLUMNS = tuple(field.name for field in fields(CaseGroup))


def write_groups(path: Path, rows: Iterable[CaseGroup]) -> None:
    """Write the table atomically.

    Raises:
        OSError: if it cannot be written.
    """
    write_table(path, columns_of(rows, COLUMNS))


def read_groups(path: Path) -> list[CaseGroup]:
    """Read a table with at least the columns case and group, in any order; further columns are ignored.

    Without a column patient, each case is its own patient; without a column phase, it has none.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming file and line, if it is no such table, a case has no name or comes twice, or a patient is in
            two groups.
    """
    table = read_table(path, made_by=f"it is a CSV file with the columns {', '.join(COLUMNS)}.")
    if missing := [column for column in ("case", "group") if column not in table.columns]:
        raise ValueError(f"{path}, line 1: the column {missing[0]} is missing; needed are case and group.")
    rows = [(where, _parse(cells, where)) for where, cells in table.rows()]
    _check(rows)
    return [row for _, row in rows]


def _parse(cells: dict[str, str], where: str) -> CaseGroup:
    case, patient, phase, group = (cells.get(column, "").strip() for column in COLUMNS)
    if not case:
        raise ValueError(f"{where}: the case has no name.")
    return CaseGroup(case=case, patient=patient or case, phase=phase, group=group)


def _check(rows: Iterable[tuple[str, CaseGroup]]) -> None:
    line_of: dict[str, str] = {}
    group_of: dict[str, str] = {}
    for where, row in rows:
        if row.case in line_of:
            raise ValueError(f"{where}: case {row.case} is there already, in {line_of[row.case]}.")
        line_of[row.case] = where.rpartition(", ")[2]
        if group_of.setdefault(row.patient, row.group) != row.group:
            raise ValueError(
                f"{where}: patient {row.patient} is in group {row.group!r} here and in {group_of[row.patient]!r} above."
            )
