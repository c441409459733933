"""The words and tables of a classification, of results that are made up."""

import csv
import json

import numpy as np
import pytest

from acnn_nnunet.files.patients import Exclusion
from acnn_nnunet.latent.classification.arms import ArmResult
from acnn_nnunet.latent.classification.cohort import Cohort, Member
from acnn_nnunet.latent.classification.measures import Classification, Duel
from acnn_nnunet.latent.classification.page import (
    _mistakes,
    describe_procedure,
    format_table,
    summarise,
    write_classification,
)

MEMBERS = tuple(Member(name, name, group, {}) for name, group in (("p0", "A"), ("p1", "B"), ("p2", "B")))
COHORT = Cohort(MEMBERS, ("A", "B"), (Exclusion("p3", "has no group"),), num_others=2)
# Two runs of three patients: p1 is taken for A by both.
PROBABILITIES = np.array([[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]] * 2)
ARM = ArmResult("codes", "ED", 4, PROBABILITIES, np.array([0, 1, 1]))
DUEL = Duel("ED", "codes", "pca", 1, 0, 1.0, 1.0, 0.25, (0.0, 0.5))


def result(*, strict=False):
    return Classification(COHORT, strict, 3, 10, (ARM,), (DUEL,))


def test_the_misclassified_are_named_with_their_verdict():
    assert _mistakes(result()) == [("patient", "group", "codes, ED"), ("p1", "B", "A")]


def test_the_summary_by_hand():
    content = summarise(result())
    assert (content["arm"], content["num_patients"], content["num_runs"]) == ("loose", {"A": 1, "B": 2}, 2)
    assert content["excluded"] == [{"patient": "p3", "reason": "has no group"}]
    (arm,) = content["arms"]
    assert (arm["num_correct"], arm["accuracy"]) == (2, pytest.approx(2 / 3))
    assert arm["confusion"].tolist() == [[1, 0], [1, 1]]
    assert content["duels"][0]["only_first"] == 1


@pytest.mark.parametrize(("strict", "words"), [(True, "Strict arm: 3 fixed folds"), (False, "Looser arm")])
def test_the_first_sentence_says_which_arm_it_is(strict, words):
    first, second, _ = describe_procedure(result(strict=strict))
    assert first.startswith(words)
    assert second.startswith("3 patients (1 A, 2 B), 1 left out, 2 of other groups")
    assert ("stratified" in second) == (not strict)  # given folds are what they are


def test_columns_are_aligned_the_first_two_to_the_left():
    table = format_table(("arm", "phases", "n"), [("codes", "ED", "10"), ("a", "ED+ES", "4")])
    assert table.splitlines() == ["arm    phases   n", "codes  ED      10", "a      ED+ES    4"]


def test_three_files_are_written_and_the_table_is_printed(tmp_path):
    text = write_classification(result(), tmp_path / "new")

    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "classification.html",
        "classification.json",
        "predictions.csv",
    ]
    assert "left out: p3: has no group" in text.splitlines()
    assert text.splitlines()[-1] == f"wrote {tmp_path / 'new' / 'classification.html'}"
    assert json.loads((tmp_path / "new" / "classification.json").read_text())["classes"] == ["A", "B"]


def test_predictions_are_a_row_a_patient(tmp_path):
    write_classification(result(), tmp_path)

    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["patient"] for row in rows] == ["p0", "p1", "p2"]
    # p1 is taken for A by both runs.
    assert (rows[1]["verdict"], rows[1]["share_of_runs_right"], rows[1]["probability_A"]) == ("A", "0.0000", "0.6000")


def test_one_run_is_one_run():
    one = ArmResult("codes", "ED", 4, PROBABILITIES[:1], np.array([0, 1, 1]))

    first, *_ = describe_procedure(Classification(COHORT, False, 3, 10, (one,), ()))

    assert "; 1 run, each with its own 3 folds." in first


def test_a_table_without_rows_is_its_header():
    assert format_table(("arm", "n"), []) == "arm  n"
