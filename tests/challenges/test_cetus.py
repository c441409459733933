"""On generated files of CETUS's layout: its data cannot be had without an agreement."""

import csv
import json
import zipfile

import numpy as np
import pytest
import SimpleITK
from stack_files import volume_of

from acnn_nnunet.challenges.command import convert, submit
from acnn_nnunet.challenges.surfaces import fill_surface, read_surface, write_surface

SHAPE = (6, 7, 8)
GEOMETRY = ("GetSize", "GetSpacing", "GetOrigin", "GetDirection")


def _image(number, phase):
    array = np.random.default_rng([number, phase == "ES"]).integers(0, 255, SHAPE).astype(np.uint8)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((0.7, 0.8, 0.9))
    image.SetOrigin((-2.5, 4.0, 10.0))
    return image


def _truth(image, value=1, dtype=np.uint8):
    array = np.zeros(SHAPE, dtype)
    array[2:4, 2:5, 3:6] = value
    truth = SimpleITK.GetImageFromArray(array)
    truth.CopyInformation(image)
    return truth


def _in_metres(image):
    image.SetSpacing([0.001 * each for each in image.GetSpacing()])
    image.SetOrigin([0.001 * each for each in image.GetOrigin()])
    return image


def _write_patient(source, number, *, truth=True, value=1, metres=False, compressed=False):
    folder = source / f"Patient{number}"
    folder.mkdir(parents=True)
    for phase in ("ED", "ES"):
        image = _image(number, phase)
        volumes = {"": image, "_truth": _truth(image, value)} if truth else {"": image}
        for ending, volume in volumes.items():
            path = folder / f"Patient{number}_{phase}{ending}.mhd"
            SimpleITK.WriteImage(_in_metres(volume) if metres else volume, str(path), useCompression=compressed)
    return folder


@pytest.fixture
def source(tmp_path):
    """Fifteen training and two test patients, masks of both kinds."""
    for number in range(1, 16):
        _write_patient(tmp_path / "CETUS", number, value=255 if number % 2 else 1, compressed=number == 4)
    for number in (16, 17):
        _write_patient(tmp_path / "CETUS", number, truth=False)
    return tmp_path / "CETUS"


def _exclusions(dataset):
    report = json.loads((dataset / "conversion_report.json").read_text())
    return {each["patient"]: each["reason"] for each in report["excluded"]}


def _read(path):
    return SimpleITK.ReadImage(str(path))


def test_patients_with_a_truth_are_trained_on_and_the_others_tested(source, raw):
    text = convert("cetus", source, 30).text
    dataset = raw / "Dataset030_CETUS"
    assert "15 training patients in 5 folds, 2 test patients, 0 left out" in text
    cases = {f"Patient{number}_{phase}" for number in range(1, 16) for phase in ("ED", "ES")}
    assert {path.name for path in (dataset / "imagesTr").iterdir()} == {f"{case}_0000.nii.gz" for case in cases}
    assert {path.name for path in (dataset / "labelsTr").iterdir()} == {f"{case}.nii.gz" for case in cases}
    assert len(list((dataset / "imagesTs").iterdir())) == 4
    description = json.loads((dataset / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "LV": 1}
    assert (description["channel_names"], description["numTraining"]) == ({"0": "ultrasound"}, 30)


def test_volumes_keep_grid_and_values_and_masks_become_0_and_1(source, raw):
    convert("cetus", source, 30)
    for number in (3, 4):
        image = _read(raw / "Dataset030_CETUS" / "imagesTr" / f"Patient{number}_ES_0000.nii.gz")
        label = _read(raw / "Dataset030_CETUS" / "labelsTr" / f"Patient{number}_ES.nii.gz")
        expected = _image(number, "ES")
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), SimpleITK.GetArrayFromImage(expected))
        truth = _truth(expected)
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(label), SimpleITK.GetArrayFromImage(truth))
        for what in GEOMETRY:
            assert getattr(image, what)() == pytest.approx(getattr(expected, what)(), abs=1e-6)
            assert getattr(label, what)() == pytest.approx(getattr(expected, what)(), abs=1e-6)


