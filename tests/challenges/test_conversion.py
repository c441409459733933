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


def test_a_patient_without_notes_or_faults_is_told_in_two_lines(raw):
    outcome = convert_challenge(challenge_of({number: patient(number) for number in range(1, 4)}), Path("src"), 7)

    assert outcome.text.splitlines() == [
        f"{raw / 'Dataset007_TOY'}: 2 training patients in 2 folds, 1 test patients, 0 left out",
        "next: nnUNetv2_plan_and_preprocess -d 7 --verify_dataset_integrity",
    ]


@pytest.mark.parametrize("dataset_id", [0, 1000, -1])
def test_an_id_that_nnunet_has_not(raw, dataset_id):
    with pytest.raises(ValueError, match=rf"^The dataset id is a number from 1 to 999, got {dataset_id}\.$"):
        convert_challenge(challenge_of({1: patient(1)}), Path("src"), dataset_id)


def test_a_dataset_that_exists_is_kept(raw):
    (raw / "Dataset007_TOY").mkdir(parents=True)

    with pytest.raises(FileExistsError, match="Dataset007_TOY exists: delete it or choose another dataset id"):
        convert_challenge(challenge_of({1: patient(1)}), Path("src"), 7)


def test_an_id_that_another_dataset_has(raw):
    (raw / "Dataset007_Other").mkdir(parents=True)

    with pytest.raises(ValueError, match=r"^Dataset id 7 is taken by Dataset007_Other: choose another one\.$"):
        convert_challenge(challenge_of({1: patient(1)}), Path("src"), 7)


def test_two_training_patients_with_one_image_share_a_fold(raw):
    patients = {number: patient(number) for number in range(1, 6)}
    patients[3] = replace(patients[1], name="p3")

    outcome = convert_challenge(challenge_of(patients), Path("src"), 7)

    assert "  p3 has the same image as p1: same fold" in outcome.text
    splits = json.loads((raw / "Dataset007_TOY" / "splits_final.json").read_text())
    assert len(splits) == 3  # of p1 and p3, p2, p4
    assert [{"p1_ED", "p3_ED"} <= set(split["val"]) for split in splits].count(True) == 1


def test_a_twins_twin_shares_their_fold(raw):
    patients = {number: patient(number) for number in range(1, 7)}
    for number, phase in ((2, "ED"), (3, "ES")):  # an image of the patient before
        shared = {phase: patients[number - 1].images[phase]}
        patients[number] = replace(patients[number], images={**patients[number].images, **shared})

    convert_challenge(challenge_of(patients), Path("src"), 7)

    splits = json.loads((raw / "Dataset007_TOY" / "splits_final.json").read_text())
    assert len(splits) == 3  # of p1 to p3, p4, p5
    assert [{"p1_ED", "p2_ED", "p3_ED"} <= set(split["val"]) for split in splits].count(True) == 1


def test_a_test_patient_with_the_image_of_a_training_patient_is_left_out(raw):
    patients = {number: patient(number) for number in range(1, 4)}
    patients[3] = replace(patients[1], name="p3")

    outcome = convert_challenge(challenge_of(patients), Path("src"), 7)

    assert [(each.case, each.reason) for each in outcome.excluded] == [
        ("patient3", "has the same image as src/patient1, which is kept")
    ]
    assert "  left out: patient3 (testing): has the same image as" in outcome.text


def test_a_training_patient_without_labels_is_left_out(raw):
    patients = {number: patient(number) for number in range(1, 5)}
    patients[2] = replace(patients[2], labels={})

    outcome = convert_challenge(challenge_of(patients), Path("src"), 7)

    assert "  left out: patient2 (training): has no labels" in outcome.text


def test_a_test_patient_needs_no_labels(raw):
    patients = {number: patient(number) for number in range(1, 4)}
    patients[3] = replace(patients[3], labels={})

    assert convert_challenge(challenge_of(patients), Path("src"), 7).excluded == ()
    assert not (raw / "Dataset007_TOY" / "labelsTs").exists()


def test_no_patients_at_all(raw):
    with pytest.raises(
        ValueError, match=r"^0 training patients of src can be used, at least two are needed \(0 left out\)"
    ):
        convert_challenge(challenge_of({}), Path("src"), 7)
    assert list(raw.iterdir()) == []
