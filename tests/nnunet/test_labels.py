"""Labels, regions and the ignore label, against the host's own reading of the same dataset.json."""

import json

import pytest
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from acnn_nnunet.nnunet.labels import (
    DatasetLabels,
    known_values,
    label_key,
    labels_of_dataset,
    labels_of_words,
)

PLAIN = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
REGIONS = {"background": 0, "heart": [1, 2, 3], "left": [2, 3], "LV": 3}


def write(tmp_path, content):
    path = tmp_path / "dataset.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "labels",
    [PLAIN, {**PLAIN, "ignore": 4}, REGIONS, {**REGIONS, "ignore": 4}, {"background": 0, "b": 7, "a": 2}],
)
def test_as_the_host_reads_them(tmp_path, labels):
    regions_order = [1, 2, 3] if labels.get("heart") else None
    host = LabelManager(labels, regions_order)

    ours = labels_of_dataset(write(tmp_path, {"labels": labels}))

    assert set(ours.foreground) == set(host.foreground_regions if host.has_regions else host.foreground_labels)
    assert ours.ignore == host.ignore_label
    assert ours.exhaustive
    assert {name: key for key, name in ours.names.items()} == {
        name: label_key(tuple(value) if isinstance(value, list) else value)
        for name, value in labels.items()
        if name not in ("background", "ignore")
    }


def test_values_are_all_of_all_regions(tmp_path):
    assert labels_of_dataset(write(tmp_path, {"labels": REGIONS})).values == {1, 2, 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "holds no JSON object"),
        ({}, "has no `labels`: name them with --labels"),
        ({"labels": [0, 1]}, "has no `labels`"),
        ({"labels": {"background": 0}}, "No label to score"),
        ({"labels": {"background": 0, "a": "x"}}, "cannot be used"),
        ({"labels": {"background": 0, "a": None}}, "cannot be used"),
        ({"labels": {"background": 0, "a": -1}}, "-1 cannot be scored"),
        ({"labels": {"background": 0, "a": []}}, "cannot be used|cannot be scored"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "comes twice"),
        (
            {"labels": {"background": 0, "a": [0, 1]}},
            r"\(0, 1\) cannot be scored: it is empty, negative, or holds back",
        ),
        ({"labels": {"background": 0, "a": 1, "ignore": [2, 3]}}, "ignore label is a region"),
        ({"labels": {"background": 0, "a": 1, "ignore": 1}}, "ignored"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(tmp_path, content, message):
    path = write(tmp_path, content)

    with pytest.raises(ValueError, match=message) as error:
        labels_of_dataset(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_dataset_json_that_windows_wrote(tmp_path):
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "a": 1}}', encoding="utf-8-sig")
    assert labels_of_dataset(tmp_path / "dataset.json").foreground == (1,)


def test_no_dataset_json(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*dataset\.json: -djfile names a"):
        labels_of_dataset(tmp_path / "dataset.json")


def test_labels_that_a_user_names():
    labels = labels_of_words(["RV=1", "2", "heart=1,2", "(2,3)"], ignore=9)

    assert labels == DatasetLabels(
        (1, 2, (1, 2), (2, 3)), {"1": "RV", "2": "2", "(1, 2)": "heart", "(2, 3)": "(2, 3)"}, 9, exhaustive=False
    )


@pytest.mark.parametrize("word", ["x", "LV=three", "1.5", "1-3"])
def test_a_word_that_is_no_label_is_named(word):
    with pytest.raises(ValueError, match=f"--labels {word}: write 1 for a label"):
        labels_of_words(["1", word])


@pytest.mark.parametrize("words", [["0"], ["-1"], ["LV="], ["0,1"], ["1", "RV=1"]])
def test_words_that_name_nothing_to_score(words):
    with pytest.raises(ValueError, match=r"cannot be scored|comes twice"):
        labels_of_words(words)


def test_a_name_belongs_to_one_label():
    # Clinical indices would take the first of them, anatomical rules the last.
    with pytest.raises(ValueError, match="--labels LV=2: another label is called LV already"):
        labels_of_words(["LV=1", "LV=2"])


def test_known_values_are_those_of_labels_and_regions_and_background():
    assert known_values([]) == {0}
    assert known_values({**PLAIN, "ignore": 4}.values()) == {0, 1, 2, 3, 4}
    assert known_values([[5, 7], 2]) == {0, 2, 5, 7}
