"""What predictions are judged as without a prior: labels, rules and ending of a dataset.json."""

import json

import numpy as np
import pytest
from label_folders import heart, write_dataset, write_labels
from short_axis import EIGHT_RULES

from acnn_nnunet.plausibility.subject import find_dataset_json, subject_of_dataset

RULE = {"rule": "one_piece", "label": "LV"}


def test_labels_and_rules_of_a_dataset(tmp_path):
    subject = subject_of_dataset(write_dataset(tmp_path, anatomical_rules=[RULE]), None)
    assert subject.label_values == {"RV": (1,), "LV": (2,)}
    assert subject.names == ("RV", "LV")
    assert [rule.name for rule in subject.rules_about("LV")] == ["LV one_piece"]
    assert subject.rules_about("RV") == ()
    assert subject.file_ending == ".nii.gz"


def test_rules_of_a_file_come_first(tmp_path):
    file = tmp_path / "rules.json"
    dataset = write_dataset(tmp_path, anatomical_rules=[RULE])
    file.write_text(json.dumps([{"rule": "touches", "label": "LV", "other": "RV"}]))
    subject = subject_of_dataset(dataset, file)
    assert [len(subject.rules_about(name)) for name in ("LV", "RV")] == [1, 1]  # both may be at fault
    file.write_text(json.dumps(EIGHT_RULES))
    with pytest.raises(ValueError, match=r"rules\.json, rule \d+: there is no label 'MYO'"):
        subject_of_dataset(dataset, file)
    file.write_text("{}")
    with pytest.raises(ValueError, match="declares no anatomical_rules"):
        subject_of_dataset(dataset, file)


def test_unknown_labels_are_refused(tmp_path):
    subject = subject_of_dataset(write_dataset(tmp_path), None)
    assert subject.read(write_labels(tmp_path / "a.nii.gz", heart())).values.max() == 2
    with pytest.raises(ValueError, match=r"b\.nii\.gz holds the label 3, .* its labels are RV 1, LV 2"):
        subject.read(write_labels(tmp_path / "b.nii.gz", np.where(heart() == 2, 3, heart()).astype(np.uint8)))


def test_the_dataset_json_of_the_first_folder_counts(tmp_path):
    (tmp_path / "a" / "pred").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    write_dataset(tmp_path / "b")
    assert find_dataset_json([tmp_path / "a" / "pred", None, tmp_path / "b"]) == tmp_path / "b" / "dataset.json"
    write_dataset(tmp_path / "a")
    assert find_dataset_json([tmp_path / "a" / "pred", tmp_path / "b"]) == tmp_path / "a" / "dataset.json"
    (tmp_path / "a" / "dataset.json").unlink()
    (tmp_path / "b" / "dataset.json").unlink()
    with pytest.raises(FileNotFoundError, match="-djfile names the one that says the labels"):
        find_dataset_json([tmp_path / "a" / "pred"])


def test_a_dataset_without_an_ending_is_refused(tmp_path):
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps({"labels": {"background": 0, "LV": 1}}))
    with pytest.raises(ValueError, match="has no `file_ending`"):
        subject_of_dataset(file, None)
