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
PRIOR_COLUMN = "prior"
_HASH_DIGITS = 16
_NAMED_PHASE = re.compile(r"(?P<patient>.+)_(?P<phase>ED|ES)", re.IGNORECASE)


@dataclass(frozen=True)
class CodeTable:
    """Codes of cases.

    Attributes:
        cases: name, patient, phase and group of each; the last three are empty where they are unknown.
        codes: (N, K), finite.
        excluded: cases without a code, with the reason.
        prior: `prior_mark` of the prior that made the codes; empty where it is not known.
        cut_off: cases whose anatomy reaches beyond the prior's grid, so that their codes are of a part of it; empty
            where it is not known.
    """

    cases: tuple[CaseGroup, ...]
    codes: np.ndarray
    excluded: Mapping[str, str] = field(default_factory=dict)
    prior: str = ""
    cut_off: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError if there is not one code for each case."""
        if self.codes.ndim != 2 or len(self.codes) != len(self.cases):
            raise ValueError(f"{len(self.cases)} cases cannot have codes of shape {self.codes.shape}.")


def prior_mark(sha256: str) -> str:
    """Return what tables of codes say of the prior that made them: the first digits of its file's hash."""
    return sha256[:_HASH_DIGITS]


def collect_codes(
    cases: Sequence[CaseGroup], codes: np.ndarray, excluded: Mapping[str, str], *, prior: str = ""
) -> CodeTable:
    """Return the table of cases and their codes (N, K); a code that is not finite excludes its case."""
    codes = np.asarray(codes)
    finite = np.isfinite(codes).all(1)
    lost = {row.case: "its code is not finite" for row, good in zip(cases, finite, strict=True) if not good}
    kept = tuple(row for row, good in zip(cases, finite, strict=True) if good)
    return CodeTable(kept, codes[finite], {**excluded, **lost}, prior)


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


def write_code_rows(
    path: Path, rows: Iterable[tuple[CaseGroup, Sequence[float]]], *, code_size: int, prior: str = ""
) -> None:
    """Write cases and their codes, row by row, as CSV, or as Parquet by a name that ends so.

    Args:
        path: file to write.
        rows: case and code of each.
        code_size: numbers of a code.
        prior: `prior_mark` of the prior that made them, the last column; without it there is none.

    Raises:
        ValueError: for Parquet without pyarrow.
        OSError: if it cannot be written.
    """
    kinds: dict[str, type] = {**dict.fromkeys(CASE_COLUMNS, str)}
    kinds |= {f"code_{k}": np.float32 for k in range(code_size)}
    kinds |= {PRIOR_COLUMN: str} if prior else {}
    last = [prior] if prior else []
    cells = ([*(getattr(case, name) for name in CASE_COLUMNS), *code, *last] for case, code in rows)
    write_rows(path, kinds, cells, float_format=_FLOAT_FORMAT)


def write_codes(path: Path, table: CodeTable) -> None:
    """Write a table as CSV, or as Parquet by a name that ends so.

    Raises:
        ValueError: for Parquet without pyarrow.
        OSError: if it cannot be written.
    """
    rows = zip(table.cases, table.codes.tolist(), strict=True)
    write_code_rows(path, rows, code_size=table.codes.shape[1], prior=table.prior)


def read_codes(path: Path) -> CodeTable:
    """Read a table that `write_codes` wrote; a code that is not finite excludes its case.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming file and line, if it is no such table, a case has no name or comes twice, a value is no
            number, or its codes are of several priors; for Parquet without pyarrow.
    """
    table = read_table(path, made_by="acnn-nnunet codes writes it.")
    last = [PRIOR_COLUMN] if table.columns[-1:] == [PRIOR_COLUMN] else []
    size = len(table.columns) - len(CASE_COLUMNS) - len(last)
    if size < 1 or table.columns != [*CASE_COLUMNS, *(f"code_{k}" for k in range(size)), *last]:
        raise ValueError(
            f"{path} is no table of codes: its columns must be {', '.join(CASE_COLUMNS)}, code_0, code_1 and so on."
        )
    cases, codes = [], np.empty((len(table.lines), size))
    line_of: dict[str, int] = {}
    prior = None
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
            codes[index] = [float(word) for word in row[len(CASE_COLUMNS) : len(CASE_COLUMNS) + size]]
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: a code holds what is no number ({error}).") from None
        mark = row[-1].strip() if last else ""
        if mark != (prior := mark if prior is None else prior):
            raise ValueError(f"{path}, line {line}: a code of the prior {mark or '(none)'} among those of {prior}.")
        cases.append(case)
    return collect_codes(cases, codes, {}, prior=prior or "")
