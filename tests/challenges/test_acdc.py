import csv
import gzip
import json
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import SimpleITK
from acdc_folders import FRAMES, acdc_image, acdc_label, write_acdc, write_acdc_patient

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.challenges.command import convert
from acnn_nnunet.challenges.staging import _write as write
from acnn_nnunet.evaluation.anatomy.rules import parse_rules


@pytest.fixture
def source(tmp_path):
    """Ten training patients of two groups and two test patients, all good."""
    return write_acdc(tmp_path / "ACDC")


def _rows(dataset):
    with open(dataset / "groups.csv", newline="") as file:
        return list(csv.DictReader(file))


def _report(dataset):
    return json.loads((dataset / "conversion_report.json").read_text())


def _exclusions(dataset):
    return {each["patient"]: each["reason"] for each in _report(dataset)["excluded"]}


def test_dataset_has_every_case_its_label_and_nnunets_description(source, raw):
    text = convert("acdc", source, 27).text
    dataset = raw / "Dataset027_ACDC"
    cases = [f"patient{number:03d}_{phase}" for number in range(1, 11) for phase in ("ED", "ES")]
    tests = [f"patient{number}_{phase}" for number in (101, 102) for phase in ("ED", "ES")]
    assert sorted(path.name for path in (dataset / "imagesTr").iterdir()) == [f"{c}_0000.nii.gz" for c in cases]
    assert sorted(path.name for path in (dataset / "labelsTr").iterdir()) == [f"{c}.nii.gz" for c in cases]
    assert sorted(path.name for path in (dataset / "imagesTs").iterdir()) == [f"{c}_0000.nii.gz" for c in tests]
    assert not (dataset / "labelsTs").exists()
    for path, frame in (("imagesTr/patient003_ES_0000", "frame04"), ("labelsTr/patient003_ES", "frame04_gt")):
        original = source / "training" / "patient003" / f"patient003_{frame}.nii.gz"
        assert (dataset / f"{path}.nii.gz").read_bytes() == original.read_bytes()
    description = json.loads((dataset / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    assert description["channel_names"] == {"0": "cineMRI"}
    rules = parse_rules(description["anatomical_rules"], names=description["labels"], where="dataset.json")
    assert len(rules) == 16
    assert all(rule.in_plane for rule in rules)
    assert {rule.limit for rule in rules if rule.rule == "concavity"} == {4, 30, 0}  # VITALab's, of LV, RV, MYO
    assert (description["numTraining"], description["file_ending"]) == (20, ".nii.gz")
    assert (description["licence"], "Bernard" in description["reference"]) == ("CC BY-NC-SA 4.0", True)
    assert "10 training patients in 5 folds, 2 test patients, 0 left out" in text
    assert "nnUNetv2_plan_and_preprocess -d 27" in text


def test_groups_and_folds_are_the_patients(source, raw):
    convert("acdc", source, 27)
    rows = _rows(raw / "Dataset027_ACDC")
    assert len(rows) == 24
    assert rows[3] == {"case": "patient002_ES", "patient": "patient002", "phase": "ES", "group": "NOR"}
    assert rows[-1] == {"case": "patient102_ES", "patient": "patient102", "phase": "ES", "group": ""}
    for fold in json.loads((raw / "Dataset027_ACDC" / "splits_final.json").read_text()):
        # Ten patients, five a group: one of each group is validated in each fold.
        numbers = [int(case[7:10]) for case in fold["val"]]
        assert Counter(number % 2 for number in numbers) == {0: 2, 1: 2}
        assert sorted(case[11:] for case in fold["val"]) == ["ED", "ED", "ES", "ES"]
        assert len(fold["train"]) == 16
        assert not {case[:10] for case in fold["train"]} & {case[:10] for case in fold["val"]}


def test_frames_without_a_file_come_out_of_the_series_in_place(tmp_path, raw):
    for number in (1, 2):
        folder = write_acdc_patient(tmp_path / "ACDC" / "training", number, series=True)
    SimpleITK.WriteImage(acdc_image((2, 1)), str(folder / "patient002_frame01.nii.gz"))  # one has a file, one has not
    convert("acdc", tmp_path / "ACDC", 3)
    for phase, frame in FRAMES.items():
        written = SimpleITK.ReadImage(str(raw / "Dataset003_ACDC" / "imagesTr" / f"patient002_{phase}_0000.nii.gz"))
        expected = acdc_image((2, frame))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(written), SimpleITK.GetArrayFromImage(expected))
        for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(written, what)() == pytest.approx(getattr(expected, what)())


def test_series_that_ends_before_the_frame_leaves_the_patient_out(source, raw):
    folder = write_acdc_patient(source / "training", 20, series=True)
    (folder / "Info.cfg").write_text("ED: 1\nES: 6\nGroup: DCM\n")
    convert("acdc", source, 1)
    assert _exclusions(raw / "Dataset001_ACDC")["patient020"] == "patient020_4d.nii.gz has 5 frames, Info.cfg says 6"


def test_test_labels_of_later_releases_go_to_labelsts(source, raw):
    write_acdc_patient(source / "testing", 103, group="RV")
    convert("acdc", source, 27)
    labels = raw / "Dataset027_ACDC" / "labelsTs"
    assert sorted(path.name for path in labels.iterdir()) == ["patient103_ED.nii.gz", "patient103_ES.nii.gz"]
    assert _rows(raw / "Dataset027_ACDC")[-1]["group"] == "RV"


def test_a_split_that_lacks_a_folds_patients_is_refused_before_the_work(source, raw):
    with pytest.raises(ValueError, match="fold 0 of the split has no patient to train on"):
        convert("acdc", source, 27, splits="ssl4mis")
    assert not list(raw.glob("*"))


def test_folder_of_patients_is_taken_for_the_training_part(source, raw):
    assert "10 training patients in 5 folds, 0 test patients" in convert("acdc", source / "training", 27).text


def _cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def _relabel(path, array, dtype, move_mm=0.0):
    label = SimpleITK.ReadImage(str(path))
    changed = SimpleITK.GetImageFromArray(np.full(label.GetSize()[::-1], array, dtype))
    changed.CopyInformation(label)
    changed.SetOrigin([coordinate + move_mm for coordinate in label.GetOrigin()])
    SimpleITK.WriteImage(changed, str(path))


ED, GT = "patient004_frame01.nii.gz", "patient004_frame01_gt.nii.gz"
CUT = "cannot be read: is it damaged, or no NIfTI file? (it is damaged or cut off"
BAD = {
    "no Info.cfg": (lambda folder: (folder / "Info.cfg").unlink(), "Info.cfg is missing"),
    "binary Info.cfg": (lambda f: (f / "Info.cfg").write_bytes(b"\xff\xfe\x00"), "Info.cfg is no text file"),
    "no ES": (lambda f: (f / "Info.cfg").write_text("ED: 1\nGroup: NOR\n"), "Info.cfg: ES is missing"),
    "words for ED": (
        lambda f: (f / "Info.cfg").write_text("ED: first\nES: 4\nGroup: NOR\n"),
        "Info.cfg: ED is 'first', not the number of a frame",
    ),
    "frame 0": (lambda f: (f / "Info.cfg").write_text("ED: 0\nES: 4\nGroup: NOR\n"), "ED is '0', not the number"),
    "one frame": (lambda f: (f / "Info.cfg").write_text("ED: 4\nES: 4\nGroup: NOR\n"), "frame 4 for both ED and ES"),
    "no group": (lambda f: (f / "Info.cfg").write_text("ED: 1\nES: 4\n"), "Info.cfg has no Group"),
    "no frame": (lambda f: (f / ED).unlink(), f"{ED} does not exist"),
    "no label": (lambda f: (f / GT).unlink(), f"{GT} does not exist"),
    "cut image": (
        lambda f: _cut(f / ED),
        f"{ED} {CUT}",
    ),
    "cut label": (
        lambda f: _cut(f / GT),
        f"{GT} {CUT}",
    ),
    "no image": (lambda f: (f / ED).write_bytes(gzip.compress(b"text")), f"{ED} cannot be read"),
    "2D": (
        lambda f: SimpleITK.WriteImage(acdc_image(1)[:, :, 1], str(f / ED)),
        f"{ED} has 2 axes (5, 6): one volume of three axes",
    ),
    "float labels": (lambda f: _relabel(f / GT, 1.5, np.float32), f"{GT} is of type float32"),
    "negative labels": (lambda f: _relabel(f / GT, -1, np.int16), f"{GT} has the labels -1; allowed are 0, 1, 2, 3"),
    "label 4": (lambda f: _relabel(f / GT, 4, np.uint8), f"{GT} has the labels 4;"),
    "moved label": (
        lambda f: _relabel(f / GT, 1, np.uint8, move_mm=2.0),
        f"{GT} lies on another grid than {ED}: origin (-5.0, 5.0, 13.0) against (-7.0, 3.0, 11.0)",
    ),
    "smaller label": (
        lambda f: SimpleITK.WriteImage(acdc_label(acdc_image(1, (6, 5, 2))), str(f / GT)),
        f"{GT} lies on another grid than {ED}: size (2, 5, 6) against (3, 5, 6)",
    ),
}


@pytest.mark.parametrize("defect", BAD)
def test_bad_patient_is_left_out_by_name_and_the_others_are_kept(source, raw, defect):
    spoil, reason = BAD[defect]
    spoil(source / "training" / "patient004")
    text = convert("acdc", source, 27).text
    dataset = raw / "Dataset027_ACDC"
    assert list(_exclusions(dataset)) == ["patient004"]
    assert reason in _exclusions(dataset)["patient004"]
    assert "9 training patients in 5 folds, 2 test patients, 1 left out" in text
    assert "left out: patient004 (training): " in text
    assert reason in text
    assert not list(dataset.rglob("*patient004*"))
    assert "patient004" not in (dataset / "splits_final.json").read_text() + (dataset / "groups.csv").read_text()
    assert json.loads((dataset / "dataset.json").read_text())["numTraining"] == 18


def test_patient_in_training_and_testing_is_not_tested_on(source, raw):
    write_acdc_patient(source / "testing", 3, labels=False)
    text = convert("acdc", source, 27).text
    assert _exclusions(raw / "Dataset027_ACDC") == {
        "patient003": "has the same number as training/patient003, which is kept"
    }
    assert "left out: patient003 (testing)" in text
    assert not list((raw / "Dataset027_ACDC" / "imagesTs").glob("patient003*"))


def test_image_of_a_training_patient_is_not_tested_on_under_another_number(source, raw):
    shutil.copy(
        source / "training" / "patient003" / "patient003_frame04.nii.gz",
        source / "testing" / "patient102" / "patient102_frame01.nii.gz",
    )
    convert("acdc", source, 27)
    reason = "has the same image as training/patient003, which is kept"
    assert _exclusions(raw / "Dataset027_ACDC") == {"patient102": reason}


def test_one_person_under_two_training_numbers_stays_in_one_fold(source, raw):
    # Groups alternate, so that dealing them out apart would separate them.
    for number, twin in ((2, 9), (4, 7), (6, 5)):
        for frame in FRAMES.values():
            name = "patient{:03d}/patient{:03d}_frame{:02d}.nii.gz"
            shutil.copy(
                source / "training" / name.format(number, number, frame),
                source / "training" / name.format(twin, twin, frame),
            )
    text = convert("acdc", source, 27).text
    dataset = raw / "Dataset027_ACDC"
    assert "10 training patients" in text
    assert "patient009 has the same image as patient002: same fold" in text
    assert _report(dataset)["twins"] == {
        "patient006": "patient005",
        "patient007": "patient004",
        "patient009": "patient002",
    }
    for fold in json.loads((dataset / "splits_final.json").read_text()):
        validated = {case[:10] for case in fold["val"]}
        for pair in ({"patient002", "patient009"}, {"patient004", "patient007"}, {"patient005", "patient006"}):
            assert len(validated & pair) in (0, 2)


def test_number_spelt_in_two_ways_is_one_patient(source, raw):
    folder = write_acdc_patient(source / "training", 30)
    other = folder.with_name("Patient30")
    shutil.copytree(folder, other)
    for path in other.glob("patient030*"):
        path.rename(other / path.name.replace("patient030", "Patient30"))
    convert("acdc", source, 27)
    reason = "has the same number as training/Patient30, which is kept"
    assert _exclusions(raw / "Dataset027_ACDC") == {"patient030": reason}


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffED: 1\nES: 4\nGroup: NOR\n".encode(),
        "ED: 1\r\nES: 4\r\nGroup: NOR\r\n".encode("utf-16"),
        b"ED: 1\rES: 4\rGroup: NOR\r",
        b"  ed : 1  \nEs= 4\n\n# by hand\ngroup:nor \n",
    ],
)
def test_info_as_editors_leave_it(source, raw, content):
    (source / "training" / "patient003" / "Info.cfg").write_bytes(content)
    text = convert("acdc", source, 27).text
    assert "10 training patients in 5 folds, 2 test patients, 0 left out" in text
    assert [row["group"] for row in _rows(raw / "Dataset027_ACDC")][4:6] == ["NOR", "NOR"]


