"""Features: columns of hand-made tables, those that ED alone tells, and tables of codes by fold."""

import numpy as np
import pytest
from patients import rows_of, table_of, write_table

from acnn_nnunet.latent.classification.cohort import Cohort, Member
from acnn_nnunet.latent.classification.features import (
    HandMadeFeatures,
    cases_with_codes,
    codes_of,
    read_fold_codes,
    read_hand_made,
    reasons_against,
)
from acnn_nnunet.latent.codes.table import CodeTable

ROWS = rows_of({"NOR": 2})
CLINICAL = (
    "patient,group,lv_edv_reference_ml,lv_edv_prediction_ml,lv_ef_reference_percent,lv_ef_prediction_percent,"
    "myo_mass_reference_g,myo_mass_prediction_g\n"
    "p0,NOR,100,90,60,50,120,110\n"
    "p1,DCM,0,80,,40,100,100\n"
)


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(("side", "expected"), [("reference", [100, 60, 120]), ("prediction", [90, 50, 110])])
def test_one_side_of_clinical_csv(side, expected, tmp_path):
    features = read_hand_made(write(tmp_path / "clinical.csv", CLINICAL), side=side)

    assert features.names == tuple(f"{name}_{side}_{unit}" for name, unit in
                                   (("lv_edv", "ml"), ("lv_ef", "percent"), ("myo_mass", "g")))  # fmt: skip
    np.testing.assert_array_equal(features.values["p0"], expected)


def test_an_empty_cell_is_no_number(tmp_path):
    features = read_hand_made(write(tmp_path / "clinical.csv", CLINICAL))

    np.testing.assert_array_equal(features.values["p1"], [0, np.nan, 100])


def test_ejection_fractions_need_both_phases(tmp_path):
    features = read_hand_made(write(tmp_path / "clinical.csv", CLINICAL))

    np.testing.assert_array_equal(features.end_diastolic(), [0, 2])


def test_any_table_with_patients(tmp_path):
    text = "patient,wall_thickness_ed_mm,wall_thickness_es_mm,edge\nx,1,2,3\n"

    features = read_hand_made(write(tmp_path / "own.csv", text))

    assert features.names == ("wall_thickness_ed_mm", "wall_thickness_es_mm", "edge")
    np.testing.assert_array_equal(features.end_diastolic(), [0])


@pytest.mark.parametrize("text", ["", "patient,group\np,NOR\n", "case,volume\np,1\n"])
def test_no_features(text, tmp_path):
    with pytest.raises(ValueError, match=r"own\.csv, line 1: the column patient and at least one feature"):
        read_hand_made(write(tmp_path / "own.csv", text))


def test_a_patient_who_comes_twice(tmp_path):
    with pytest.raises(ValueError, match=r"own\.csv, line 3: patient p is there already"):
        read_hand_made(write(tmp_path / "own.csv", "patient,volume\np,1\np,2\n"))


def test_no_table(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"evaluate` writes clinical\.csv"):
        read_hand_made(tmp_path / "clinical.csv")


def test_a_file_is_one_table(tmp_path):
    (table,) = read_fold_codes(write_table(tmp_path / "codes.csv", table_of(ROWS)))

    assert [row.case for row in table.cases] == ["p00_ED", "p00_ES", "p01_ED", "p01_ES"]


def test_folds_are_in_the_order_of_their_numbers(tmp_path):
    for fold in range(11):
        write_table(tmp_path / f"fold_{fold}.csv", CodeTable(tuple(ROWS), np.full((4, 1), float(fold))))

    assert [table.codes[0, 0] for table in read_fold_codes(tmp_path)] == list(range(11))


@pytest.mark.parametrize(("present", "missing"), [((), 0), ((1,), 0), ((0, 1, 3), 2)])
def test_a_missing_fold(present, missing, tmp_path):
    for fold in present:
        write_table(tmp_path / f"fold_{fold}.csv", table_of(ROWS))

    with pytest.raises(FileNotFoundError, match=rf"There is no fold_{missing}\.csv in"):
        read_fold_codes(tmp_path)


def test_codes_of_another_length(tmp_path):
    write_table(tmp_path / "fold_0.csv", table_of(ROWS))
    write_table(tmp_path / "fold_1.csv", CodeTable(tuple(ROWS), np.zeros((4, 3))))

    with pytest.raises(ValueError, match=r"fold_1\.csv has codes of length 3, .*fold_0\.csv of 2"):
        read_fold_codes(tmp_path)


def test_folds_of_one_prior_are_refused(tmp_path):
    for fold, mark in enumerate(("0123", "4567", "0123")):
        table = CodeTable(tuple(ROWS), np.zeros((4, 2)), prior=mark)
        write_table(tmp_path / f"fold_{fold}.csv", table)

    with pytest.raises(ValueError, match=r"fold_2\.csv and .*fold_0\.csv hold codes of one prior: each fold needs"):
        read_fold_codes(tmp_path)


def test_why_a_case_cannot_be_used():
    whole = table_of(ROWS)
    partial = CodeTable(tuple(ROWS[1:3]), np.zeros((2, 2)), {"p00_ED": "holds no label"})

    assert cases_with_codes([whole, partial]) == {
        "p00_ED": "holds no label",
        "p00_ES": "",
        "p01_ED": "",
        "p01_ES": "not every table has its code",
    }


def test_codes_come_in_the_order_asked_for():
    table = CodeTable(tuple(ROWS), np.arange(8.0).reshape(4, 2))

    np.testing.assert_array_equal(codes_of(table, ["p01_ES", "p00_ED"]), [[6, 7], [0, 1]])


def test_members_without_all_features_are_told_with_the_reason(tmp_path):
    cohort = Cohort(tuple(Member(name, name, "A", {}) for name in "pqr"), ("A",), ())
    values = {"p": np.array([1.0, 2.0]), "q": np.array([1.0, np.nan])}
    features = HandMadeFeatures(tmp_path / "clinical.csv", ("edv", "ef"), values)

    assert reasons_against(cohort, features) == {
        "q": f"has no ef in {tmp_path / 'clinical.csv'}",
        "r": f"is not in {tmp_path / 'clinical.csv'}",
    }


def test_a_column_without_a_name_is_no_feature(tmp_path):
    features = read_hand_made(write(tmp_path / "table.csv", ",patient,lv_edv\n0,p0,5\n1,p1,6\n"))
    assert features.names == ("lv_edv",)


def test_a_mass_at_end_systole_is_not_told_by_end_diastole(tmp_path):
    features = read_hand_made(write(tmp_path / "table.csv", "patient,mass_es_g,mass_g\np0,5,6\n"))
    assert features.end_diastolic().tolist() == [1]
