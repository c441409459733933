"""Predictions of a trained model are found, read and refused; tests/trainers has them on the host's grid."""

import json
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from acnn_nnunet.nnunet.network_maps import PredictionPreprocessor, add_network_maps, find_predictions

DATASET = {"labels": {"background": 0, "heart": 1}, "file_ending": ".nii.gz"}


def write_model(folder, predictions, labels=DATASET["labels"]):
    folder.mkdir()
    (folder / "dataset.json").write_text(json.dumps({**DATASET, "labels": labels}))
    for fold, cases in predictions.items():
        (folder / fold / "validation").mkdir(parents=True)
        for case in cases:
            (folder / fold / "validation" / f"{case}.nii.gz").touch()
    return folder


def preprocessor(*, transpose=(0, 1, 2)):
    plans = SimpleNamespace(
        plans={"image_reader_writer": "NibabelIO"},
        transpose_forward=list(transpose),
        get_label_manager=lambda _: SimpleNamespace(all_labels=[0, 1]),
    )
    return PredictionPreprocessor(
        plans, SimpleNamespace(spacing=[1.0] * 3, resampling_fn_seg=lambda label_map, *_: label_map), DATASET
    )


def write_prediction(path, values):
    nibabel.save(nibabel.Nifti1Image(values.astype(np.uint8), np.eye(4)), path)
    return path


def test_every_case_is_taken_from_the_first_fold_that_held_it_out(tmp_path):
    model = write_model(tmp_path / "model", {"fold_10": ["a", "b"], "fold_2": ["b", "c"], "fold_all": ["d"]})
    (model / "fold_2" / "validation" / "summary.json").touch()
    found = find_predictions(model, dataset_json=DATASET)
    assert {case: file.parents[1].name for case, file in found.items()} == {
        "a": "fold_10",
        "b": "fold_2",
        "c": "fold_2",
    }


def test_what_is_no_model_and_what_has_no_predictions_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing is no folder of a trained model: network_maps takes an abs"):
        find_predictions(tmp_path / "missing", dataset_json=DATASET)
    only_all = write_model(tmp_path / "all", {"fold_all": ["a"], "fold_0": []})
    with pytest.raises(FileNotFoundError, match=r"No fold of .*all has predictions .*nnUNetv2_train … --val"):
        find_predictions(only_all, dataset_json=DATASET)


def test_other_labels_are_refused(tmp_path):
    model = write_model(tmp_path / "model", {"fold_0": ["a"]}, labels={"background": 0, "liver": 1})
    with pytest.raises(ValueError, match=r"has the labels .*liver.*, the dataset .*heart.*: name a model of the same"):
        find_predictions(model, dataset_json=DATASET)


def test_a_model_that_predicted_no_training_case_is_refused(tmp_path):
    model = write_model(tmp_path / "model", {"fold_0": ["held_out"]})
    dataset = SimpleNamespace(identifiers=["a", "b"])
    with pytest.raises(ValueError, match=r"prediction of none of the 2 training cases, only of 1 others such as held_"):
        add_network_maps(dataset, model, tmp_path / "maps", preprocessor=preprocessor())
    assert not (tmp_path / "maps").exists()


def test_a_prediction_is_transposed_and_cropped_as_its_case(tmp_path):
    values = np.zeros((4, 5, 6))  # X, Y, Z
    values[1, 2, 3] = 1
    file = write_prediction(tmp_path / "a.nii.gz", values)
    # As the reader has it (Z, Y, X) = (3, 2, 1); transposed to (Y, X, Z) = (2, 1, 3); the crop begins at (1, 0, 2).
    properties = {
        "shape_before_cropping": (5, 4, 6),
        "bbox_used_for_cropping": [[1, 5], [0, 3], [2, 6]],
        "spacing": [1.0, 1.0, 1.0],
    }
    label_map = preprocessor(transpose=(1, 2, 0)).load(file, properties, (4, 3, 4))
    assert label_map.shape == (4, 3, 4)
    assert np.argwhere(label_map).tolist() == [[1, 1, 1]]


def test_a_prediction_of_another_image_and_one_of_unknown_labels_are_refused(tmp_path):
    properties = {"shape_before_cropping": (4, 4, 4), "bbox_used_for_cropping": [[0, 4]] * 3, "spacing": [1.0] * 3}
    with pytest.raises(ValueError, match=r"a.nii.gz is of \(5, 4, 4\) voxels, its training case of \(4, 4, 4\)"):
        preprocessor().load(write_prediction(tmp_path / "a.nii.gz", np.zeros((4, 4, 5))), properties, (4, 4, 4))
    with pytest.raises(ValueError, match=r"b.nii.gz holds the label 7, which its dataset has not \(it has 0, 1\)"):
        preprocessor().load(write_prediction(tmp_path / "b.nii.gz", np.full((4, 4, 4), 7)), properties, (4, 4, 4))
