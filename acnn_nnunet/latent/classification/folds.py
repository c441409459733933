"""Folds of a classification: drawn again for every run, or the fixed folds that the priors were trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acnn_nnunet.files.folders import composed
from acnn_nnunet.files.patients import CaseGroup, person_of, split_by_patient
from acnn_nnunet.latent.classification.cohort import Cohort
from acnn_nnunet.nnunet.plans import read_splits


@dataclass(frozen=True)
class Fold:
    """Indices of the members that a forest is grown on, and of those that it is tested on."""

    train: np.ndarray
    test: np.ndarray


def draw_folds(cohort: Cohort, *, num_folds: int, seed: int) -> list[Fold]:
    """Return folds stratified by group, in which a person's cases stay together; each member is tested once.

    Raises:
        ValueError: if there are fewer persons than folds.
    """
    persons = len(set(cohort.units))
    if persons < num_folds:
        raise ValueError(f"{num_folds} folds need as many patients, there are {persons}: choose fewer with --folds.")
    rows = [CaseGroup(member.name, member.person, "", member.group) for member in cohort.members]
    tested = [set(split["val"]) for split in split_by_patient(rows, num_folds=num_folds, seed=seed)]
    is_tested = [np.array([member.name in names for member in cohort.members]) for names in tested]
    return [Fold(np.flatnonzero(~mask), np.flatnonzero(mask)) for mask in is_tested]


def read_fixed_splits(path: Path) -> list[dict[str, list[str]]]:
    """Read the folds of nnU-Net's splits_final.json: `[{"train": [cases], "val": [cases]}, …]`, in composed Unicode.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: it is the splits_final.json that the priors were trained on.")
    splits = [
        {"train": [composed(str(case)) for case in train], "val": [composed(str(case)) for case in held_out]}
        for train, held_out in read_splits(path)
    ]
    for number, fold in enumerate(splits):
        if both := sorted(set(fold["train"]) & set(fold["val"])):
            raise ValueError(f"{path}: case {both[0]} is in both parts of fold {number}.")
    return splits


def fixed_folds(
    cohort: Cohort,
    splits: Sequence[dict[str, list[str]]],
    *,
    rows: Sequence[CaseGroup] = (),
    twins: Mapping[str, str] | None = None,
) -> list[Fold]:
    """Return the folds of given splits, checked: no person in both parts, each tested exactly once.

    Args:
        cohort: who is classified.
        splits: as in splits_final.json.
        rows: patient of all cases; a prior also saw those that are not classified.
        twins: patients who are the same person as another.

    Raises:
        ValueError: naming the patient and the fold that break this.
    """
    person_of_case = {row.case: person_of(row.patient, twins or {}) for row in rows}
    tested_in: dict[str, int] = {}
    folds = []
    for number, split in enumerate(splits):
        train, test = (_members_of(cohort, split[part]) for part in ("train", "val"))
        persons = [
            {cohort.members[index].person for index in members}
            | {person_of_case[case] for case in split[part] if case in person_of_case}
            for members, part in ((train, "train"), (test, "val"))
        ]
        if both := sorted(persons[0] & persons[1]):
            raise ValueError(f"{both[0]} is trained on and tested in fold {number}: a person's cases share a fold.")
        for name in (cohort.members[index].name for index in test):
            if tested_in.setdefault(name, number) != number:
                raise ValueError(f"{name} is tested in fold {tested_in[name]} and in fold {number}.")
        folds.append(Fold(train, test))
        grown = {cohort.members[index].group for index in train}
        if unknown := sorted({cohort.members[index].group for index in test} - grown):
            raise ValueError(f"Fold {number} tests patients of {unknown[0]} and trains on none: no forest knows them.")
    if missing := [member.name for member in cohort.members if member.name not in tested_in]:
        raise ValueError(f"No fold tests {', '.join(missing[:3])}: the splits are of other patients.")
    return folds


def _members_of(cohort: Cohort, cases: Sequence[str]) -> np.ndarray:
    """Return the indices of members with at least one of the given cases."""
    wanted = set(map(composed, cases))
    return np.array(
        [index for index, member in enumerate(cohort.members) if wanted & set(member.cases.values())], dtype=int
    )
