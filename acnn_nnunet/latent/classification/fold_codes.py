"""Tables of codes for a classification: one for all folds, or one for each, made by the fold's own prior."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from acnn_nnunet.latent.codes.table import CodeTable, read_codes

_FOLD_FILE = re.compile(r"fold_(\d+)\.csv")


def read_fold_codes(path: Path) -> list[CodeTable]:
    """Return the table of a file, or those of a folder's `fold_0.csv`, `fold_1.csv`, … in the order of the folds.

    Raises:
        FileNotFoundError: if there is no such file, or no `fold_0.csv` in the folder.
        ValueError: if a fold is missing or the folds' codes differ in length, and as `read_codes`.
    """
    path = Path(path)
    if not path.is_dir():
        return [read_codes(path)]
    files = {int(match[1]): file for file in path.iterdir() if (match := _FOLD_FILE.fullmatch(file.name))}
    if missing := sorted(set(range(max(files, default=0) + 1)) - set(files)):
        raise FileNotFoundError(f"There is no fold_{missing[0]}.csv in {path}: each fold needs its table of codes.")
    tables = [read_codes(files[fold]) for fold in sorted(files)]
    for fold, table in zip(sorted(files), tables, strict=True):
        if table.codes.shape[1] != tables[0].codes.shape[1]:
            raise ValueError(
                f"{files[fold]} has codes of length {table.codes.shape[1]}, {files[0]} of {tables[0].codes.shape[1]}."
            )
    return tables


def cases_with_codes(tables: Sequence[CodeTable]) -> dict[str, str]:
    """Return the cases of all tables with why one cannot be used, empty for those that every table has a code of."""
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