def test_group_that_acdc_does_not_have_is_kept_and_said(source, raw):
    (source / "training" / "patient003" / "Info.cfg").write_text("ED: 1\nES: 4\nGroup: healthy\n")
    text = convert("acdc", source, 27).text
    assert "group 'healthy' is none of ACDC's (NOR, MINF, DCM, HCM, RV) and is kept as it is: patient003\n" in text
    assert _rows(raw / "Dataset027_ACDC")[4]["group"] == "healthy"


def test_group_with_one_member_is_no_obstacle(source, raw):
    write_acdc_patient(source / "training", 11, group="HCM")
    assert "11 training patients in 5 folds" in convert("acdc", source, 27).text


@pytest.mark.parametrize("name", ["nowhere", "empty", "ACDC/testing"])
def test_source_without_training_patients_is_refused(source, raw, tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=f"no folders training/patientNNN in .*{name}: give the folder"):
        convert("acdc", tmp_path / name, 27)
    assert not raw.exists()


def test_nothing_usable_is_an_error_with_the_reasons_and_leaves_nothing(tmp_path, raw):
    for number in (1, 2, 3):
        write_acdc_patient(tmp_path / "training", number, labels=number == 1)
    message = (
        r"1 training patients of .* can be used, at least two .* \(2 left out: patient002: .*_gt.nii.gz does not exist"
    )
    with pytest.raises(ValueError, match=message):
        convert("acdc", tmp_path, 27)
    assert list(raw.iterdir()) == []


