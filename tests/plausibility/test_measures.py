"""Figures of order, flags, intervals and reviews, by hand."""

import numpy as np
import pytest

from acnn_nnunet.plausibility.measures import (
    area_under_risk,
    judge_flags,
    judge_intervals,
    judge_order,
    review_sentence,
    reviews,
    risk_curve,
)

DICE = np.array([0.1, 0.5, 0.6, 0.7, 0.8])


def test_order_is_judged_by_hand():
    plausibility = np.array([0.3, 0.2, 0.6, 0.7, 0.8])
    found = judge_order(plausibility, DICE, -DICE)
    # Rank 0.1·4 = 0.4 is raised to the second case, 0.5: of 2·3 pairs of bad and good all are in order.
    assert found["auroc_worst_tenth"] == 1
    # Ranks differ by 1 in two places: 1 − 6·2 / (5·24).
    assert found["spearman_dice"] == pytest.approx(0.9)
    assert found["spearman_hausdorff"] == pytest.approx(-0.9)
    alike = judge_order(plausibility, np.full(5, 0.5), DICE)
    assert (alike["auroc_worst_tenth"], alike["spearman_dice"], alike["aurc"]) == (None, None, 0.5)


def test_risk_and_coverage_by_hand():
    dice = np.array([0.6, 1.0, 0.2])
    coverage, risk = risk_curve(np.array([0.5, 0.9, 0.1]), dice)
    assert coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert risk.tolist() == pytest.approx([0, 0.2, 0.4])  # 0; (0 + .4) / 2; (0 + .4 + .8) / 3
    assert area_under_risk(np.array([0.5, 0.9, 0.1]), dice) == pytest.approx(0.2)
    assert area_under_risk(np.array([0.5, 0.1, 0.9]), dice) == pytest.approx((0.8 + 0.6 + 0.4) / 3)


def test_what_a_review_leaves_by_hand():
    dice = np.linspace(0.1, 1.0, 10)
    found = {each["reviewed_share"]: each for each in reviews(dice, dice)}
    assert found[0.0]["lowest_dice"] == pytest.approx(0.1)
    assert found[0.05]["lowest_dice"] == pytest.approx(0.2)  # half a case is one case
    assert found[0.2] == pytest.approx({"reviewed_share": 0.2, "lowest_dice": 0.3, "mean_dice": 0.65})
    sentence = review_sentence(list(found.values()), 0.2)
    assert sentence == "Review the worst 20 % and the rest has Dice ≥ 0.30 (mean 0.65)."
    assert review_sentence([]) == ""
    assert [each["reviewed_share"] for each in reviews(dice[:1], dice[:1])] == [0.0]


def test_flags_are_judged_by_hand():
    flagged, bad = np.array([1, 1, 1, 0], dtype=bool), np.array([1, 0, 0, 1], dtype=bool)
    found = judge_flags(flagged, bad)
    assert found == pytest.approx({"flagged_share": 0.75, "found_share_of_bad": 0.5, "bad_share_of_flagged": 1 / 3})
    nothing = np.zeros(4, dtype=bool)
    assert judge_flags(nothing, nothing) == {
        "flagged_share": 0.0,
        "found_share_of_bad": None,
        "bad_share_of_flagged": None,
    }


def test_intervals_hold_their_ends():
    intervals = np.array([[0.2, 0.4], [0.2, 0.4], [0.5, 0.9], [0.1, 0.3]])
    found = judge_intervals(intervals, np.array([0.2, 0.41, 0.9, 0.05]))
    assert found == pytest.approx({"coverage": 0.5, "mean_width": 0.25})
    unknown = np.full((1, 2), np.nan)
    more = judge_intervals(np.concatenate([intervals, unknown]), np.array([0.2, 0.41, 0.9, 0.05, 0.3]))
    assert more == pytest.approx({"coverage": 0.5, "mean_width": 0.25})
    assert judge_intervals(unknown, np.array([0.3])) == {"coverage": None, "mean_width": None}
