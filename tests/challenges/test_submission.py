import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from acnn_nnunet.challenges.command import submit
from acnn_nnunet.challenges.submission import find_dataset
from acnn_nnunet.files.safe_writes import write_json

CASES = [f"patient{number}_{phase}" for number in (101, 102) for phase in ("ED", "ES")]
NO_REPORT = {
    "source": "",
    "training_patients": [],
    "test_patients": ["patient101", "patient102"],
    "excluded": [],
    "twins": {},
    "notes": {},
}


def _volume(array, like=None):
    volume = SimpleITK.GetImageFromArray(array)
    if like is not None:
        volume.CopyInformation(like)
    return volume


def _image():
    image = _volume(np.random.default_rng(0).normal(size=(3, 5, 6)).astype(np.float32))
    image.SetSpacing((1.4, 1.3, 9.7))
    image.SetOrigin((-80.25, 41.5, 7.125))
    image.SetDirection((0.8, 0.6, 0, -0.6, 0.8, 0, 0, 0, 1))
    return image


def _make_dataset(raw, name="Dataset027_ACDC", cases=CASES):
    images = raw / name / "imagesTs"
    images.mkdir(parents=True)
    for case in cases:
        SimpleITK.WriteImage(_image(), str(images / f"{case}_0000.nii.gz"))
    write_json(raw / name / "conversion_report.json", NO_REPORT)
    return raw / name


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    return _make_dataset(tmp_path / "raw")