def test_existing_dataset_and_taken_id_are_refused(source, raw, tmp_path):
    convert("acdc", source, 27)
    before = sorted(raw.rglob("*"))
    with pytest.raises(FileExistsError, match="Dataset027_ACDC exists: delete it or choose another dataset id"):
        convert("acdc", source, 27)
    for parent, name in (("raw", "Dataset004_Hippocampus"), ("results", "Dataset005_Prostate")):
        (tmp_path / parent / name).mkdir(parents=True)
        with pytest.raises(ValueError, match=f"Dataset id {int(name[7:10])} is taken by {name}: choose another one"):
            convert("acdc", source, int(name[7:10]))
    assert sorted(raw.rglob("*")) == sorted([*before, raw / "Dataset004_Hippocampus"])


@pytest.mark.parametrize("dataset_id", [0, -3, 1000])
def test_impossible_id_is_refused(source, raw, dataset_id):
    with pytest.raises(ValueError, match=f"a number from 1 to 999, got {dataset_id}"):
        convert("acdc", source, dataset_id)


def test_unset_raw_folder_is_one_clear_error(source, monkeypatch):
    monkeypatch.delenv("nnUNet_raw", raising=False)
    with pytest.raises(ValueError, match="nnUNet_raw is not set: export nnUNet_raw=FOLDER"):
        convert("acdc", source, 27)


