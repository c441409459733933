"""Expected scores with intervals: relations that are made up and so known, margins by hand."""

import json
import math
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest

from acnn_nnunet.plausibility.estimates import (
    Line,
    Regression,
    StructureEstimator,
    badness,
    conformal_margin,
    dice_intervals,
    distance_intervals,
    fit_structure,
    folds_of,
    from_logit,
    patients_needed,
    to_logit,
)
from acnn_nnunet.plausibility.table import Estimate

NAMES = ("mahalanobis", "rule_violation", "members_distance_mm")


def made_up(count=60, *, noise=0.3):
    """Cases whose Dice falls with the Mahalanobis distance alone; what is missing and broken is drawn at random."""
    rng = np.random.default_rng(0)
    mahalanobis, broken = rng.uniform(1, 20, count), rng.uniform(0, 1, count)
    dice = 1 / (1 + np.exp(-(5 - 1.5 * np.log1p(mahalanobis) + noise * rng.standard_normal(count))))
    pairs = zip(mahalanobis, broken, strict=True)
    scores = [{"mahalanobis": far, "rule_violation": rule, "members_distance_mm": 0.0} for far, rule in pairs]
    return scores, dice, 30 * (1 - dice), [f"patient{index // 2}" for index in range(count)]


def fitted(cases, *, level=0.8):
    return fit_structure(*cases, names=NAMES, level=level)


def test_a_known_relation_is_learnt():
    cases = made_up(noise=0.0)
    estimator, held_out = fitted(cases)
    dice, distance = (
        dict(zip(NAMES, each.line.weights, strict=True)) for each in (estimator.dice, estimator.hausdorff_mm)
    )
    assert dice["members_distance_mm"] == 0  # a score that never moves says nothing
    assert abs(dice["mahalanobis"]) > 20 * abs(dice["rule_violation"])
    assert all(weight <= 0 for weight in dice.values())
    assert all(weight >= 0 for weight in distance.values())
    assert np.abs(held_out.dice[:, 0] - cases[1]).max() < 0.05
    assert np.corrcoef(held_out.hausdorff_mm[:, 0], cases[2])[0, 1] > 0.98


def test_estimates_worsen_with_every_score_and_lie_within_their_intervals():
    estimator, _ = fitted(made_up())
    for name in NAMES:
        rising = [{**dict.fromkeys(NAMES, 1.0), name: value} for value in (1.0, 5.0, 50.0, 1e9)]
        found = estimator.estimate(rising)
        assert all(0 <= b[0].value <= a[0].value <= 1 for a, b in pairwise(found))
        assert all(a[1].value <= b[1].value for a, b in pairwise(found))
        assert all(each.low <= each.value <= each.high for dice, far, _ in found for each in (dice, far))


def test_an_estimate_by_hand():
    # The badness is 0 and 1, log(1 + mm); the spread is 1, and 2 with it.
    spread = Line((1.0,), 1.0)
    dice = Regression(Line((-math.log(3),), math.log(3)), spread, 0.1, ((math.log(3),),) * 4)
    distance = Regression(Line((math.log(2),), math.log(4)), spread, 0.1, ((0.0,),) * 4)
    estimator = StructureEstimator(("members_distance_mm",), (0.0,), (1.0,), dice, distance, level=0.8)
    found = estimator.estimate([{"members_distance_mm": mm} for mm in (0.0, math.e - 1)])
    # The odds are 3 to 1, a scale further even; the margin is a factor of 3, then 9. log 4 is 3 mm, log 8 is 7 mm.
    assert found[0][0] == pytest.approx((3 / 4, 1 / 2, 9 / 10))
    assert found[1][0] == pytest.approx((1 / 2, 1 / 10, 9 / 10))
    assert [each[1].value for each in found] == pytest.approx([3, 7])
    assert found[1][2] == pytest.approx({"members_distance_mm": math.log(3)})


