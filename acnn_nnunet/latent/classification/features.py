"""Features of patients: the codes of a prior, or one for each fold, and hand-made ones such as `clinical.csv`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acnn_nnunet.evaluation.clinical.indices import PREDICTION, REFERENCE, SIDES
from acnn_nnunet.files.tables import read_table
from acnn_nnunet.latent.classification.cohort import Cohort
from acnn_nnunet.latent.codes.table import CodeTable, read_codes

_FOLD_FILE = re.compile(r"fold_(\d+)\.csv")
_NOT_FEATURES = ("patient", "group")
# Features that end-diastole alone tells: lv_edv_reference_ml, myo_mass_reference_g, wall_thickness_ed_mm.
_END_DIASTOLIC, _END_SYSTOLIC = frozenset({"ed", "edv", "mass"}), frozenset({"es", "esv"})


@dataclass(frozen=True)
class HandMadeFeatures:
    """Features by patient.

    Attributes:
        path: the table.
        names: of the features.
        values: (D,) by patient; NaN where a cell is empty or no number.
    """

    path: Path
    names: tuple[str, ...]
    values: dict[str, np.ndarray]

    def end_diastolic(self) -> np.ndarray:
        """Return the indices of the features that need no second phase."""
        words = [set(re.split(r"[^a-z]+", name.lower())) for name in self.names]
        return np.flatnonzero([bool(_END_DIASTOLIC & each) and not _END_SYSTOLIC & each for each in words])


def read_hand_made(path: Path, *, side: str = REFERENCE) -> HandMadeFeatures:
    """Read a table with the column patient; every other column that has a name, but group, is a feature.

    Args:
        path: a CSV file.
        side: of clinical.csv, reference or prediction; columns of the other side are passed over.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if there is no column patient, no feature, or a patient comes twice.
    """
    table = read_table(path, made_by="`acnn-nnunet evaluate` writes clinical.csv.")
    other = PREDICTION if side == REFERENCE else REFERENCE
    assert side in SIDES
    names = tuple(
        name
        for name in table.columns
        # A column without a name is a spreadsheet's number of the row, which tells the order of the patients.
        if name.strip() and name not in _NOT_FEATURES and other not in name.split("_")
    )
    if "patient" not in table.columns or not names:
        raise ValueError(f"{path}, line 1: the column patient and at least one feature are needed.")
    values: dict[str, np.ndarray] = {}
    for where, row in table.rows():
        patient = row["patient"].strip()
        if patient in values:
            raise ValueError(f"{where}: patient {patient} is there already.")
        values[patient] = np.array([_number(row[name]) for name in names])
    return HandMadeFeatures(table.path, names, values)


def read_fold_codes(path: Path) -> list[CodeTable]:
    """Return the table of a file, or those of a folder's `fold_0.csv`, `fold_1.csv`, … in the order of the folds.

    Raises:
        FileNotFoundError: if there is no such file, or no `fold_0.csv` in the folder.
        ValueError: if a fold is missing, the folds' codes differ in length, one prior made those of two folds (its
            training cases are test cases of one), and as `read_codes`.
    """
    path = Path(path)
    if not path.is_dir():
        return [read_codes(path)]
    files = {int(match[1]): file for file in path.iterdir() if (match := _FOLD_FILE.fullmatch(file.name))}
    if missing := sorted(set(range(max(files, default=0) + 1)) - set(files)):
        raise FileNotFoundError(f"There is no fold_{missing[0]}.csv in {path}: each fold needs its table of codes.")
    tables = [read_codes(files[fold]) for fold in sorted(files)]
    made_by: dict[str, Path] = {}
    for fold, table in zip(sorted(files), tables, strict=True):
        if table.prior and (other := made_by.setdefault(table.prior, files[fold])) != files[fold]:
            raise ValueError(f"{files[fold]} and {other} hold codes of one prior: each fold needs that of its own.")
        if table.codes.shape[1] != tables[0].codes.shape[1]:
            raise ValueError(
                f"{files[fold]} has codes of length {table.codes.shape[1]}, {files[0]} of {tables[0].codes.shape[1]}."
            )
    return tables


def cases_with_codes(tables: Sequence[CodeTable]) -> dict[str, str]:
    """Return the cases of all tables, each with the reason against it; empty where every table has its code."""
    reasons: dict[str, str] = {}
    for table in tables:
        reasons |= dict.fromkeys((row.case for row in table.cases if row.case not in reasons), "")
        reasons |= table.excluded
    for table in tables:
        present = {row.case for row in table.cases} | set(table.excluded)
        reasons |= {case: "not every table has its code" for case in reasons if case not in present}
    return reasons


def codes_of(table: CodeTable, cases: Sequence[str]) -> np.ndarray:
    """Return the codes (N, K) of the cases, in their order."""
    row = {each.case: index for index, each in enumerate(table.cases)}
    return table.codes[[row[case] for case in cases]]


def reasons_against(cohort: Cohort, hand_made: HandMadeFeatures) -> dict[str, str]:
    """Return the members whose hand-made features are not complete, with the reason."""
    reasons = {}
    for member in cohort.members:
        values = hand_made.values.get(member.name)
        if values is None:
            reasons[member.name] = f"is not in {hand_made.path}"
        elif not np.isfinite(values).all():
            reasons[member.name] = f"has no {hand_made.names[int(np.argmin(np.isfinite(values)))]} in {hand_made.path}"
    return reasons


def _number(text: str) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
