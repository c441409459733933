"""The whole way of a sweep, with a training that ends within a moment."""

import json

import pytest
import yaml
from stub_training import DATASET, fail, make_workplace

from acnn_nnunet.cli import main
from acnn_nnunet.evaluation.comparison.scores import read_paired_scores

PLAN = {
    "dataset": 5,
    "configuration": "3d_fullres",
    "trainer": "ACNNTrainer",
    "folds": [0, 1],
    "settings": {"baseline": {"prior_weight": 0}, "acnn": {}},
    "device": "cpu",
}


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    return make_workplace(tmp_path, monkeypatch)


@pytest.fixture
def run(tmp_path, capsys):
    def sweep(*words, **changes):
        (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**PLAN, **changes}, sort_keys=False))
        code = main(["sweep", str(tmp_path / "plan.yaml"), "-o", str(tmp_path / "out"), "-np", "1", *words])
        return code, *capsys.readouterr()

    return sweep


def test_it_ends_in_what_compare_reads(workplace, run, tmp_path):
    code, out, _ = run()

    assert code == 0
    assert "4 of 4 trainings are done" in out
    arms = {arm: tmp_path / "out" / "eval" / arm for arm in ("baseline", "acnn")}
    assert f"next: acnn-nnunet compare baseline={arms['baseline']} acnn={arms['acnn']} -o" in out
    scores = read_paired_scores(arms)
    assert scores.cases == ("case_0", "case_1", "case_2", "case_3")  # of both folds
    plans = json.loads((workplace["nnUNet_preprocessed"] / DATASET / "nnUNetPlans.json").read_text())
    assert plans["configurations"]["3d_fullres_baseline"] == {
        "inherits_from": "3d_fullres",
        "acnn": {"prior_weight": 0},
    }


def test_an_arm_that_fails_costs_itself(workplace, run, tmp_path):
    fail(workplace, "3d_fullres_acnn", 2)  # the first fold's two starts

    code, out, _ = run()

    assert code == 1
    assert "3 of 4 trainings are done" in out
    assert "acnn_fold0: `nnUNetv2_train 5 3d_fullres_acnn 0" in out
    assert "acnn is not evaluated: fold 0 failed." in out
    assert "compare" not in out
    assert (tmp_path / "out" / "eval" / "baseline" / "cases.csv").is_file()

    assert run("--continue")[0] == 0
    assert (tmp_path / "out" / "eval" / "acnn" / "cases.csv").is_file()


@pytest.mark.parametrize("words", [[], ["--continue"]])
def test_what_was_trained_with_other_settings_is_no_result(workplace, run, words):
    assert run()[0] == 0
    plans_file = workplace["nnUNet_preprocessed"] / DATASET / "nnUNetPlans.json"
    before = plans_file.read_bytes()

    code, out, err = run(*words, settings={"baseline": {"prior_weight": 0}, "acnn": {"prior_weight": 0.1}})

    assert (code, out) == (1, "")
    assert "fold_0 was trained with the defaults, and now the setting is prior_weight=0.1: give the setting" in err
    assert plans_file.read_bytes() == before
    assert run(*words, settings={"acnn": {}, "new": {"prior_weight": 0.1}})[0] == 0


def test_a_bad_setting_is_refused_before_anything_is_changed(workplace, run):
    plans_file = workplace["nnUNet_preprocessed"] / DATASET / "nnUNetPlans.json"
    before = plans_file.read_bytes()

    for changes, message in (
        ({"settings": {"a": {}, "b": {"prior_wait": 1}}}, "prior_wait"),
        ({"trainer": "NoTrainer"}, "NoTrainer"),
        ({"configuration": "4d"}, "has no configuration 4d"),
        ({"dataset": 6}, "There is no dataset 6"),
    ):
        code, _, err = run(**changes)
        assert code == 1
        assert message in err
        assert len(err.strip().splitlines()) == 1
    assert plans_file.read_bytes() == before
