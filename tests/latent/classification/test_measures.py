"""The strict and the looser arm: what is fitted to whom, what a verdict is, how arms are compared."""

import numpy as np
import pytest
from patients import rows_of, splits_of, table_of

from acnn_nnunet.latent.classification.features import HandMadeFeatures
from acnn_nnunet.latent.classification.measures import _mcnemar_p, classify
from acnn_nnunet.latent.codes.table import CodeTable

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


def test_tables_by_fold_need_their_splits():
    with pytest.raises(ValueError, match=r"codes has a table of codes for each of 2 folds: give the folds with"):
        classify({"codes": [NOISE, NOISE]}, ROWS)


def test_one_prior_for_all_is_not_the_strict_arm():
    with pytest.raises(ValueError, match=r"codes has 1 table of codes for 4 folds: with --splits every fold needs"):
        classify({"codes": [NOISE]}, ROWS, splits=splits_of(ROWS, num_folds=4))


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
