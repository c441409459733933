"""The worst cases in pictures: which they are, and that workers draw what this process would."""

import dataclasses

import pytest
from label_folders import evaluated, make_folders

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.evaluation import pictures
from acnn_nnunet.evaluation.masks.scores import LabelScores
from acnn_nnunet.evaluation.pictures import look_at_worst, worst_cases
from acnn_nnunet.evaluation.plan import plan_evaluation


def score(case, label, dice, status="ok"):
    return LabelScores(case, label, status, dice, dice, None, None, None, None, None, None, 1, 0)


@pytest.fixture
def plan_and_scores(tmp_path):
    plan = plan_evaluation(*make_folders(tmp_path), labels=None, ignore_label=None, dataset_json=None, tolerance_mm=1.0)
    entries = evaluated(plan, tmp_path / "out")
    return plan, [LabelScores(**values) for entry in entries for values in entry["scores"]]


def test_the_worst_by_mean_over_the_labels_that_apply():
    scores = [score("a", "1", 0.9), score("a", "2", 0.1), score("b", "1", 0.4)]
    scores += [score("b", "2", None, "both_empty"), score("c", "1", None, "both_empty")]

    assert worst_cases(scores) == [("b", 0.4), ("a", 0.5)]
    assert worst_cases([dataclasses.replace(each, case=f"{i:02}") for i, each in enumerate([scores[0]] * 9)]) == [
        (f"{i:02}", 0.9) for i in range(6)
    ]


@pytest.mark.parametrize("execution", [Execution(2), Execution(num_parts=2)])
def test_workers_draw_the_same_worst_first(plan_and_scores, execution):
    plan, scores = plan_and_scores

    here = look_at_worst(plan, scores, images=None, execution=HERE)

    assert look_at_worst(plan, scores, images=None, execution=execution) == here
    assert [each.picture["case"] for each in here] == ["case_3", "case_2", "case_1", "case_0"]
    assert [each.packed["name"] for each in here] == ["case_3", "case_2", "case_1", "case_0"]


def test_a_case_that_cannot_be_drawn_says_why(plan_and_scores, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no ink")

    monkeypatch.setattr(pictures, "draw_overlay", fails)
    worst = look_at_worst(*plan_and_scores, images=None)[0]

    assert worst.packed is None
    assert worst.picture["caption"] == "case_3: mean Dice 0.625, no picture: no ink"


def test_nothing_to_draw(plan_and_scores):
    assert look_at_worst(plan_and_scores[0], [], images=None, execution=Execution(2)) == []
