"""What is to be evaluated, and folders that are not what they should be."""

import json
import os
import shutil

import numpy as np
import pytest
from label_folders import LABELS, heart, make_folders, write_dataset, write_labels
from skimage.io import imsave

from acnn_nnunet.evaluation.plan import EvaluationPlan, plan_evaluation


def plan(reference, prediction, **keywords):
    settings = {"labels": None, "ignore_label": None, "dataset_json": None, "tolerance_mm": 2.0, **keywords}
    return plan_evaluation(reference, prediction, **settings)


@pytest.fixture
def folders(tmp_path):
    return make_folders(tmp_path, num_cases=2)


def test_cases_and_labels_of_a_dataset(folders):
    found = plan(*folders)

    assert found.cases == ("case_0", "case_1")
    assert found.extra == ()
    assert found.labels.foreground == (1, 2)
    assert found.labels.names == {"1": "RV", "2": "LV"}
    assert (found.file_ending, found.reader_name) == (".nii.gz", "SimpleITKIO")
    assert found.reference_file("case_0").is_file()
    assert found.prediction_file("case_1").is_file()


def test_one_name_in_two_spellings_is_one_case(folders):
    reference, prediction = folders
    (reference / "case_0.nii.gz").rename(reference / "M\u00fcller.nii.gz")
    (prediction / "case_0.nii.gz").rename(prediction / "Mu\u0308ller.nii.gz")  # as macOS spells it
    (prediction / "case_1.nii.gz").rename(prediction / "case_1.NII.GZ")
    shutil.copy(prediction / "case_1.NII.GZ", prediction / "._case_1.nii.gz")

    found = plan(reference, prediction)

    assert (found.cases, found.extra) == (("M\u00fcller", "case_1"), ())
    assert found.prediction_file("M\u00fcller").is_file()
    assert found.prediction_file("case_1").name == "case_1.NII.GZ"


@pytest.mark.parametrize("place", [".", "labelsTs", "predicted", "elsewhere"])
def test_where_a_dataset_json_may_lie(tmp_path, folders, place):
    (tmp_path / "dataset.json").unlink()
    (tmp_path / "elsewhere").mkdir()
    path = write_dataset(tmp_path / place, {"background": 0, "heart": [1, 2], "LV": 2, "ignore": 9})

    labels = plan(*folders, dataset_json=path if place == "elsewhere" else None).labels

    assert (labels.foreground, labels.ignore, labels.exhaustive) == (((1, 2), 2), 9, True)


def test_labels_that_a_user_names_need_no_dataset_json(tmp_path, folders):
    (tmp_path / "dataset.json").unlink()

    found = plan(*folders, labels=["LV=2"], ignore_label=7)

    assert (found.labels.foreground, found.labels.ignore, found.labels.exhaustive) == ((2,), 7, False)


def test_labels_that_a_user_names_come_before_the_datasets(folders):
    assert plan(*folders, labels=["LV=2"]).labels.foreground == (2,)


def test_extra_predictions_and_other_files(folders):
    reference, prediction = folders
    write_labels(prediction / "case_9.nii.gz", heart())
    for name in ("summary.json", "case_0.npz", ".hidden.nii.gz", "case_3.nii.gz.partial"):
        (prediction / name).write_text("")
        (reference / name.replace("summary", "notes")).write_text("")

    found = plan(reference, prediction)

    assert found.cases == ("case_0", "case_1")
    assert found.extra == ("case_9",)


def test_the_header_holds_it_all(folders):
    found = plan(*folders, labels=["1,2", "LV=2"], ignore_label=9)

    header = json.loads(json.dumps(found.header()))

    assert EvaluationPlan.from_header(header) == found
    assert EvaluationPlan.from_header(header).header() == header


def test_pictures_in_2d(tmp_path):
    for folder in ("labelsTs", "predicted"):
        (tmp_path / folder).mkdir()
        imsave(tmp_path / folder / "a.png", np.eye(4, dtype=np.uint8), check_contrast=False)

    found = plan(tmp_path / "labelsTs", tmp_path / "predicted", labels=["1"])

    assert (found.file_ending, found.reader_name) == (".png", "NaturalImage2DIO")


def test_folders_that_are_not_there(tmp_path, folders):
    reference, prediction = folders
    with pytest.raises(FileNotFoundError, match=r"The folder .*/nowhere does not exist"):
        plan(reference, tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match=r"case_0\.nii\.gz is a file: GT and PRED are folders"):
        plan(reference / "case_0.nii.gz", prediction)


@pytest.mark.parametrize("side", [0, 1])
def test_a_name_that_is_no_text(folders, side):
    os.rename(folders[side] / "case_0.nii.gz", os.fsencode(folders[side]) + b"/case_\xff.nii.gz")

    with pytest.raises(ValueError, match=r"The name of '.*case_\\udcff\.nii\.gz' is not UTF-8: rename it"):
        plan(*folders)