@pytest.fixture
def predictions(tmp_path, dataset):
    """Good predictions, each with labels of its own, as nnUNetv2_predict leaves them."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    for number, case in enumerate(CASES):
        array = np.random.default_rng(number).integers(0, 4, (3, 5, 6)).astype(np.uint8)
        SimpleITK.WriteImage(_volume(array, _image()), str(folder / f"{case}.nii.gz"))
    for name in ("dataset.json", "plans.json", "predict_from_raw_data_args.json", "patient101_ED.npz"):
        (folder / name).touch()
    return folder


def _rewrite(path, change):
    label = SimpleITK.ReadImage(str(path))
    SimpleITK.WriteImage(change(label), str(path))


def _with(label, **geometry):
    for name, value in geometry.items():
        getattr(label, f"Set{name}")(value)
    return label


def test_zip_holds_every_case_at_the_top_as_uint8_on_the_images_grid(predictions, tmp_path):
    text = submit("acdc", predictions, tmp_path / "submission.zip")
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        assert archive.namelist() == [f"{case}.nii.gz" for case in CASES]
        archive.extractall(tmp_path / "unpacked")
    for number, case in enumerate(CASES):
        label = SimpleITK.ReadImage(str(tmp_path / "unpacked" / f"{case}.nii.gz"))
        assert label.GetPixelID() == SimpleITK.sitkUInt8
        expected = np.random.default_rng(number).integers(0, 4, (3, 5, 6))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(label), expected)
        for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(label, what)() == pytest.approx(getattr(_image(), what)(), abs=1e-6)
    assert text == f"{tmp_path / 'submission.zip'}: 2 patients, 4 files"


def test_wider_integers_become_uint8(predictions, tmp_path):
    _rewrite(predictions / "patient102_ES.nii.gz", lambda label: SimpleITK.Cast(label, SimpleITK.sitkInt32))
    submit("acdc", predictions, tmp_path / "submission.zip")
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        archive.extract("patient102_ES.nii.gz", tmp_path)
    assert SimpleITK.ReadImage(str(tmp_path / "patient102_ES.nii.gz")).GetPixelID() == SimpleITK.sitkUInt8


def test_same_predictions_make_the_same_zip(predictions, tmp_path):
    digests = []
    for name in ("a.zip", "b.zip"):
        submit("acdc", predictions, tmp_path / name)
        digests.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
        for path in predictions.iterdir():
            path.touch()
    assert digests[0] == digests[1]


def test_all_that_is_wrong_is_listed_and_the_old_zip_stays(predictions, tmp_path):
    (tmp_path / "submission.zip").write_bytes(b"old")
    (predictions / "patient101_ED.nii.gz").unlink()
    whole = (predictions / "patient101_ES.nii.gz").read_bytes()
    (predictions / "patient101_ES.nii.gz").write_bytes(whole[:-10])
    _rewrite(predictions / "patient102_ED.nii.gz", lambda label: label + 2)
    _rewrite(predictions / "patient102_ES.nii.gz", lambda label: _with(label, Spacing=(1.4, 1.3, 10.0)))
    with pytest.raises(ValueError, match="4 of 4 test cases are not fit to submit, no zip written") as caught:
        submit("acdc", predictions, tmp_path / "submission.zip")
    lines = str(caught.value).splitlines()
    assert lines[1] == f"  {predictions}/patient101_ED.nii.gz does not exist."
    assert lines[2].startswith(
        f"  {predictions}/patient101_ES.nii.gz cannot be read: is it damaged, or no NIfTI file? (it is damaged"
    )
    assert lines[3] == "  patient102_ED.nii.gz has the labels 4, 5; allowed are 0, 1, 2, 3"
    assert lines[4] == (
        "  patient102_ES.nii.gz lies on another grid than patient102_ES_0000.nii.gz: "
        "spacing (10.0, 1.3, 1.4) against (9.7, 1.3, 1.4) mm"
    )
    assert len(lines) == 5
    assert (tmp_path / "submission.zip").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda label: _with(label, Origin=(-80.25, 41.5, 8.0)),
            r"origin \(-80.25, 41.5, 8.0\) against \(-80.25, 41.5, 7",
        ),
        (
            lambda label: _with(label, Direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)),
            r"direction \(1.0, 0.0, .* against \(0.8, ",
        ),
        (lambda label: label[:, :, :2], r"size \(2, 5, 6\) against \(3, 5, 6\)"),
        (lambda label: label[:, :, 1], r"has 2 axes \(5, 6\): one volume of three axes"),
        (lambda label: SimpleITK.Cast(label, SimpleITK.sitkFloat32), "is of type float32: labels must be integers"),
        (lambda label: SimpleITK.Cast(label, SimpleITK.sitkInt16) - 1, "has the labels -1; allowed are 0, 1, 2, 3"),
    ],
)
def test_bad_prediction_is_named_with_what_is_wrong(predictions, tmp_path, change, message):
    _rewrite(predictions / "patient102_ED.nii.gz", change)
    with pytest.raises(ValueError, match=rf"1 of 4 test cases .*\n  .*patient102_ED.nii.gz .*{message}"):
        submit("acdc", predictions, tmp_path / "submission.zip")
    assert not list(tmp_path.glob("submission*"))


def test_direction_that_a_file_format_rounded_is_the_same_grid(predictions, tmp_path):
    rounded = (0.80001, 0.59999, 0, -0.59999, 0.80001, 0, 0, 0, 1)
    _rewrite(predictions / "patient101_ED.nii.gz", lambda label: _with(label, Direction=rounded))
    submit("acdc", predictions, tmp_path / "submission.zip")


def test_unknown_cases_are_reported_and_not_included(predictions, tmp_path):
    (predictions / "patient001_ED.nii.gz").write_bytes(b"not even an image")
    text = submit("acdc", predictions, tmp_path / "submission.zip")
    assert text.splitlines()[1:] == ["  not included, since no test case is called so: patient001_ED"]
    assert len(zipfile.ZipFile(tmp_path / "submission.zip").namelist()) == 4


def test_patients_that_the_conversion_left_out_are_reported(predictions, dataset, tmp_path):
    excluded = [
        {"patient": "patient103", "part": "testing", "reason": "Info.cfg is missing"},
        {"patient": "patient007", "part": "training", "reason": "Info.cfg is missing"},
    ]
    write_json(dataset / "conversion_report.json", {**NO_REPORT, "excluded": excluded})
    (line,) = submit("acdc", predictions, tmp_path / "submission.zip").splitlines()[1:]
    assert line == "  not included, since left out when Dataset027_ACDC was made: patient103 (Info.cfg is missing)"


def test_dataset_is_found_by_name_number_or_as_the_only_one(predictions, tmp_path):
    raw = tmp_path / "raw"
    (raw / "Dataset004_Hippocampus").mkdir()
    _make_dataset(raw, "Dataset101_ACDC", cases=CASES[:2])
    with pytest.raises(ValueError, match="raw holds Dataset027_ACDC, Dataset101_ACDC: choose one with -d"):
        submit("acdc", predictions, tmp_path / "submission.zip")
    for chosen in ("101", "Dataset101_ACDC"):
        assert "1 patients, 2 files" in submit("acdc", predictions, tmp_path / "submission.zip", dataset=chosen)
    assert "2 patients, 4 files" in submit("acdc", predictions, tmp_path / "submission.zip", dataset="27")
    with pytest.raises(
        FileNotFoundError, match=r"no Dataset005_\* in .*raw: `acnn-nnunet convert acdc SRC ID` makes it"
    ):
        submit("acdc", predictions, tmp_path / "submission.zip", dataset="5")
    with pytest.raises(ValueError, match=r"Dataset004_Hippocampus has no test cases \(imagesTs\)"):
        submit("acdc", predictions, tmp_path / "submission.zip", dataset="4")


@pytest.mark.parametrize(("case", "message"), [("patient102_ES", "patient102_ES is missing"), ("hippocampus", "")])
def test_dataset_of_other_cases_is_refused(predictions, dataset, tmp_path, case, message):
    image = dataset / "imagesTs" / f"{case}_0000.nii.gz"
    image.unlink() if image.exists() else SimpleITK.WriteImage(_image(), str(image))
    with pytest.raises(ValueError, match=rf"Dataset027_ACDC is no converted challenge: in imagesTs, .*{message}"):
        submit("acdc", predictions, tmp_path / "submission.zip")


def test_no_folder_no_zip_no_raw_folder(predictions, tmp_path, monkeypatch):
    with pytest.raises(
        FileNotFoundError, match=r"There is no folder .*nowhere: give the output folder of nnUNetv2_pred"
    ):
        submit("acdc", tmp_path / "nowhere", tmp_path / "submission.zip")
    with pytest.raises(ValueError, match=r"a zip file: -o submission.zip, got .*submission.tar"):
        submit("acdc", predictions, tmp_path / "submission.tar")
    monkeypatch.delenv("nnUNet_raw")
    with pytest.raises(ValueError, match="nnUNet_raw is not set"):
        submit("acdc", predictions, tmp_path / "submission.zip")


def test_failure_while_zipping_keeps_the_old_zip(predictions, tmp_path, monkeypatch):
    (tmp_path / "submission.zip").write_bytes(b"old")

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(OSError, match=r"Could not write .*submission.zip .*No space left.* previous file is kept"):
        submit("acdc", predictions, tmp_path / "submission.zip")
    assert (tmp_path / "submission.zip").read_bytes() == b"old"
    assert [path.name for path in Path(tmp_path).glob("*.partial")] == []


@pytest.mark.parametrize("word", [None, "27", "027", "Dataset027_ACDC"])
def test_a_dataset_is_found_by_challenge_number_and_name(dataset, word):
    assert find_dataset("ACDC", word) == dataset


def test_a_dataset_of_another_challenge_is_not_found(dataset):
    with pytest.raises(
        FileNotFoundError, match=r"There is no Dataset\[0-9\].*_CETUS in .*`acnn-nnunet convert cetus SRC ID`"
    ):
        find_dataset("CETUS", None)


def test_two_datasets_of_a_challenge_have_to_be_told_apart(dataset, tmp_path):
    other = _make_dataset(tmp_path / "raw", "Dataset028_ACDC")

    with pytest.raises(ValueError, match=r"raw holds Dataset027_ACDC, Dataset028_ACDC: choose one with -d\.$"):
        find_dataset("ACDC", None)
    assert find_dataset("ACDC", "28") == other


def test_a_file_is_no_dataset(dataset, tmp_path):
    (tmp_path / "raw" / "Dataset029_ACDC").touch()

    assert find_dataset("ACDC", None) == dataset