def test_patients_have_no_group_and_stay_in_one_fold(source, raw):
    convert("cetus", source, 30)
    with open(raw / "Dataset030_CETUS" / "groups.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[2] == {"case": "Patient2_ED", "patient": "Patient2", "phase": "ED", "group": ""}
    folds = json.loads((raw / "Dataset030_CETUS" / "splits_final.json").read_text())
    assert [len(fold["val"]) for fold in folds] == [6] * 5
    for fold in folds:
        patients = {case.partition("_")[0] for case in fold["val"]}
        assert len(patients) == 3
        assert not patients & {case.partition("_")[0] for case in fold["train"]}


def test_training_and_testing_may_be_folders(source, tmp_path, raw):
    (tmp_path / "split").mkdir()
    for part, numbers in (("Training", (1, 2, 3)), ("Testing", (16, 4))):
        for number in numbers:
            (tmp_path / "split" / part).mkdir(exist_ok=True)
            (source / f"Patient{number}").rename(tmp_path / "split" / part / f"Patient{number}")
    assert "3 training patients in 3 folds, 2 test patients" in convert("cetus", tmp_path / "split", 30).text
    assert {path.name for path in (raw / "Dataset030_CETUS" / "labelsTs").iterdir()} == {
        "Patient4_ED.nii.gz",
        "Patient4_ES.nii.gz",
    }


@pytest.mark.parametrize("metres", [False, True])
def test_truths_that_are_surfaces_are_filled_and_said_to_be(tmp_path, raw, metres):
    for number in (1, 2):
        folder = _write_patient(tmp_path / "CETUS", number, metres=metres)
        for truth in folder.glob("*_truth.mhd"):
            write_surface(truth.with_suffix(".vtk"), volume_of(_read(truth)))
            truth.unlink()
    text = convert("cetus", tmp_path / "CETUS", 30).text
    assert "truth is a surface and was filled, look at it over the image: Patient1, Patient2\n" in text
    label = _read(raw / "Dataset030_CETUS" / "labelsTr" / "Patient2_ES.nii.gz")
    expected = _truth(_image(2, "ES"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(label), SimpleITK.GetArrayFromImage(expected))
    assert label.GetOrigin() == pytest.approx(expected.GetOrigin(), abs=1e-6)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_frames_are_found_through_the_time_file(source, raw, encoding):
    folder = source / "Patient5"
    for phase, frame in (("ED", 3), ("ES", 12)):
        image = _read(folder / f"Patient5_{phase}.mhd")
        SimpleITK.WriteImage(image, str(folder / f"Patient5_frame{frame:02d}.mhd"))
        (folder / f"Patient5_{phase}.mhd").unlink()
    (folder / "Patient5_ED_ES_time.txt").write_text("ED : frame 3\nES : frame 12\n", encoding=encoding)
    convert("cetus", source, 30)
    for phase in ("ED", "ES"):
        image = _read(raw / "Dataset030_CETUS" / "imagesTr" / f"Patient5_{phase}_0000.nii.gz")
        expected = SimpleITK.GetArrayFromImage(_image(5, phase))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), expected)


def _drop_raw(folder):
    (folder / "Patient2_ED.raw").write_bytes(b"cut")


def _write(path, array, like=None):
    volume = SimpleITK.GetImageFromArray(array)
    volume.CopyInformation(_image(2, "ED") if like is None else like)
    SimpleITK.WriteImage(volume, str(path))


def _no_such_frame(folder):
    (folder / "Patient2_ED.mhd").unlink()
    (folder / "Patient2_ED_ES_time.txt").write_text("ED\nES\n")


def _surface(folder):
    (folder / "Patient2_ES_truth.mhd").unlink()
    (folder / "Patient2_ES_truth.vtk").write_text("# vtk DataFile Version 3.0\n")


def _surface_elsewhere(folder):
    _surface(folder)
    write_surface(folder / "Patient2_ES_truth.vtk", volume_of(_truth(_moved())))


BAD = {
    "no image": (lambda f: (f / "Patient2_ES.mhd").unlink(), "Patient2_ES.mhd does not exist"),
    "cut image": (_drop_raw, "Patient2_ED.mhd cannot be read"),
    "one truth": (lambda f: (f / "Patient2_ES_truth.mhd").unlink(), "Patient2_ES_truth.mhd does not exist"),
    "no surface": (_surface, "Patient2_ES_truth.vtk is no surface in VTK's legacy format"),
    "surface elsewhere": (_surface_elsewhere, "Patient2_ES_truth.vtk: the surface encloses no voxel of the image"),
    "no frame": (_no_such_frame, "Patient2_ED_ES_time.txt does not say which frame is ED"),
    "empty truth": (
        lambda f: _write(f / "Patient2_ED_truth.mhd", np.zeros(SHAPE, np.uint8)),
        "Patient2_ED_truth.mhd has the value 0 everywhere: no ventricle",
    ),
    "three values": (
        lambda f: _write(f / "Patient2_ED_truth.mhd", np.arange(336, dtype=np.uint16).reshape(SHAPE) % 3),
        "Patient2_ED_truth.mhd has the labels 2; allowed are 0, 1",
    ),
    "negative": (
        lambda f: _write(f / "Patient2_ED_truth.mhd", -(np.arange(336, dtype=np.int16).reshape(SHAPE) % 2)),
        "Patient2_ED_truth.mhd has the labels -1; allowed are 0, 1",
    ),
    "float": (
        lambda f: _write(f / "Patient2_ED_truth.mhd", np.arange(336, dtype=np.float32).reshape(SHAPE) % 2),
        "Patient2_ED_truth.mhd is of type float32: labels must be integers",
    ),
    "other grid": (
        lambda f: _write(
            f / "Patient2_ED_truth.mhd", np.eye(8, dtype=np.uint8)[None].repeat(6, 0)[:, :7], like=_moved()
        ),
        "truth.mhd lies on another grid than Patient2_ED.mhd: origin (0.0, 0.0, 0.0) against (-2.5, 4.0, 10.0)",
    ),
    "NaN": (
        lambda f: _write(f / "Patient2_ED.mhd", np.full(SHAPE, np.nan, np.float32)),
        "Patient2_ED.mhd has 336 voxels that are not finite",
    ),
}


