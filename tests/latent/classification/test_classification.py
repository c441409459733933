"""The strict and the looser arm: what is fitted to whom, what a verdict is, how arms are compared."""

import math

import numpy as np
import pytest
from patients import rows_of, splits_of, table_of

from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.latent.classification.classification import ArmResult, _mcnemar_p, classify, read_twins
from acnn_nnunet.latent.classification.hand_made import HandMadeFeatures
from acnn_nnunet.latent.codes.table import CodeTable

Z = 1.959963984540054  # the normal distribution's 97.5 % point, from tables
ROWS = rows_of({"NOR": 4, "DCM": 4, "HCM": 4})
NOISE = CodeTable(tuple(ROWS), np.random.default_rng(1).normal(size=(24, 3)))
QUICK = {"num_folds": 4, "num_runs": 2, "num_trees": 10}


def by_name(result):
    return {(arm.name, arm.phases): arm for arm in result.arms}


def test_codes_that_tell_groups_apart_beat_noise():
    result = classify({"codes": [table_of(ROWS)], "noise": [NOISE]}, ROWS, **QUICK)

    arms = by_name(result)
    assert list(arms) == [("codes", "ED"), ("noise", "ED"), ("codes", "ED+ES"), ("noise", "ED+ES")]
    assert not result.strict
    assert arms["codes", "ED"].correct.all()
    assert arms["codes", "ED"].num_features == 2
    assert arms["codes", "ED+ES"].num_features == 4
    np.testing.assert_array_equal(arms["codes", "ED"].confusion, 4 * np.eye(3))
    duel = result.duels[0]
    wrong = int((~arms["noise", "ED"].correct).sum())
    assert wrong > 0
    assert (duel.first, duel.second, duel.only_first, duel.only_second) == ("codes", "noise", wrong, 0)
    assert duel.p == pytest.approx(min(1, 2 / 2**wrong))
    assert duel.interval[0] <= duel.difference <= duel.interval[1]


def test_a_fold_is_tested_with_its_own_codes():
    # In fold 1's table the groups have swapped places; a forest of fold 0 would get its patients wrong.
    swapped = table_of(ROWS, {"NOR": 20.0, "DCM": 0.0, "HCM": 10.0})
    splits = splits_of(ROWS, num_folds=2)

    result = classify({"codes": [table_of(ROWS), swapped]}, ROWS, splits=splits, num_runs=1, num_trees=10)

    assert result.strict
    assert all(arm.correct.all() for arm in result.arms)


def test_nothing_that_sees_a_test_patient_is_fitted_on_it():
    # The forests' training patients decide alone: a test patient with the code of another group is taken for it.
    codes = table_of(ROWS)
    codes.codes[[0, 1]] = codes.codes[[8, 9]]  # p00, NOR, looks like p04, DCM
    splits = splits_of(ROWS, num_folds=4)

    result = classify({"codes": [codes] * 4}, ROWS, splits=splits, num_runs=1, num_trees=10)

    first = by_name(result)["codes", "ED"]
    assert result.cohort.classes[first.verdicts[0]] == "DCM"
    assert not first.correct[0]