def test_the_same_folder_twice(tmp_path, folders):
    (tmp_path / "link").symlink_to(folders[0])

    for other in (folders[0], tmp_path / "link"):
        with pytest.raises(ValueError, match="was given as reference and as prediction"):
            plan(folders[0], other)


def test_swapped_folders(folders):
    reference, prediction = folders
    (prediction / "predict_from_raw_data_args.json").write_text("{}")

    plan(reference, prediction)
    with pytest.raises(ValueError, match=r"holds predict_from_raw_data_args\.json.* are the folders swapped\?"):
        plan(prediction, reference)


def test_pseudo_labels_are_a_reference(tmp_path, folders):
    """What nnU-Net predicted for unlabelled images, with its files beside, against another network's predictions."""
    _, pseudo_labels = folders
    for mark in ("predict_from_raw_data_args.json", "plans.json"):
        (pseudo_labels / mark).write_text("{}")
    shutil.copytree(folders[0], tmp_path / "other_network")

    assert plan(pseudo_labels, tmp_path / "other_network").reference == pseudo_labels


def test_two_prediction_folders_may_be_compared(folders):
    for folder in folders:
        (folder / "summary.json").write_text("{}")

    assert plan(*folders).cases == ("case_0", "case_1")


def test_nothing_to_evaluate(tmp_path, folders):
    reference, prediction = folders
    (tmp_path / "empty").mkdir()

    with pytest.raises(ValueError, match=r"empty holds no \.nii\.gz file: it should hold the reference label maps"):
        plan(tmp_path / "empty", prediction)
    with pytest.raises(
        ValueError, match=r"holds no prediction of a case of .*it has no \.nii\.gz file; wanted are case_0"
    ):
        plan(reference, tmp_path / "empty")


def test_predictions_of_something_else(tmp_path, folders):
    write_labels(tmp_path / "images" / "case_0_0000.nii.gz", heart())

    with pytest.raises(
        ValueError, match=r"it has case_0_0000\.nii\.gz, …; wanted are case_0\.nii\.gz, ….*right folders"
    ):
        plan(folders[0], tmp_path / "images")


def test_nothing_says_which_labels_there_are(tmp_path, folders):
    (tmp_path / "dataset.json").unlink()

    with pytest.raises(
        ValueError, match=r"There is no dataset\.json in or above .*-djfile, or the labels with --labels"
    ):
        plan(*folders)


@pytest.mark.parametrize("content", ["{", "[]", '"x"'])
def test_an_unreadable_dataset_json(tmp_path, folders, content):
    (tmp_path / "dataset.json").write_text(content)

    with pytest.raises(ValueError, match=r"dataset\.json .*repair it, or name another with -djfile"):
        plan(*folders)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is no JSON"),
        ('{"file_ending": 5}', "has the file_ending 5: it is a text"),
        ('{"overwrite_image_reader_writer": "NoIO"}', "names the reader NoIO"),
    ],
)
def test_a_dataset_json_that_nobody_named_costs_only_itself(tmp_path, folders, content, reason):
    (tmp_path / "dataset.json").write_text(content)

    found = plan(*folders, labels=["1"])

    assert found.cases == ("case_0", "case_1")
    assert found.note.startswith(f"{tmp_path / 'dataset.json'} is left aside: ")
    assert reason in found.note
    with pytest.raises(ValueError, match=reason):
        plan(*folders, labels=["1"], dataset_json=tmp_path / "dataset.json")


def test_several_formats(tmp_path, folders):
    (tmp_path / "dataset.json").unlink()
    write_labels(folders[0] / "case_5.mha", heart())

    with pytest.raises(ValueError, match=r"files of several formats \(\.mha, \.nii\.gz\)"):
        plan(*folders, labels=["1"])
    write_dataset(tmp_path)
    assert plan(*folders, labels=["1"]).cases == ("case_0", "case_1")


def test_a_dataset_of_a_format_that_the_host_does_not_read(tmp_path, folders):
    write_dataset(tmp_path, LABELS, file_ending=".jpg")
    shutil.copy(folders[0] / "case_0.nii.gz", folders[0] / "a.jpg")
    shutil.copy(folders[0] / "case_0.nii.gz", folders[1] / "a.jpg")

    with pytest.raises(ValueError, match=r"nnU-Net reads no \.jpg; it reads"):
        plan(*folders)


def test_a_dataset_that_asks_for_a_reader(tmp_path, folders):
    write_dataset(tmp_path, overwrite_image_reader_writer="NibabelIO")

    assert plan(*folders).reader_name == "NibabelIO"


@pytest.mark.parametrize("tolerance_mm", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_no_length(folders, tolerance_mm):
    with pytest.raises(ValueError, match=r"tolerance of the surface Dice is .* it is 0 or more"):
        plan(*folders, tolerance_mm=tolerance_mm)


def test_an_ignore_label_without_labels(folders):
    with pytest.raises(ValueError, match="-il goes with --labels"):
        plan(*folders, ignore_label=9)
