"""Hand-made features: which columns are features, whose they are, and what ED alone knows."""

import numpy as np
import pytest

from acnn_nnunet.latent.classification.hand_made import read_hand_made

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