def test_a_patient_is_never_judged_by_a_fit_that_saw_it():
    scores, dice, far, units = made_up()
    _, held_out = fitted((scores, dice, far, units))
    changed = dice.copy()
    changed[:2] = 0.02  # the first patient's truth
    _, then = fitted((scores, changed, far, units))
    assert then.dice[:2] == pytest.approx(held_out.dice[:2], rel=1e-9)
    assert np.abs(then.dice - held_out.dice).max() > 0.01


def test_a_fit_without_a_patient_does_not_know_its_scores():
    scores, dice, far, units = made_up()
    _, held_out = fitted((scores, dice, far, units))
    patients = np.unique(units, return_inverse=True)[1]
    fold = folds_of(patients)
    changed = [{**each, "mahalanobis": 1e6} if patients[i] == patients[0] else each for i, each in enumerate(scores)]
    _, then = fitted((changed, dice, far, units))
    # Others of its fold are judged by the same fit, which saw neither them nor it.
    others = (fold == fold[0]) & (patients != patients[0])
    assert others.any()
    assert then.dice[others] == pytest.approx(held_out.dice[others], rel=1e-9)
    assert np.abs(then.dice[fold != fold[0]] - held_out.dice[fold != fold[0]]).max() > 0.001


def test_a_patients_error_does_not_widen_its_own_spread():
    """One patient lies far from the others by a score, and off by far: a spread that knew it would call it usual."""
    scores = [{"mahalanobis": 5.0 + index % 3} for index in range(24)]
    far = np.expm1(2 + 0.1 * np.random.default_rng(0).standard_normal(24))
    scores[0], far[0] = {"mahalanobis": 1e6}, 1e4
    units = [f"patient{index:02}" for index in range(24)]
    estimator, _ = fit_structure(scores, np.full(24, 0.8), far, units, names=["mahalanobis"], level=0.8)
    assert estimator.hausdorff_mm.errors[0][0] > 10  # 7 logarithms, where the others are off by 0.1
    assert np.median([each[0] for each in estimator.hausdorff_mm.errors]) < 2


def test_intervals_hold_new_patients_as_often_as_they_say():
    """400 patients of three cases that share an error: counting cases as patients would be too narrow."""
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(200):
        own = [abs(rng.standard_normal()) + 0.1 * rng.random(3) for _ in range(20)]
        margin = conformal_margin(own[1:], 0.8)
        inside.append(np.mean(own[0] <= margin))
    assert np.mean(inside) == pytest.approx(0.8, abs=0.06)  # two standard errors


@pytest.mark.parametrize(
    ("errors", "level", "margin"),
    [
        # Nine patients: 0.9 of ten places is the ninth; 0.8 the eighth.
        ([[value] for value in range(1, 10)], 0.9, 9),
        ([[value] for value in range(1, 10)], 0.8, 8),
        ([[-value] for value in range(1, 10)], 0.5, 5),
        # A patient with three cases weighs what one with one case does: of four places the third is reached by 5.
        ([[1, 1, 1], [2], [5]], 0.75, 5),
        ([[1, 1, 1], [2], [5]], 0.5, 2),
        # Half of the first patient's weight lies at 1, half at 4: 1.5 of 3 places are reached at 2, 2 at 4.
        ([[1, 4], [2]], 0.5, 2),
        ([[1, 4], [2]], 0.6, 4),
    ],
)
def test_margins_by_hand(errors, level, margin):
    assert conformal_margin(errors, level) == margin


def test_too_few_patients_say_how_many_are_needed():
    assert [patients_needed(level) for level in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]
    with pytest.raises(ValueError, match=r"--level 0\.9 needs 9 calibration patients; there are 8: .* 0\.89 or less"):
        conformal_margin([[1.0]] * 8, 0.9)
    with pytest.raises(ValueError, match="--level 1: it is above 0 and below 1"):
        conformal_margin([[1.0]] * 8, 1.0)


