"""Cross-validation folds that keep a patient's cases together and every group in every fold."""

import random
from collections import defaultdict
from collections.abc import Sequence

from acnn_nnunet.files.patients import CaseGroup


def split_by_patient(rows: Sequence[CaseGroup], *, num_folds: int = 5, seed: int = 12345) -> list[dict[str, list[str]]]:
    """Return `[{"train": [cases], "val": [cases]}, …]`, the format of nnU-Net's splits_final.json.

    The shuffled patients of one group after the other are dealt out to the folds in turn, so that the folds' numbers of
    patients differ by one at most, those of each group too, and a group with one member is in one fold. Each case is
    validated once. With fewer patients than folds there are as many folds as patients.

    Raises:
        ValueError: for fewer than two patients or folds.
    """
    cases_of: dict[str, list[str]] = defaultdict(list)
    group_of: dict[str, str] = {}
    for row in rows:
        cases_of[row.patient].append(row.case)
        group_of.setdefault(row.patient, row.group)
    num_folds = min(num_folds, len(cases_of))
    if num_folds < 2:
        raise ValueError(f"Cross-validation needs at least two folds and two patients; there are {len(cases_of)}.")
    shuffle = random.Random(seed).shuffle
    dealt: list[str] = []
    for group in sorted(set(group_of.values())):
        patients = sorted(patient for patient in group_of if group_of[patient] == group)
        shuffle(patients)
        dealt += patients
    folds = [dealt[fold::num_folds] for fold in range(num_folds)]
    return [
        {
            "train": sorted(case for patient in dealt if patient not in validated for case in cases_of[patient]),
            "val": sorted(case for patient in validated for case in cases_of[patient]),
        }
        for validated in folds
    ]
