"""Calibrations of scores whose relation to the truth is made up, and so known."""

from dataclasses import replace

import numpy as np
import pytest

from acnn_nnunet.plausibility.calibrate import _threshold, calibrate, without_patient
from acnn_nnunet.plausibility.table import PlausibilityRow, Structure


def made_up(count=40, *, noise=0.2):
    """Rows whose Dice falls with the members' Dice of each structure; rules say nothing. Two cases a patient."""
    rng = np.random.default_rng(0)
    rows = []
    for index in range(count):
        structures = {}
        for name in ("LV", "RV"):
            agreement = rng.uniform(0.3, 1)
            dice = float(1 / (1 + np.exp(-(6 * agreement - 3 + noise * rng.standard_normal()))))
            scores = {"members_dice": agreement, "rule_violation": rng.uniform(0, 1), "volume_ml": rng.uniform(50, 90)}
            structures[name] = Structure(True, scores, True, dice, 20 * (1 - dice))
        dice, far = (float(np.mean([getattr(s, key) for s in structures.values()])) for key in ("dice", "hausdorff_mm"))
        row = PlausibilityRow(f"c{index}", "scored", structures, {"mahalanobis": 4.0}, diagonal_mm=99.0)
        rows.append(replace(row, dice=dice, hausdorff_mm=far))
    return rows


def learn(rows, **changes):
    options = {
        "patient_of": {f"c{index}": f"p{index // 2}" for index in range(100)},
        "sources": ("members", "rules"),
        "structure_scores": ("members_dice", "rule_violation"),
        "case_scores": ("mahalanobis",),
        "recall": 0.9,
        "level": 0.9,
    }
    return calibrate(rows, **{**options, **changes})


def test_a_known_relation_is_learnt_per_structure():
    calibration, rows = learn(made_up(noise=0.05))
    assert list(calibration.structures) == ["LV", "RV"]
    assert calibration.measured["auroc_worst_tenth"] == 1
    assert calibration.measured["spearman_dice"] > 0.97
    assert (calibration.measured["cases"], calibration.measured["patients"]) == (40, 20)
    for row in rows:
        assert row.plausibility == pytest.approx(np.mean([s.expected_dice.value for s in row.structures.values()]))
        assert row.flagged == (row.plausibility <= calibration.threshold or row.unusual)
        assert row.unusual == (row.novelty > calibration.novelty.limit)
    bad = sorted(row.plausibility for row in rows if row.dice <= calibration.bad_dice)
    assert calibration.threshold == bad[4]  # 0.9 · 5 cases, rounded up
    known = calibration.structures["LV"].measured
    assert 0.8 <= known["dice_intervals"]["coverage"] <= 1
    alone = calibration.measured["alone"]
    assert alone["members"]["aurc"] < alone["rules"]["aurc"]


def test_the_threshold_finds_the_wanted_share_of_the_bad():
    rows = made_up()
    # The worst tenth are 4 of 40 and, with the fifth as bad, 5: the quantile takes an existing Dice, rank 0.1·39 → 5th.
    for recall, found in ((0.2, 1), (0.4, 2), (0.9, 5), (1.0, 5)):
        calibration, judged = learn(rows, recall=recall)
        known = calibration.structures["RV"]
        bad = [row.structures["RV"] for row in judged if row.structures["RV"].dice <= known.bad_dice]
        assert (len(bad), sum(each.flagged for each in bad)) == (5, found)
        assert known.measured["found_share_of_bad"] == pytest.approx(found / 5)


@pytest.mark.parametrize(("recall", "rank"), [(0.55, 11), (0.5, 10), (1.0, 20), (1e-12, 1)])
def test_the_threshold_is_that_of_the_case_it_takes_whatever_rounding_does(recall, rank):
    expected = np.arange(40) / 100  # the first twenty are bad: 0.55 of them are 11, and .55 * 20 is 11.000000000000002
    assert _threshold(expected, expected < 0.2, recall) == pytest.approx((rank - 1) / 100)


def test_cases_that_the_table_of_patients_lacks_are_named():
    rows = [*made_up(3), PlausibilityRow("x", "excluded")]
    assert without_patient(rows, {}) == without_patient(rows, {"c0": "p", "c1": "p", "c2": "q"}) == ""
    remark = without_patient(rows, {"c0": "p", "C1": "p", "C2": "q"})
    assert remark == "the table of patients lacks c1 (2 in all): such a case counts as a patient of its own"