@pytest.mark.parametrize("go_on", [False, True])
def test_interruption_leaves_no_dataset_and_the_next_run_starts_afresh_or_goes_on(go_on, source, raw, monkeypatch):
    with monkeypatch.context() as patch:

        def interrupt(*_, **__):
            raise KeyboardInterrupt

        patch.setattr("acnn_nnunet.challenges.conversion.split_by_patient", interrupt)
        with pytest.raises(KeyboardInterrupt):
            convert("acdc", source, 27)
    assert [path.name for path in raw.iterdir()] == [".Dataset027_ACDC.partial"]  # which is no dataset to nnU-Net
    if not go_on:
        (raw / ".Dataset027_ACDC.partial" / "imagesTr").mkdir(parents=True)  # what a kill leaves behind
        (raw / ".Dataset027_ACDC.partial" / "imagesTr" / "old_0000.nii.gz").touch()
    read = []
    monkeypatch.setattr(
        "acnn_nnunet.challenges.staging._write", lambda *each: read.append(each[0].name) or write(*each)
    )
    convert("acdc", source, 27, execution=Execution(go_on=go_on))
    assert len(read) == (0 if go_on else 12)
    assert [path.name for path in raw.iterdir()] == ["Dataset027_ACDC"]
    assert not (raw / "Dataset027_ACDC" / "imagesTr" / "old_0000.nii.gz").exists()
    assert not [path for path in (raw / "Dataset027_ACDC").iterdir() if path.name in ("parts", ".patients")]


