"""Folds: persons stay together, each is tested once, and what breaks this is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from patients import rows_of, splits_of

from acnn_nnunet.latent.classification.cohort import select_cohort
from acnn_nnunet.latent.classification.folds import draw_folds, fixed_folds, read_fixed_splits

ROWS = rows_of({"NOR": 6, "DCM": 6})
CASES = dict.fromkeys((row.case for row in ROWS), "")
COHORT = select_cohort(ROWS, CASES)


@pytest.mark.parametrize("seed", [0, 1])
def test_drawn_folds_test_everybody_once_and_every_group_alike(seed):
    folds = draw_folds(COHORT, num_folds=3, seed=seed)

    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(12))
    for fold in folds:
        assert not set(fold.train) & set(fold.test)
        assert len(fold.train) == 8
        assert sorted(COHORT.targets[fold.test]) == [0, 0, 1, 1]


def test_seeds_draw_other_folds():
    tested = [draw_folds(COHORT, num_folds=3, seed=seed)[0].test.tolist() for seed in range(5)]

    assert len({tuple(each) for each in tested}) > 1


def test_twins_are_never_apart():
    cohort = select_cohort(ROWS, CASES, twins={"p05": "p00"})

    for seed in range(10):
        for fold in draw_folds(cohort, num_folds=4, seed=seed):
            assert (0 in fold.test) == (5 in fold.test)


def test_fewer_patients_than_folds():
    with pytest.raises(ValueError, match=r"13 folds need as many patients, there are 12: choose fewer with --folds"):
        draw_folds(COHORT, num_folds=13, seed=0)


def test_fixed_folds_are_those_of_the_priors():
    folds = fixed_folds(COHORT, splits_of(ROWS, num_folds=3))

    np.testing.assert_array_equal(folds[1].test, [1, 4, 7, 10])
    np.testing.assert_array_equal(folds[1].train, [0, 2, 3, 5, 6, 8, 9, 11])


def test_patients_whom_a_prior_never_saw_are_not_trained_on():
    splits = splits_of(ROWS, num_folds=3)
    splits[0]["train"] = [case for case in splits[0]["train"] if not case.startswith("p01")]

    assert 1 not in fixed_folds(COHORT, splits)[0].train


def test_a_person_in_both_parts():
    cohort = select_cohort(ROWS, CASES, twins={"p01": "p00"})

    with pytest.raises(ValueError, match="p00 is trained on and tested in fold 0"):
        fixed_folds(cohort, splits_of(ROWS, num_folds=3))


def test_a_patient_with_one_phase_in_either_part():
    splits = splits_of(ROWS, num_folds=3)
    splits[0]["train"].append("p00_ES")
    splits[0]["val"].remove("p00_ES")

    with pytest.raises(ValueError, match="p00 is trained on and tested in fold 0"):
        fixed_folds(COHORT, splits)


def test_nobody_tests_a_patient():
    with pytest.raises(ValueError, match=r"No fold tests p02, p05, p08: the splits are of other patients"):
        fixed_folds(COHORT, splits_of(ROWS, num_folds=3)[:2])


def test_a_patient_is_tested_twice():
    splits = splits_of(ROWS, num_folds=3)

    with pytest.raises(ValueError, match="p00 is tested in fold 0 and in fold 3"):
        fixed_folds(COHORT, [*splits, splits[0]])


def test_splits_are_read(tmp_path):
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": ["a"], "val": ["b"]}]))

    assert read_fixed_splits(path) == [{"train": ["a"], "val": ["b"]}]


def test_names_in_decomposed_unicode_are_those_of_the_files(tmp_path):
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": ["Jo\u0308rg_ED"], "val": ["b"]}]))  # o and two dots, as macOS spells it

    assert read_fixed_splits(path)[0]["train"] == ["J\u00f6rg_ED"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '[{"train": ["a"]}]', "[3]"])
def test_what_are_no_splits(text, tmp_path):
    path = tmp_path / "splits_final.json"
    path.write_text(text)

    with pytest.raises(ValueError, match=r"splits_final\.json is no list of folds with train and val"):
        read_fixed_splits(path)


def test_a_case_in_both_parts(tmp_path):
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": ["a", "b"], "val": ["b"]}]))

    with pytest.raises(ValueError, match="case b is in both parts of fold 0"):
        read_fixed_splits(path)


def test_no_splits(tmp_path):
    with pytest.raises(FileNotFoundError, match="that the priors were trained on"):
        read_fixed_splits(tmp_path / "splits_final.json")


def test_a_scan_that_is_not_classified_counts_too():
    rows = [*ROWS, replace(ROWS[0], case="p00_MID", phase="MID")]
    splits = splits_of(ROWS, num_folds=3)
    splits[0]["train"].append("p00_MID")

    with pytest.raises(ValueError, match="p00 is trained on and tested in fold 0"):
        fixed_folds(COHORT, splits, rows=rows)


def test_a_twin_who_is_not_classified_counts_too():
    rows = [*ROWS, replace(ROWS[0], case="q00_ED", patient="q00", group="RV")]
    splits = splits_of(ROWS, num_folds=3)
    splits[0]["train"].append("q00_ED")

    with pytest.raises(ValueError, match="p00 is trained on and tested in fold 0"):
        fixed_folds(COHORT, splits, rows=rows, twins={"q00": "p00"})


def test_a_group_that_no_training_patient_of_the_fold_has():
    splits = splits_of(ROWS, num_folds=3)
    splits[1]["train"] = [case for case in splits[1]["train"] if case < "p06"]

    with pytest.raises(ValueError, match="Fold 1 tests patients of DCM and trains on none: no forest knows them"):
        fixed_folds(COHORT, splits)
