"""`summary.json` against the host's own evaluation of the same folders."""

import json
import math
import multiprocessing.dummy
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from label_folders import DIAGONAL_MM, evaluated, heart, make_folders, write_dataset, write_labels
from nnunetv2.evaluation import evaluate_predictions as host
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from acnn_nnunet.evaluation.plan import plan_evaluation
from acnn_nnunet.evaluation.summary import summarise, write_summary

HOST_KEYS = ("Dice", "IoU", "TP", "FP", "FN", "TN", "n_pred", "n_ref")


def summary_of(folders, **keywords):
    settings = {"labels": None, "ignore_label": None, "dataset_json": None, "tolerance_mm": 1.0, **keywords}
    plan = plan_evaluation(*folders, **settings)
    return plan, summarise(plan, evaluated(plan, folders[1].parent / "out"))


def summary_of_host(folders, plan, monkeypatch):
    """The host's `compute_metrics_on_folder`, its pool made of threads so that no process has to start."""
    with monkeypatch.context() as patch, warnings.catch_warnings():
        patch.setattr(host, "multiprocessing", SimpleNamespace(get_context=lambda method: multiprocessing.dummy))
        warnings.simplefilter("ignore", RuntimeWarning)  # its means of nothing
        return host.compute_metrics_on_folder(
            *map(str, folders),
            None,
            SimpleITKIO(),
            ".nii.gz",
            list(plan.labels.foreground),
            ignore_label=plan.labels.ignore,
            num_processes=1,
        )


@pytest.fixture
def folders(tmp_path):
    """Random maps of labels 0 to 3, of which 3 may be called unannotated, and one case without label 2."""
    rng = np.random.default_rng(0)
    for index in range(3):
        for folder in ("labelsTs", "predicted"):
            values = rng.integers(0, 3 if folder == "predicted" else 4, (3, 8, 9)).astype(np.uint8)
            if index == 1:
                values[values == 2] = 0
            write_labels(tmp_path / folder / f"case_{index}.nii.gz", values)
    return tmp_path / "labelsTs", tmp_path / "predicted"


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "a": 1, "b": 2, "c": 3},
        {"background": 0, "a": 1, "b": 2, "ignore": 3},
        {"background": 0, "whole": [1, 2, 3], "b": 2, "two": [2, 3]},
        {"background": 0, "whole": [1, 2], "b": 2, "ignore": 3},
        {"background": 0, "a": 1, "b": 2, "c": 3, "never": 7},
    ],
)
def test_as_the_host_evaluates(tmp_path, folders, labels, monkeypatch):
    write_dataset(tmp_path, labels)

    plan, ours = summary_of(folders)
    write_summary(tmp_path / "summary.json", ours)
    read = host.load_summary_json(str(tmp_path / "summary.json"))
    theirs = summary_of_host(folders, plan, monkeypatch)

    for key in HOST_KEYS:
        assert read["foreground_mean"][key] == pytest.approx(theirs["foreground_mean"][key], nan_ok=True)
        for label in plan.labels.foreground:
            assert read["mean"][label][key] == pytest.approx(theirs["mean"][label][key], nan_ok=True)
    assert len(read["metric_per_case"]) == len(theirs["metric_per_case"]) == 3
    for our_case, their_case in zip(read["metric_per_case"], theirs["metric_per_case"], strict=True):
        assert our_case["reference_file"] == their_case["reference_file"]
        assert our_case["prediction_file"] == their_case["prediction_file"]
        assert set(our_case["metrics"]) == set(their_case["metrics"])
        for label, metrics in their_case["metrics"].items():
            assert {key: our_case["metrics"][label][key] for key in HOST_KEYS} == pytest.approx(metrics, nan_ok=True)
            assert all(type(our_case["metrics"][label][key]) is int for key in HOST_KEYS[2:])


def test_means_are_over_the_cases_to_which_a_score_applies(folders):
    _, summary = summary_of(folders, labels=["2"])

    of_cases = [case["metrics"]["2"] for case in summary["metric_per_case"]]
    assert [metrics["status"] for metrics in of_cases] == ["ok", "both_empty", "ok"]
    assert math.isnan(of_cases[1]["Dice"])  # as in the host
    assert of_cases[1]["hausdorff_mm"] is None
    assert summary["mean"]["2"]["Dice"] == pytest.approx((of_cases[0]["Dice"] + of_cases[2]["Dice"]) / 2)
    assert summary["mean"]["2"]["hd95_mm"] == pytest.approx((of_cases[0]["hd95_mm"] + of_cases[2]["hd95_mm"]) / 2)
    # Volumes apply to every case: 0 ml counts.
    volumes = [metrics["volume_prediction_ml"] for metrics in of_cases]
    assert summary["mean"]["2"]["volume_prediction_ml"] == pytest.approx(sum(volumes) / 3)
    assert summary["counts"]["2"] == {"ok": 2, "missed": 0, "spurious": 0, "both_empty": 1}


def test_a_label_that_is_nowhere_has_no_mean(folders):
    _, summary = summary_of(folders, labels=["1", "7"])

    assert math.isnan(summary["mean"]["7"]["Dice"])
    assert summary["mean"]["7"]["hausdorff_mm"] is None
    assert summary["foreground_mean"]["hausdorff_mm"] is None
    assert summary["counts"]["7"]["both_empty"] == 3


def test_what_is_missing_extra_and_left_out(tmp_path):
    folders = make_folders(tmp_path)
    (folders[1] / "case_1.nii.gz").unlink()
    write_labels(folders[1] / "case_2.nii.gz", heart(), spacing=(1, 1, 1))
    write_labels(folders[1] / "new.nii.gz", heart())

    _, summary = summary_of(folders)

    assert summary["missing_predictions"] == ["case_1"]
    assert summary["extra_predictions"] == ["new"]
    assert [case["case"] for case in summary["excluded"]] == ["case_2"]
    assert "spacing" in summary["excluded"][0]["reason"]
    assert [case["case"] for case in summary["metric_per_case"]] == ["case_0", "case_1", "case_3"]
    # A missing prediction is a miss: Dice 0 and the diagonal count. Of the others label 2 has Dice 1 and, at 3 of 4
    # columns off, 0.25.
    assert summary["mean"]["2"]["Dice"] == pytest.approx((1 + 0 + 0.25) / 3)
    assert summary["mean"]["2"]["hausdorff_mm"] == pytest.approx((0 + DIAGONAL_MM + 3) / 3)
    assert summary["counts"]["2"] == {"ok": 2, "missed": 1, "spurious": 0, "both_empty": 0}
    write_summary(tmp_path / "summary.json", summary)
    whole = {**summary, "metric_per_case": list(summary["metric_per_case"])}
    written = json.loads((tmp_path / "summary.json").read_text())
    assert json.dumps(written) == json.dumps(whole)  # as text: NaN is not equal to itself