def test_torch_is_not_imported(source, raw):
    code = (
        "import sys; from pathlib import Path; from acnn_nnunet.challenges.command import convert; "
        f"convert('acdc', Path({str(source)!r}), 27); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


@pytest.fixture(scope="session")
def real_dataset(data_folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("acdc")
        for name in ("raw", "preprocessed", "results"):
            patch.setenv(f"nnUNet_{name}", str(folder / name))
        convert("acdc", data_folder / "acdc", 27)
    return folder / "raw" / "Dataset027_ACDC"


@pytest.mark.real_data
def test_real_patients_are_all_there_in_their_groups(real_dataset):
    rows = _rows(real_dataset)
    assert len({row["case"] for row in rows}) == 160
    groups = {row["patient"]: row["group"] for row in rows}
    assert Counter(groups.values()) == dict.fromkeys(("NOR", "DCM", "HCM", "MINF", "RV"), 16)
    assert len(list((real_dataset / "imagesTr").iterdir())) == len(list((real_dataset / "labelsTr").iterdir())) == 160
    assert _report(real_dataset)["excluded"] == []


@pytest.mark.real_data
def test_real_folds_keep_patients_together_and_groups_apart(real_dataset):
    groups = {row["patient"]: row["group"] for row in _rows(real_dataset)}
    validated = Counter()
    for fold in json.loads((real_dataset / "splits_final.json").read_text()):
        patients = {case[:10] for case in fold["val"]}
        assert sorted(fold["val"]) == sorted(f"{patient}_{phase}" for patient in patients for phase in ("ED", "ES"))
        assert not patients & {case[:10] for case in fold["train"]}
        assert len(fold["train"]) + len(fold["val"]) == 160
        assert set(Counter(groups[patient] for patient in patients).values()) <= {3, 4}
        validated.update(patients)
    assert validated == dict.fromkeys(groups, 1)


@pytest.mark.real_data
def test_real_patients_74_and_76_share_their_images_and_their_fold(real_dataset):
    assert _report(real_dataset)["twins"] == {"patient076": "patient074"}
    for fold in json.loads((real_dataset / "splits_final.json").read_text()):
        assert ("patient074_ED" in fold["val"]) == ("patient076_ED" in fold["val"])


def test_two_processes_make_the_dataset_of_one(raw, tmp_path):
    for number in range(1, 5):
        write_acdc_patient(tmp_path / "src" / "training", number)
    shutil.copytree(tmp_path / "src" / "training" / "patient001", tmp_path / "src" / "training" / "patient0001")
    (tmp_path / "src" / "training" / "patient003" / "Info.cfg").unlink()

    outcomes = [convert("acdc", tmp_path / "src", n, execution=Execution(num_processes=n)) for n in (1, 2)]

    one, two = raw / "Dataset001_ACDC", raw / "Dataset002_ACDC"
    assert [each.case for each in outcomes[0].excluded] == [each.case for each in outcomes[1].excluded]
    assert {each.case for each in outcomes[0].excluded} >= {"patient003"}
    files = [sorted(path.relative_to(each) for path in each.rglob("*")) for each in (one, two)]
    assert files[0] == files[1]
    assert not [path for path in files[0] if path.name.startswith(".")]
    for path in files[0]:
        if path.suffix in (".gz", ".csv"):
            assert (one / path).read_bytes() == (two / path).read_bytes()