def test_a_structure_that_no_case_has_is_left_out_and_said():
    rows = made_up()
    gone = [replace(row, structures={**row.structures, "RV": Structure(False, {}, False)}) for row in rows]
    calibration, judged = learn(gone)
    assert calibration.left_out == {"RV": "no calibration case has RV"}
    assert judged[0].structures["RV"].expected_dice is None
    assert judged[0].plausibility == judged[0].structures["LV"].expected_dice.value
    few = [*rows[:9], *gone[9:]]
    assert learn(few)[0].left_out == {"RV": "RV is predicted in 9 calibration cases, 10 are needed"}
    nothing = [replace(row, structures={"RV": Structure(False, {}, False)}) for row in rows]
    with pytest.raises(ValueError, match=r"No structure can be calibrated: no calibration case has RV\."):
        learn(nothing)


def test_a_missing_structure_that_every_reference_has_is_known_to_be_wrong():
    rows = made_up()
    missed = Structure(False, {}, True, 0.0, 99.0)
    rows[3] = replace(rows[3], structures={**rows[3].structures, "RV": missed})
    calibration, judged = learn(rows)
    assert calibration.structures["RV"].always_there
    found = judged[3].structures["RV"]
    assert (found.expected_dice.value, found.expected_hausdorff_mm.low, found.flagged) == (0, 99, True)
    rows[4] = replace(rows[4], structures={**rows[4].structures, "RV": Structure(False, {}, False)})
    calibration, judged = learn(rows)
    assert not calibration.structures["RV"].always_there
    # An empty prediction calibrates nothing, but its reference has no RV either.
    empty = {"LV": Structure(False, {}, True, 0.0, 99.0), "RV": Structure(False, {}, False)}
    calibration, _ = learn([*made_up(), PlausibilityRow("x", "empty", empty, dice=0.0, hausdorff_mm=99.0)])
    assert calibration.structures["LV"].always_there
    assert not calibration.structures["RV"].always_there
    assert judged[3].structures["RV"].expected_dice is None


def test_cases_that_are_not_scored_are_judged_and_not_learnt_from():
    rows = [*made_up(), PlausibilityRow("empty", "empty", dice=0.0), PlausibilityRow("x", "excluded", reason="r")]
    calibration, judged = learn(rows)
    assert calibration.measured["cases"] == 40
    assert (judged[-2].plausibility, judged[-2].flagged, judged[-1].flagged) == (0.0, True, None)


def test_a_structure_of_too_few_patients_is_left_out_and_said():
    rows = made_up()  # RV is in twelve cases of six patients
    few = [*rows[:12], *(replace(r, structures={**r.structures, "RV": Structure(False, {}, False)}) for r in rows[12:])]
    calibration, _ = learn(few)
    assert list(calibration.structures) == ["LV"]
    assert calibration.left_out == {"RV": "RV is predicted in 6 calibration patients, 9 are needed at --level 0.9"}
    assert learn(few, level=0.8)[0].left_out == {}


def test_a_volume_that_no_calibration_case_has_is_unusual():
    rows = made_up()
    calibration, _ = learn(rows)
    assert calibration.novelty.clouds["LV"].scores == ("volume_ml", "members_dice")
    assert calibration.measured["unusual_share"] == 0.05  # two of forty cases, two a patient
    lv = replace(rows[0].structures["LV"], scores={**rows[0].structures["LV"].scores, "volume_ml": 5.0})
    (small,) = calibration.judged([replace(rows[0], structures={**rows[0].structures, "LV": lv})])
    assert (small.unusual, small.flagged, small.strangest_structure) == (True, True, "LV")
    assert small.plausibility == pytest.approx(calibration.judged([rows[0]])[0].plausibility)


def test_what_cannot_be_learnt_is_said():
    with pytest.raises(ValueError, match="needs 10 scored cases of two patients at least; there are 8 of 4"):
        learn(made_up(8))
    with pytest.raises(ValueError, match=r"No calibration case has a mean Dice of 0\.01 or less"):
        learn(made_up(), bad_dice=0.01)
    with pytest.raises(ValueError, match=r"same mean Dice, 0\.5"):
        learn([replace(row, dice=0.5) for row in made_up()])
    with pytest.raises(ValueError, match=r"LV: .*--level 0\.9 needs 9 calibration patients; there are 8"):
        learn(made_up(16))
    assert learn(made_up(16), level=0.85)[0].level == 0.85