def test_badness_by_hand():
    scores = [{"reconstruction_dice": 0.75, "mahalanobis": np.e - 1, "rule_violation": 0.25}]
    names = ("reconstruction_dice", "mahalanobis", "rule_violation", "members_dice")
    assert badness(scores, names)[0].tolist() == pytest.approx([0.25, 1.0, 0.5, 0.0])  # none is as good as can be


def test_transforms_come_back():
    assert from_logit(to_logit(np.array([0.0, 0.3, 1.0]))).tolist() == pytest.approx([0.01, 0.3, 0.99])
    logs = np.array([-1.0, math.log(6)])
    assert distance_intervals(logs, np.zeros(2)).tolist() == [pytest.approx([0] * 3), pytest.approx([5] * 3)]


def test_intervals_reach_to_the_ends_that_cannot_be_told_apart():
    logits = to_logit(np.array([0.5, 0.98, 0.02]))
    half, high, low = dice_intervals(logits, np.array([0.5, 2.0, 2.0])).tolist()
    assert half == pytest.approx([0.5, 1 / (1 + math.exp(0.5)), 1 / (1 + math.exp(-0.5))])
    assert (high[0], high[2]) == (pytest.approx(0.98), 1)
    assert 0.8 < high[1] < 0.98
    assert (low[0], low[1]) == (pytest.approx(0.02), 0)


def test_nearly_perfect_predictions_are_held():
    """Of lungs, say: every true Dice is above what logits tell apart."""
    rng = np.random.default_rng(0)
    dice = rng.uniform(0.991, 0.998, 60)
    scores = [{"rule_violation": each} for each in rng.uniform(0, 1, 60)]
    units = [str(index) for index in range(60)]
    estimator, held_out = fit_structure(scores, dice, 10 * (1 - dice), units, names=["rule_violation"], level=0.9)
    assert ((held_out.dice[:, 1] <= dice) & (dice <= held_out.dice[:, 2])).mean() >= 0.9
    assert estimator.estimate(scores)[0][0].value == pytest.approx(0.99)


def test_a_fit_with_too_few_patients_gives_no_ends():
    """Ten patients suffice for a level of .9, but not the eight that are left for each part of the cross-validation."""
    scores, dice, distance, _ = made_up(20)
    units = [str(index // 2) for index in range(20)]
    estimator, held_out = fit_structure(scores, dice, distance, units, names=NAMES, level=0.9)
    for found in (held_out.dice, held_out.hausdorff_mm):
        assert np.isfinite(found[:, 0]).all()
        assert np.isnan(found[:, 1:]).all()
    assert np.isfinite(estimator.estimate(scores)[0][1]).all()
    assert Estimate.of([0.5, math.nan, math.nan]) == Estimate(0.5, None, None)


def test_an_estimator_comes_back_from_its_file():
    estimator, _ = fitted(made_up())
    again = StructureEstimator.from_plain(json.loads(json.dumps(asdict(estimator))))
    assert again == estimator
    with pytest.raises(ValueError, match="do not fit together"):
        StructureEstimator.from_plain({**asdict(estimator), "centres": [1.0]})


def test_cases_with_worse_scores_have_wider_intervals():
    rng = np.random.default_rng(0)
    broken = rng.uniform(0, 1, 200)
    dice = from_logit(2 + (0.05 + 2 * np.sqrt(broken)) * rng.standard_normal(200))
    scores = [{"rule_violation": each} for each in broken]
    units = [str(index) for index in range(200)]
    estimator, held_out = fit_structure(scores, dice, 10 * (1 - dice), units, names=["rule_violation"], level=0.9)
    (kept, _, _), (torn, _, _) = estimator.estimate([{"rule_violation": value} for value in (0.0, 1.0)])
    assert torn.high - torn.low > 3 * (kept.high - kept.low)
    inside = (held_out.dice[:, 1] <= dice) & (dice <= held_out.dice[:, 2])
    for part in (broken < 0.3, broken > 0.7):
        assert inside[part].mean() == pytest.approx(0.9, abs=0.12)
