"""Hand-made features of patients: a table such as `clinical.csv` of `acnn-nnunet evaluate`, by phase."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acnn_nnunet.evaluation.clinical.indices import PREDICTION, REFERENCE, SIDES
from acnn_nnunet.files.tables import read_table

_NOT_FEATURES = ("patient", "group")
# What is known at end-diastole alone: lv_edv_reference_ml, myo_mass_reference_g, wall_thickness_ed_mm.
_END_DIASTOLIC = frozenset({"ed", "edv", "mass"})


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
        known = [bool(_END_DIASTOLIC & set(re.split(r"[^a-z]+", name.lower()))) for name in self.names]
        return np.flatnonzero(known)


def read_hand_made(path: Path, *, side: str = REFERENCE) -> HandMadeFeatures:
    """Read a table with the column patient; every other column but group is a feature.

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
    names = tuple(name for name in table.columns if name not in _NOT_FEATURES and other not in name.split("_"))
    if "patient" not in table.columns or not names:
        raise ValueError(f"{path}, line 1: the column patient and at least one feature are needed.")
    values: dict[str, np.ndarray] = {}
    for where, row in table.rows():
        patient = row["patient"].strip()
        if patient in values:
            raise ValueError(f"{where}: patient {patient} is there already.")
        values[patient] = np.array([_number(row[name]) for name in names])
    return HandMadeFeatures(table.path, names, values)


def _number(text: str) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