def test_volumes_are_arms_of_their_own_and_beside_the_codes():
    values = {f"p{n:02d}": np.array([n // 4 * 10.0, 1.0]) for n in range(12)}
    clinical = HandMadeFeatures("clinical.csv", ("lv_edv_ml", "lv_ef_percent"), values)

    result = classify({"codes": [NOISE]}, ROWS, hand_made=clinical, **QUICK)

    arms = by_name(result)
    assert {name: arm.num_features for name, arm in arms.items()} == {
        ("codes", "ED"): 3, ("volumes", "ED"): 1, ("codes+volumes", "ED"): 4,
        ("codes", "ED+ES"): 6, ("volumes", "ED+ES"): 2, ("codes+volumes", "ED+ES"): 8,
    }  # fmt: skip
    assert arms["volumes", "ED"].correct.all()
    assert arms["codes+volumes", "ED+ES"].correct.sum() > arms["codes", "ED+ES"].correct.sum()


def test_patients_without_volumes_are_left_out_of_every_arm():
    values = {f"p{n:02d}": np.array([1.0, np.nan if n == 1 else 2.0]) for n in range(1, 12)}
    clinical = HandMadeFeatures("clinical.csv", ("lv_edv_ml", "lv_ef_percent"), values)

    result = classify({"codes": [NOISE]}, ROWS, hand_made=clinical, **{**QUICK, "num_folds": 2})

    assert {each.patient: each.reason for each in result.cohort.excluded} == {
        "p00": "is not in clinical.csv",
        "p01": "has no lv_ef_percent in clinical.csv",
    }
    assert all(len(arm.targets) == 10 for arm in result.arms)


def test_a_verdict_is_the_vote_of_all_runs():
    # Two runs of three lean to class 0 by a little, one to class 1 by far: its trees are more.
    probabilities = np.array([[[0.6, 0.4]], [[0.6, 0.4]], [[0.0, 1.0]]])

    arm = ArmResult("codes", "ED", 1, probabilities, np.array([0]))

    assert arm.verdicts.tolist() == [1]
    assert arm.share_correct.tolist() == pytest.approx([2 / 3])
    assert arm.accuracies.tolist() == [1, 1, 0]


def test_tables_by_fold_need_their_splits():
    with pytest.raises(ValueError, match=r"codes has a table of codes for each of 2 folds: give the folds with"):
        classify({"codes": [NOISE, NOISE]}, ROWS)


def test_one_prior_for_all_is_not_the_strict_arm():
    with pytest.raises(ValueError, match=r"codes has 1 table of codes for 4 folds: with --splits every fold needs"):
        classify({"codes": [NOISE]}, ROWS, splits=splits_of(ROWS, num_folds=4))


def test_twins_come_from_the_conversions_report(tmp_path):
    assert read_twins(tmp_path / "groups.csv") == {}
    report = {"source": "", "training_patients": [], "test_patients": [], "excluded": [], "notes": {}}
    write_json(tmp_path / "conversion_report.json", {**report, "twins": {"patient076": "patient074"}})

    assert read_twins(tmp_path / "groups.csv") == {"patient076": "patient074"}


def arm_with(verdicts, targets, *, num_classes=2):
    return ArmResult("codes", "ED", 1, np.eye(num_classes)[None, verdicts], np.array(targets))


@pytest.mark.parametrize("successes", [0, 10])
def test_the_interval_of_nobody_and_everybody(successes):
    # By hand from Wilson's formula at p = 0: the upper end is z² / (n + z²), and 1 minus it at p = 1.
    far = Z**2 / (10 + Z**2)

    interval = arm_with([0] * 10, [0 if successes else 1] * 10).interval

    assert interval == pytest.approx((0, far) if successes == 0 else (1 - far, 1))


def test_an_interval_between():
    # p = 1/2: symmetric around it, half width z √(1/(4n) + z²/(4n²)) / (1 + z²/n).
    half = Z * math.sqrt(1 / 16 + Z**2 / 64) / (1 + Z**2 / 4)

    assert arm_with([0, 0, 1, 1], [0, 1, 0, 1]).interval == pytest.approx((0.5 - half, 0.5 + half))


def test_the_ends_of_an_interval_solve_the_score_test():
    # By definition the ends solve (p̂ − p)² = z² p (1 − p) / n.
    for end in arm_with([0] * 48, [0] * 40 + [1] * 8).interval:
        assert (40 / 48 - end) ** 2 == pytest.approx(Z**2 * end * (1 - end) / 48)


def test_rows_of_the_confusion_are_the_truth():
    confusion = arm_with([0, 1, 1, 1], [0, 0, 1, 2], num_classes=4).confusion

    np.testing.assert_array_equal(confusion, [[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 0, 1.0),
        (0, 1, 1.0),
        (5, 0, 2 / 32),  # both tails of five tosses that fall alike
        (1, 5, 2 * (1 + 6) / 64),
        (3, 3, 1.0),
    ],
)
def test_mcnemar(first, second, p):
    assert _mcnemar_p(first, second) == pytest.approx(p)
    assert _mcnemar_p(second, first) == pytest.approx(p)