def _moved():
    image = _image(2, "ED")
    image.SetOrigin((0, 0, 0))
    return image


@pytest.mark.parametrize("defect", BAD)
def test_bad_patient_is_left_out_by_name_and_the_others_are_kept(source, raw, defect):
    spoil, reason = BAD[defect]
    spoil(source / "Patient2")
    text = convert("cetus", source, 30).text
    assert list(_exclusions(raw / "Dataset030_CETUS")) == ["Patient2"]
    assert reason in _exclusions(raw / "Dataset030_CETUS")["Patient2"]
    assert "14 training patients in 5 folds, 2 test patients, 1 left out" in text
    assert not list((raw / "Dataset030_CETUS").rglob("Patient2_*"))


def test_source_without_patients_is_refused(tmp_path, raw):
    for source in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=f"There are no folders PatientN in {source}: give the folder"):
            convert("cetus", source, 30)


def test_metres_become_mm_and_the_submission_is_in_metres_again(tmp_path, raw):
    source = tmp_path / "CETUS"
    for number in (1, 2, 3):
        _write_patient(source, number, metres=True, truth=number < 3)
    text = convert("cetus", source, 30).text
    assert "spacing in metres, converted to mm: Patient1, Patient2, Patient3\n" in text
    converted = _read(raw / "Dataset030_CETUS" / "imagesTs" / "Patient3_ED_0000.nii.gz")
    label = _read(raw / "Dataset030_CETUS" / "labelsTr" / "Patient1_ED.nii.gz")
    for volume in (converted, label):
        assert volume.GetSpacing() == pytest.approx((0.7, 0.8, 0.9))
        assert volume.GetOrigin() == pytest.approx((-2.5, 4.0, 10.0))
    _predict(raw / "Dataset030_CETUS", tmp_path / "predictions")
    submit("cetus", tmp_path / "predictions", tmp_path / "submission.zip")
    zipfile.ZipFile(tmp_path / "submission.zip").extractall(tmp_path / "unpacked")
    for phase in ("ED", "ES"):
        original = _read(source / "Patient3" / f"Patient3_{phase}.mhd")
        submitted = _read(tmp_path / "unpacked" / f"Patient3_{phase}.mhd")
        for what in GEOMETRY:
            assert getattr(submitted, what)() == pytest.approx(getattr(original, what)(), rel=1e-6)


def _predict(dataset, folder):
    folder.mkdir()
    for path in (dataset / "imagesTs").iterdir():
        SimpleITK.WriteImage(_truth(_read(path)), str(folder / path.name.replace("_0000", "")))


def test_submission_holds_a_mask_on_the_grid_of_each_test_image(source, raw, tmp_path):
    convert("cetus", source, 30)
    _predict(raw / "Dataset030_CETUS", tmp_path / "predictions")
    text = submit("cetus", tmp_path / "predictions", tmp_path / "submission.zip")
    assert text == f"{tmp_path / 'submission.zip'}: 2 patients, 12 files"
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        endings = (".mhd", ".raw", "_result.vtk")
        names = [f"Patient{n}_{phase}{ending}" for n in (16, 17) for phase in ("ED", "ES") for ending in endings]
        assert archive.namelist() == names
        archive.extractall(tmp_path / "unpacked")
    for number in (16, 17):
        original = _read(source / f"Patient{number}" / f"Patient{number}_ES.mhd")
        submitted = _read(tmp_path / "unpacked" / f"Patient{number}_ES.mhd")
        assert submitted.GetPixelID() == SimpleITK.sitkUInt8
        for what in GEOMETRY:
            assert getattr(submitted, what)() == pytest.approx(getattr(original, what)(), rel=1e-6)
        surface = read_surface(tmp_path / "unpacked" / f"Patient{number}_ES_result.vtk")
        expected = SimpleITK.GetArrayFromImage(_truth(original))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(submitted), expected)
        np.testing.assert_array_equal(fill_surface(*surface, volume_of(original).geometry), expected)


def test_label_2_is_no_cetus_submission(source, raw, tmp_path):
    convert("cetus", source, 30)
    _predict(raw / "Dataset030_CETUS", tmp_path / "predictions")
    path = tmp_path / "predictions" / "Patient17_ES.nii.gz"
    SimpleITK.WriteImage(_read(path) * 2, str(path))
    with pytest.raises(ValueError, match=r"1 of 4 .*\n  Patient17_ES.nii.gz has the labels 2; allowed are 0, 1$"):
        submit("cetus", tmp_path / "predictions", tmp_path / "submission.zip")
    assert not (tmp_path / "submission.zip").exists()
