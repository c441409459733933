from collections import Counter

import pytest

from acnn_nnunet.files.patient_splits import split_by_patient
from acnn_nnunet.files.patients import CaseGroup


def _rows(members):
    """Two cases a patient, for a number of patients a group."""
    return [
        CaseGroup(f"{group}{number}_{phase}", f"{group}{number}", phase, group)
        for group, count in members.items()
        for number in range(count)
        for phase in ("ED", "ES")
    ]


def _patients(cases):
    return {case.rpartition("_")[0] for case in cases}


@pytest.mark.parametrize("members", [{"a": 16, "b": 16, "c": 16}, {"a": 7, "b": 1, "c": 12, "": 3}, {"a": 5}])
def test_folds_are_grouped_by_patient_complete_and_balanced(members):
    rows = _rows(members)
    folds = split_by_patient(rows)
    assert len(folds) == 5
    assert sorted(case for fold in folds for case in fold["val"]) == sorted(row.case for row in rows)
    for fold in folds:
        assert sorted(fold["train"] + fold["val"]) == sorted(row.case for row in rows)
        assert not _patients(fold["train"]) & _patients(fold["val"])
    sizes = [len(_patients(fold["val"])) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    group_of = {row.patient: row.group for row in rows}
    for group in members:
        counts = [Counter(map(group_of.get, _patients(fold["val"])))[group] for fold in folds]
        assert max(counts) - min(counts) <= 1


def test_a_seed_gives_the_same_folds_whatever_the_order_of_the_rows():
    rows = _rows({"a": 9, "b": 4})
    assert split_by_patient(rows) == split_by_patient(rows[::-1])
    assert split_by_patient(rows) != split_by_patient(rows, seed=1)


def test_fewer_patients_than_folds_leave_one_out():
    folds = split_by_patient(_rows({"a": 2, "b": 1}))
    assert sorted(len(_patients(fold["val"])) for fold in folds) == [1, 1, 1]


@pytest.mark.parametrize("members", [{}, {"a": 1}])
def test_fewer_than_two_patients_cannot_be_split(members):
    with pytest.raises(ValueError, match=f"two patients; there are {len(members)}"):
        split_by_patient(_rows(members))
