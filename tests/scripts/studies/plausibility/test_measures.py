"""Measures of the study, by hand."""

import numpy as np
import pytest

from acnn_nnunet.plausibility.table import Estimate, PlausibilityRow, Structure
from scripts.studies.plausibility import measures


def test_an_arm_is_compared_pair_by_pair(monkeypatch):
    monkeypatch.setattr(measures, "RESAMPLES", 50)
    dice = np.linspace(0.1, 1, 20)
    values = {"good": dice, "same": dice, "bad": 1 - dice}
    found = measures.with_intervals(
        values, {"dice": dice, "hausdorff_mm": 1 - dice}, np.arange(20) // 2, against=["same", "bad"]
    )
    assert found["good"]["auroc_worst_tenth"] == 1
    assert found["good"]["differences"]["same"]["aurc"] == [0, 0]
    low, high = found["good"]["differences"]["bad"]["spearman_dice"]
    assert (low, high) == (pytest.approx(2), pytest.approx(2))
    assert "bad" not in found["bad"]["differences"]


def test_what_is_found_at_five_percent_of_false_alarms():
    usual = [PlausibilityRow(str(n), "scored", scores={"x": float(n)}) for n in range(101)]  # the limit is 95
    odd = [PlausibilityRow("a", "scored", scores={"x": value}) for value in (95.0, 95.1, 200.0)]
    odd.append(PlausibilityRow("e", "empty"))
    found = measures.detection(usual, {"odd": odd, "usual": usual}, lambda row: row.scores.get("x"))
    assert found == pytest.approx({"odd": 0.75, "usual": 5 / 101})


def test_coverage_counts_structures_with_truth_and_interval():
    inside = Structure(True, dice=0.5, hausdorff_mm=3.0, expected_dice=Estimate(0.6, 0.5, 0.7))
    outside = Structure(True, dice=0.8, expected_dice=Estimate(0.6, 0.5, 0.7))
    rows = [PlausibilityRow("a", "scored", {"LV": inside, "RV": outside, "MYO": Structure(True, dice=0.5)})]
    found = measures.coverage(rows, ["LV", "RV", "MYO"])
    assert found == {"dice": {"coverage": 0.5, "mean_width": pytest.approx(0.2), "num": 2}}


def test_areas_by_ranks_equal_those_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    plausibility, worst = np.round(rng.random(40), 1), rng.random(40) < 0.3  # with ties
    assert measures.auroc(plausibility, worst) == pytest.approx(roc_auc_score(worst, -plausibility))
    assert np.isnan(measures.auroc(plausibility, np.zeros(40, bool)))
