"""`groups.csv`: which patient, phase and group each case of a dataset belongs to."""

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from acnn_nnunet.files.safe_writes import write_text

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
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *map(astuple, rows)])
    write_text(path, text.getvalue())


def read_groups(path: Path) -> list[CaseGroup]:
    """Read a table with at least the columns case and group, in any order; further columns are ignored.

    Without a column patient, each case is its own patient; without a column phase, it has none.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming file and line, if it is no such table, a case has no name or comes twice, or a patient is in
            two groups.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: it is a CSV file with the columns {', '.join(COLUMNS)}.")
    try:
        # Spreadsheets put a byte-order mark in front.
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            if missing := [column for column in ("case", "group") if column not in (table.fieldnames or ())]:
                raise ValueError(f"{path}, line 1: the column {missing[0]} is missing; needed are case and group.")
            rows = [(table.line_num, _parse(row, f"{path}, line {table.line_num}")) for row in table]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV text file ({error}).") from error
    _check(rows, path)
    return [row for _, row in rows]


def _parse(row: dict[str, str | None], where: str) -> CaseGroup:
    case, group = ((row[column] or "").strip() for column in ("case", "group"))
    if not case:
        raise ValueError(f"{where}: the case has no name.")
    patient = (row.get("patient") or "").strip() or case
    return CaseGroup(case=case, patient=patient, phase=(row.get("phase") or "").strip(), group=group)


def _check(rows: Iterable[tuple[int, CaseGroup]], path: Path) -> None:
    line_of: dict[str, int] = {}
    group_of: dict[str, str] = {}
    for line, row in rows:
        if row.case in line_of:
            raise ValueError(f"{path}, line {line}: case {row.case} is there already, in line {line_of[row.case]}.")
        line_of[row.case] = line
        if group_of.setdefault(row.patient, row.group) != row.group:
            raise ValueError(
                f"{path}, line {line}: patient {row.patient} is in group {row.group!r} here and in "
                f"{group_of[row.patient]!r} above."
            )
