"""Tables of codes: one row per case, with its patient, phase and group."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from acnn_nnunet.files.patients import COLUMNS as CASE_COLUMNS
from acnn_nnunet.files.patients import CaseGroup
from acnn_nnunet.files.tables import read_table, write_rows

_FLOAT_FORMAT = "%.9g"  # nine digits tell every float32 from its neighbours
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


class KnownCases:
    """Patient, phase and group of cases, from the rows of a groups.csv or from names such as patient001_ED."""

    def __init__(self, groups: Sequence[CaseGroup] = ()) -> None:
        self._rows: dict[str, CaseGroup] = {}
        self._groups: dict[str, str] = {}
        for row in groups:
            self._rows.setdefault(row.case, row)
            self._groups.setdefault(row.patient, row.group)

    def describe(self, case: str) -> CaseGroup:
        """Return the row of a case; where only another case of the patient has one, its group counts."""
        named = _NAMED_PHASE.fullmatch(case)
        patient, phase = (named["patient"], named["phase"].upper()) if named else ("", "")
        row = self._rows.get(case)
        if row is None:
            group = self._groups.get(patient, "") if patient else ""
            return CaseGroup(case=case, patient=patient, phase=phase, group=group)
        # A table without the column makes each case its own patient.
        patient = patient if row.patient == case and patient else row.patient
        return CaseGroup(case=case, patient=patient, phase=row.phase or phase, group=row.group)


def write_code_rows(path: Path, rows: Iterable[tuple[CaseGroup, Sequence[float]]], *, code_size: int) -> None:
    """Write cases and their codes, row by row, as CSV, or as Parquet by a name that ends so.

    Raises:
        ValueError: for Parquet without pyarrow.
        OSError: if it cannot be written.
    """
    kinds: dict[str, type] = {**dict.fromkeys(CASE_COLUMNS, str)}
    kinds |= {f"code_{k}": np.float32 for k in range(code_size)}
    cells = ([*(getattr(case, name) for name in CASE_COLUMNS), *code] for case, code in rows)
    write_rows(path, kinds, cells, float_format=_FLOAT_FORMAT)


def write_codes(path: Path, table: CodeTable) -> None:
    """Write a table as CSV, or as Parquet by a name that ends so.

    Raises:
        ValueError: for Parquet without pyarrow.
        OSError: if it cannot be written.
    """
    write_code_rows(path, zip(table.cases, table.codes.tolist(), strict=True), code_size=table.codes.shape[1])


def read_codes(path: Path) -> CodeTable:
    """Read a table that `write_codes` wrote; a code that is not finite excludes its case.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming file and line, if it is no such table, a case has no name or comes twice, or a value is no
            number; for Parquet without pyarrow.
    """
    table = read_table(path, made_by="acnn-nnunet codes writes it.")
    size = len(table.columns) - len(CASE_COLUMNS)
    if size < 1 or table.columns != [*CASE_COLUMNS, *(f"code_{k}" for k in range(size))]:
        raise ValueError(
            f"{path} is no table of codes: its columns must be {', '.join(CASE_COLUMNS)}, code_0, code_1 and so on."
        )
    cases, codes = [], np.empty((len(table.lines), size))
    line_of: dict[str, int] = {}
    for index, (line, row) in enumerate(table.lines):
        if len(row) != len(table.columns):
            raise ValueError(f"{path}, line {line}: {len(row)} values, where the header has {len(table.columns)}.")
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
