"""Patients with codes of both phases, made for tests of classification."""

from pathlib import Path

import numpy as np

from acnn_nnunet.files.patients import CaseGroup
from acnn_nnunet.latent.codes.table import CodeTable, write_codes

GROUPS = ("NOR", "DCM", "HCM")


def rows_of(counts: dict[str, int]) -> list[CaseGroup]:
    """Return rows of ED and ES of patients p00, p01, … of each group."""
    groups = [group for group, count in counts.items() for _ in range(count)]
    return [
        CaseGroup(f"p{n:02d}_{phase}", f"p{n:02d}", phase, group)
        for n, group in enumerate(groups)
        for phase in ("ED", "ES")
    ]


def table_of(rows: list[CaseGroup], values: dict[str, float] | None = None) -> CodeTable:
    """Return codes of two noisy numbers that both tell the groups apart, around 0, 10, 20 or the given ones."""
    values = values or {group: 10.0 * index for index, group in enumerate(GROUPS)}
    noise = np.random.default_rng(0).normal(size=(len(rows), 2))
    return CodeTable(tuple(rows), noise + np.array([[values[row.group]] * 2 for row in rows]))


def write_table(path: Path, table: CodeTable) -> Path:
    """Write a table, folders included, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_codes(path, table)
    return path


def write_rows(path: Path, rows: list[CaseGroup]) -> Path:
    """Write groups.csv and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["case,patient,phase,group", *(f"{r.case},{r.patient},{r.phase},{r.group}" for r in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def splits_of(rows: list[CaseGroup], *, num_folds: int) -> list[dict[str, list[str]]]:
    """Return folds that deal the patients out in turn."""
    patients = sorted({row.patient for row in rows})
    tested = [set(patients[fold::num_folds]) for fold in range(num_folds)]
    return [
        {
            "train": [row.case for row in rows if row.patient not in names],
            "val": [row.case for row in rows if row.patient in names],
        }
        for names in tested
    ]
