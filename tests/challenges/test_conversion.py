"""A challenge that consists of arrays: what a conversion makes of its patients."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acnn_nnunet.challenges.challenge import Challenge, Patient, PatientFolder, PhaseImage
from acnn_nnunet.challenges.conversion import convert_challenge, nnunet_raw
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.volumes import Volume, read_volume

GRID = Geometry((2, 3, 4), (5.0, 1.5, 1.5), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel().tolist()))


def patient(number, *, label=1, notes=()):
    images = {
        phase: PhaseImage(Volume(np.full((2, 3, 4), 10 * number + n, np.int16), GRID), f"{number}_{phase}")
        for n, phase in enumerate(("ED", "ES"))
    }
    masks = {
        phase: PhaseImage(Volume(np.full((2, 3, 4), label, np.uint8), GRID), f"{number}_{phase}_gt") for phase in images
    }
    return Patient(f"p{number}", "g", images, masks, tuple(notes))


def challenge_of(patients):
    """A challenge of patients by number; the last one is a test patient."""
    folders = [PatientFolder(Path(f"src/patient{number}"), number, number < len(patients)) for number in patients]
    return Challenge(
        "TOY",
        {"background": 0, "LV": 1},
        {"channel_names": {"0": "x"}},
        find_patients=lambda source: folders,
        read_patient=lambda folder: patients[folder.number],
        write_case=lambda *_: None,
    )


@pytest.fixture
def raw(tmp_path, monkeypatch):
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    return tmp_path / "raw"


def test_arrays_become_files_and_notes_are_summed_up(raw):
    patients = {number: patient(number, notes=["odd"] if number < 5 else ()) for number in range(1, 7)}

    outcome = convert_challenge(challenge_of(patients), Path("src"), 7)

    dataset = raw / "Dataset007_TOY"
    image = read_volume(dataset / "imagesTr" / "p3_ES_0000.nii.gz")
    assert (image.values == 31).all()
    assert image.values.dtype == np.int16
    assert not image.geometry.differences(GRID)
    assert sorted(path.name for path in (dataset / "labelsTs").iterdir()) == ["p6_ED.nii.gz", "p6_ES.nii.gz"]
    assert "5 training patients in 5 folds, 1 test patients, 0 left out" in outcome.text
    assert "  odd: p1, p2, p3 and 1 more" in outcome.text
    assert outcome.excluded == ()
    assert json.loads((dataset / "conversion_report.json").read_text())["notes"] == {
        f"p{n}": ["odd"] for n in (1, 2, 3, 4)
    }


def test_a_label_on_another_grid_leaves_its_patient_out(raw):
    patients = {number: patient(number) for number in range(1, 5)}
    moved = replace(GRID, origin_mm=(0.0, 0.0, 1.0))
    label = patients[2].labels["ES"]
    patients[2].labels["ES"] = replace(label, volume=replace(label.volume, geometry=moved))
    patients[3] = patient(3, label=2)

    with pytest.raises(ValueError, match=r"1 training patients .*2 left out: patient2: 2_ES_gt lies on"):
        convert_challenge(challenge_of(patients), Path("src"), 7)
    assert list(raw.iterdir()) == []


def test_the_variable_is_not_set(monkeypatch):
    monkeypatch.delenv("nnUNet_raw", raising=False)
    with pytest.raises(ValueError, match="nnUNet_raw is not set: export nnUNet_raw=FOLDER"):
        nnunet_raw()
