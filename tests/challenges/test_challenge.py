"""The folders of patients."""

from acnn_nnunet.challenges.challenge import patient_folders


def test_patients_are_folders_with_a_number_in_its_order(tmp_path):
    for name in ("patient010", "Patient2", "patient", "patientX", "patient3b", "other4"):
        (tmp_path / name).mkdir()
    (tmp_path / "patient001").touch()

    found = patient_folders(tmp_path, training=False)

    assert [(each.path.name, each.number, each.training) for each in found] == [
        ("Patient2", 2, False),
        ("patient010", 10, False),
    ]
    assert patient_folders(tmp_path / "other4", training=True) == []
