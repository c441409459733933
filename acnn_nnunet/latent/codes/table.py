"""Tables of codes: one row a case, with whose and of which phase and group it is."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from acnn_nnunet.files.patients import COLUMNS as CASE_COLUMNS
from acnn_nnunet.files.patients import CaseGroup
from acnn_nnunet.files.safe_writes import replace_atomically, write_text

CSV_ENDING, PARQUET_ENDING = ".csv", ".parquet"
_NAMED_PHASE = re.compile(r"(?P<patient>.+)_(?P<phase>ED|ES)", re.IGNORECASE)


@dataclass(frozen=True)
class CodeTable:
    """Codes of cases.

    Attributes:
        cases: name, patient, phase and group of each; the last three are empty where they are unknown.
        codes: (N, K), finite.
        excluded: cases without a code, with the reason.
    """

    cases: tuple[CaseGroup, ...]
    codes: np.ndarray
    excluded: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError if there is not one code for each case."""
        if self.codes.ndim != 2 or len(self.codes) != len(self.cases):
            raise ValueError(f"{len(self.cases)} cases cannot have codes of shape {self.codes.shape}.")


def collect_codes(cases: Sequence[CaseGroup], codes: np.ndarray, excluded: Mapping[str, str]) -> CodeTable:
    """Return the table of cases and their codes (N, K); a code that is not finite excludes its case."""
    codes = np.asarray(codes)
    finite = np.isfinite(codes).all(1)
    lost = {row.case: "its code is not finite" for row, good in zip(cases, finite, strict=True) if not good}
    kept = tuple(row for row, good in zip(cases, finite, strict=True) if good)
    return CodeTable(kept, codes[finite], {**excluded, **lost})


def describe_case(case: str, groups: Sequence[CaseGroup] = ()) -> CaseGroup:
    """Return patient, phase and group of a case: from a row of `groups`, else from a name such as patient001_ED.

    Where only another case of the patient has a row, its group counts.
    """
    named = _NAMED_PHASE.fullmatch(case)
    patient, phase = (named["patient"], named["phase"].upper()) if named else ("", "")
    row = next((row for row in groups if row.case == case), None)
    if row is None:
        group = next((row.group for row in groups if patient and row.patient == patient), "")
        return CaseGroup(case=case, patient=patient, phase=phase, group=group)
    # A table without the column makes each case its own patient.
    patient = patient if row.patient == case and patient else row.patient
    return CaseGroup(case=case, patient=patient, phase=row.phase or phase, group=row.group)


def write_codes(path: Path, table: CodeTable) -> None:
    """Write a table as CSV, or as Parquet by a name that ends so.

    Raises:
        ValueError: for Parquet without pandas and pyarrow.
        OSError: if it cannot be written.
    """
    path = Path(path)
    columns = [*CASE_COLUMNS, *(f"code_{k}" for k in range(table.codes.shape[1]))]
    if path.suffix.lower() == PARQUET_ENDING:
        _write_parquet(path, columns, table)
        return
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row, code in zip(table.cases, table.codes, strict=True):
        # Nine digits tell every float32 from its neighbours.
        writer.writerow([row.case, row.patient, row.phase, row.group, *(f"{value:.9g}" for value in code)])
    write_text(path, text.getvalue())


def read_codes(path: Path) -> CodeTable:
    """Read a table that `write_codes` wrote; cases whose code is not finite are excluded.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming file and line, if it is no such table, a case has no name or comes twice, or a value is no
            number; for Parquet without pandas and pyarrow.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: acnn-nnunet codes writes it.")
    header, rows = _read_parquet(path) if path.suffix.lower() == PARQUET_ENDING else _read_csv(path)
    size = len(header) - len(CASE_COLUMNS)
    expected = [*CASE_COLUMNS, *(f"code_{k}" for k in range(size))]
    if size < 1 or header != expected:
        raise ValueError(
            f"{path} is no table of codes: its columns must be {', '.join(CASE_COLUMNS)}, code_0, code_1 and so on."
        )
    cases, codes = [], np.empty((len(rows), size))
    line_of: dict[str, int] = {}
    for index, (line, row) in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"{path}, line {line}: {len(row)} values, where the header has {len(header)}.")
        case = CaseGroup(*(word.strip() for word in row[: len(CASE_COLUMNS)]))
        if not case.case:
            raise ValueError(f"{path}, line {line}: the case has no name.")
        if case.case in line_of:
            raise ValueError(f"{path}, line {line}: case {case.case} is there already, in line {line_of[case.case]}.")
        line_of[case.case] = line
        try:
            codes[index] = [float(word) for word in row[len(CASE_COLUMNS) :]]
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: a code holds what is no number ({error}).") from None
        cases.append(case)
    return collect_codes(cases, codes, {})


def require_parquet() -> None:
    """Raise ValueError, with the remedy, if Parquet can be neither written nor read."""
    try:
        import pandas  # noqa: F401
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ValueError(f"Parquet needs {error.name}: pip install pandas pyarrow, or name a .csv file.") from None


def _write_parquet(path: Path, columns: Sequence[str], table: CodeTable) -> None:
    require_parquet()
    import pandas

    words = [[getattr(row, column) for row in table.cases] for column in CASE_COLUMNS]
    frame = pandas.DataFrame(dict(zip(columns, [*words, *table.codes.T], strict=True)))
    replace_atomically(path, lambda partial: frame.to_parquet(partial, index=False))


def _read_parquet(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    require_parquet()
    import pandas
    import pyarrow

    try:
        frame = pandas.read_parquet(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is no Parquet file ({error}).") from error
    return list(frame.columns), [(i, [str(v) for v in row]) for i, row in enumerate(frame.to_numpy(), start=1)]


def _read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            return header, [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV text file ({error}).") from error
