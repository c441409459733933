"""Calibrations of scores whose relation to the truth is made up, and so known."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest

from acnn_nnunet.plausibility.calibration import (
    Calibration,
    CalibrationCases,
    badness,
    calibrate,
    judge_flags,
    judge_plausibilities,
)
from acnn_nnunet.plausibility.table import PlausibilityRow


def made_up(count=40, *, noise=0.0):
    """Cases whose Dice falls with the Mahalanobis distance alone; what is missing and broken is drawn at random."""
    rng = np.random.default_rng(0)
    mahalanobis = rng.uniform(1, 20, count)
    dice = 1 / (1 + np.exp(-(6 - 2 * np.log1p(mahalanobis) + noise * rng.standard_normal(count))))
    scores = {"mahalanobis": mahalanobis, "rule_violation": rng.uniform(0, 1, count), "missing_labels": np.zeros(count)}
    units = [f"patient{index // 2}" for index in range(count)]
    return CalibrationCases(scores, dice, 10 * (1 - dice), units)


def test_a_known_relation_is_learnt():
    cases = made_up()
    calibration, held_out = calibrate(cases, recall=0.75, prior_sha256="abc")
    weights = dict(zip(calibration.scores, calibration.weights, strict=True))
    assert weights["missing_labels"] == 0  # a score that never moves says nothing
    assert weights["mahalanobis"] > 20 * weights["rule_violation"]
    assert np.abs(held_out - cases.dice).max() < 0.05
    measured = calibration.measured
    assert (measured["cases"], measured["patients"]) == (40, 20)
    assert measured["auroc_worst_tenth"] == 1
    assert measured["spearman_dice"] > 0.98
    assert measured["spearman_hausdorff"] < -0.98
    assert measured["single_scores"]["mahalanobis"]["spearman_dice"] == pytest.approx(1)
    assert measured["single_scores"]["missing_labels"]["spearman_dice"] is None


def test_plausibility_is_an_expected_dice_that_falls_with_every_score():
    calibration, _ = calibrate(made_up(noise=0.5), recall=0.9, prior_sha256="abc")
    rising = [1.0, 5.0, 50.0, 1e9]
    for name in calibration.scores:
        others = dict.fromkeys(set(calibration.scores) - {name}, 1.0)
        values = [calibration.plausibility({**others, name: value}) for value in rising]
        assert all(0 <= b <= a <= 1 for a, b in pairwise(values))


def test_the_threshold_finds_the_wanted_share_of_the_bad():
    cases = made_up(count=40)
    # The worst tenth are 4 of 40 and, with the fifth as bad, 5: the quantile takes an existing Dice, rank 0.1·39 → 5th.
    for recall, found in ((0.2, 1), (0.4, 2), (0.9, 5), (1.0, 5)):
        calibration, held_out = calibrate(cases, recall=recall, prior_sha256="abc")
        bad = cases.dice <= calibration.bad_dice
        assert bad.sum() == 5
        assert (held_out[bad] <= calibration.threshold).sum() == found
        assert calibration.flags(calibration.threshold)
        assert not calibration.flags(calibration.threshold + 1e-9)
        assert calibration.measured["found_share_of_bad"] == pytest.approx(found / 5)


def test_a_patient_is_never_judged_by_a_fit_that_saw_it():
    cases = made_up()
    _, held_out = calibrate(cases, recall=0.9, prior_sha256="abc")
    changed = cases.dice.copy()
    changed[:2] = 0.02  # the first patient's truth
    other = CalibrationCases(cases.scores, changed, cases.hausdorff_mm, cases.units)
    _, held_out_then = calibrate(other, recall=0.9, prior_sha256="abc")
    assert held_out_then[:2].tolist() == held_out[:2].tolist()
    assert held_out_then.tolist() != held_out.tolist()


def test_badness_by_hand():
    values = np.array([[0.75, np.e - 1, 0.25, 2.0]])
    names = ("reconstruction_dice", "mahalanobis", "rule_violation", "missing_labels")
    assert badness(values, names)[0].tolist() == pytest.approx([0.25, 1.0, 0.5, 2.0])


def test_order_is_judged_by_hand():
    dice = np.array([0.1, 0.5, 0.6, 0.7, 0.8])
    plausibility = np.array([0.3, 0.2, 0.6, 0.7, 0.8])
    found = judge_plausibilities(plausibility, dice, -dice)
    # Rank 0.1·4 = 0.4 is raised to the second case, 0.5: of 2·3 pairs of bad and good all are in order.
    assert found["auroc_worst_tenth"] == 1
    # Ranks differ by 1 in two places: 1 − 6·2 / (5·24).
    assert found["spearman_dice"] == pytest.approx(0.9)
    assert found["spearman_hausdorff"] == pytest.approx(-0.9)
    alike = judge_plausibilities(plausibility, np.full(5, 0.5), dice)
    assert (alike["auroc_worst_tenth"], alike["spearman_dice"]) == (None, None)


def test_flags_are_judged_by_hand():
    flagged, bad = np.array([1, 1, 1, 0], dtype=bool), np.array([1, 0, 0, 1], dtype=bool)
    found = judge_flags(flagged, bad)
    assert found == pytest.approx({"flagged_share": 0.75, "found_share_of_bad": 0.5, "bad_share_of_flagged": 1 / 3})
    nothing = np.zeros(4, dtype=bool)
    assert judge_flags(nothing, nothing)["found_share_of_bad"] is None


def test_a_calibration_comes_back_from_its_file():
    calibration, _ = calibrate(made_up(), recall=0.9, prior_sha256="abc", rules=[{"rule": "one_piece"}])
    again = Calibration.from_plain(json.loads(json.dumps(calibration.as_plain())), where="calibration.json")
    assert again == calibration


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 0}, "is no calibration that this acnn-nnunet wrote"),
        ({"weights": [1.0]}, "is damaged"),
        ({"scores": ["a", "b", "c"]}, "is damaged"),
        ({"threshold": float("nan")}, "is damaged"),
        ({"surplus": 1}, "is damaged"),
    ],
)
def test_a_damaged_file_is_refused(changes, message):
    plain = calibrate(made_up(), recall=0.9, prior_sha256="abc")[0].as_plain()
    with pytest.raises(ValueError, match=r"calibration\.json") as error:
        Calibration.from_plain({**plain, **changes}, where="calibration.json")
    assert message in str(error.value)


def test_what_cannot_be_learnt_is_said():
    with pytest.raises(ValueError, match="needs 10 scored cases of two patients at least; there are 8 of 4"):
        calibrate(made_up(8), recall=0.9, prior_sha256="abc")
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        calibrate(made_up(), recall=0.0, prior_sha256="abc")
    with pytest.raises(ValueError, match=r"No calibration case has a mean Dice of 0\.01 or less"):
        calibrate(made_up(), recall=0.9, prior_sha256="abc", bad_dice=0.01)
    cases = made_up()
    same = CalibrationCases(cases.scores, np.full(40, 0.5), cases.hausdorff_mm, cases.units)
    with pytest.raises(ValueError, match=r"same mean Dice, 0\.5"):
        calibrate(same, recall=0.9, prior_sha256="abc")


def test_rows_with_truth_become_cases_and_a_stranger_is_its_own_patient():
    rows = [
        PlausibilityRow("a", "scored", {"mahalanobis": 1.0, "missing_labels": 0.0}, dice=0.9, hausdorff_mm=2.0),
        PlausibilityRow("b", "scored", {"mahalanobis": 3.0, "missing_labels": 1.0}, dice=0.5, hausdorff_mm=8.0),
    ]

    cases = CalibrationCases.of_rows(rows, ["missing_labels", "mahalanobis"], {"a": "p"})

    assert {name: values.tolist() for name, values in cases.scores.items()} == {
        "missing_labels": [0, 1],
        "mahalanobis": [1, 3],
    }
    assert (cases.dice.tolist(), cases.hausdorff_mm.tolist(), cases.units) == ([0.9, 0.5], [2, 8], ["p", "b"])


def test_a_case_at_the_threshold_is_flagged():
    calibration = Calibration((), (), (), (), 0.0, bad_dice=0.5, recall=1.0, threshold=0.7, prior_sha256="")

    assert (calibration.flags(0.7), calibration.flags(0.7001)) == (True, False)


def test_a_plausibility_by_hand():
    one, weight = ("missing_labels",), (math.log(3),)
    calibration = Calibration(one, (0.0,), (1.0,), weight, math.log(3), 0.5, 1.0, threshold=0.7, prior_sha256="")

    # At the centre the odds are 3 to 1, one scale further they are a third of that, then a ninth.
    found = [calibration.plausibility({"missing_labels": badness}) for badness in (0, 1, 2)]
    assert found == pytest.approx([3 / 4, 1 / 2, 1 / 4])


def test_flags_of_nobody():
    nobody = np.zeros(3, dtype=bool)

    assert judge_flags(nobody, nobody) == {
        "flagged_share": 0.0,
        "found_share_of_bad": None,
        "bad_share_of_flagged": None,
    }


def test_cases_that_are_all_alike_cannot_be_ordered():
    judged = judge_plausibilities(np.array([0.1, 0.2]), np.array([0.5, 0.5]), np.array([3.0, 3.0]))

    assert judged == {"auroc_worst_tenth": None, "spearman_dice": None, "spearman_hausdorff": None}
