"""Forests see the training members of a fold, and nobody else; verdicts and their statistics by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

from acnn_nnunet.files.patients import CaseGroup
from acnn_nnunet.latent.classification.arms import Arm, ArmResult, cross_validate, make_arms, try_arm
from acnn_nnunet.latent.classification.cohort import Cohort, Member
from acnn_nnunet.latent.classification.features import HandMadeFeatures
from acnn_nnunet.latent.classification.folds import Fold
from acnn_nnunet.latent.codes.table import CodeTable

Z = 1.959963984540054  # the normal distribution's 97.5 % point, from tables
TARGETS = np.array([0, 0, 0, 1, 1, 1])
FOLDS = [Fold(np.array([1, 2, 4, 5]), np.array([0, 3])), Fold(np.array([0, 3]), np.array([1, 2, 4, 5]))]


def test_what_separates_is_learnt():
    features = TARGETS[:, None] * 10.0

    probabilities = cross_validate([features], TARGETS, [FOLDS] * 2, num_trees=5)

    assert probabilities.shape == (2, 6, 2)
    np.testing.assert_allclose(probabilities.sum(2), 1)
    # The second fold's bootstraps of two members often hold one class alone, so only the first is sure.
    assert (probabilities[0, [0, 3]].argmax(1) == [0, 1]).all()


def test_each_fold_has_its_own_features():
    right = TARGETS[:, None] * 10.0
    # In the first fold's features a test member lies on the other class's side.
    spoilt = right.copy()
    spoilt[[0, 3]] = right[[3, 0]]
    fooled = cross_validate([spoilt, right], TARGETS, [[FOLDS[0], Fold(FOLDS[0].train, np.array([], dtype=int))]])

    assert (fooled[0, [0, 3]].argmax(1) == [1, 0]).all()


def test_runs_differ_by_their_seed_and_repeat():
    features = np.random.default_rng(0).normal(size=(6, 3))

    first, again = (cross_validate([features], TARGETS, [FOLDS] * 3, num_trees=3) for _ in range(2))

    np.testing.assert_array_equal(first, again)
    assert not (first[0] == first[1]).all()


def test_a_class_without_training_members_is_never_predicted():
    targets = np.array([0, 0, 1, 1, 2])
    fold = Fold(np.array([0, 1, 2, 3]), np.array([4]))

    probabilities = cross_validate([np.arange(5.0)[:, None]], targets, [[fold]], num_trees=3)

    assert probabilities[0, 4, 2] == 0
    assert probabilities[0, 4].sum() == 1


def test_every_forest_is_counted():
    steps = []

    cross_validate([TARGETS[:, None]], TARGETS, [FOLDS] * 2, num_trees=1, advance=lambda: steps.append(1))

    assert len(steps) == 4


def test_a_verdict_is_the_vote_of_all_runs():
    # Two runs of three lean to class 0 by a little, one to class 1 by far: its trees are more.
    probabilities = np.array([[[0.6, 0.4]], [[0.6, 0.4]], [[0.0, 1.0]]])

    arm = ArmResult("codes", "ED", 1, probabilities, np.array([0]))

    assert arm.verdicts.tolist() == [1]
    assert arm.share_correct.tolist() == pytest.approx([2 / 3])
    assert arm.accuracies.tolist() == [1, 1, 0]


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


COHORT = Cohort(
    tuple(Member(name, name, group, {"ED": f"{name}_ED", "ES": f"{name}_ES"}) for name, group in ("pA", "qB")),
    ("A", "B"),
    (),
)
# Codes of one number: p 1 and 2, q 3 and 4, in another order than the cohort's.
CODES = CodeTable(
    tuple(CaseGroup(case, "", "", "") for case in ("q_ES", "p_ED", "p_ES", "q_ED")), np.array([[4.0], [1], [2], [3]])
)


def hand_made(*names):
    values = {"q": np.arange(len(names)) + 10.0, "p": np.arange(len(names)) + 0.0}
    return HandMadeFeatures(Path("clinical.csv"), names, values)


def test_the_arms_of_codes_alone():
    first, second = make_arms(COHORT, {"codes": [CODES]}, None)

    assert (first.name, first.phases, first.num_features) == ("codes", "ED", 1)
    assert (second.name, second.phases, second.num_features) == ("codes", "ED+ES", 2)
    assert first.views[0][0].tolist() == [[1], [3]]
    assert second.views[0][0].tolist() == [[1, 2], [3, 4]]


def test_hand_made_features_are_arms_alone_and_beside_the_first_codes():
    arms = make_arms(COHORT, {"a": [CODES], "b": [CODES]}, hand_made("lv_edv", "lv_ef"))

    assert [(arm.name, arm.phases, arm.num_features) for arm in arms] == [
        ("a", "ED", 1),
        ("b", "ED", 1),
        ("volumes", "ED", 1),  # end-diastole tells the first of both
        ("a+volumes", "ED", 2),
        ("a", "ED+ES", 2),
        ("b", "ED+ES", 2),
        ("volumes", "ED+ES", 2),
        ("a+volumes", "ED+ES", 4),
    ]
    assert arms[2].views[0][0].tolist() == [[0], [10]]


def test_features_that_need_both_phases_are_no_arm_of_end_diastole():
    arms = make_arms(COHORT, {"a": [CODES]}, hand_made("lv_ef"))

    assert [arm.name for arm in arms if arm.phases == "ED"] == ["a"]


def test_a_table_for_each_fold_is_a_matrix_for_each_fold():
    (first, _) = make_arms(COHORT, {"codes": [CODES, CODES]}, None)

    assert (len(first.views), len(first.views[0])) == (1, 2)


def test_views_of_an_arm_vote_together():
    separating, useless = TARGETS[:, None] * 10.0, np.zeros((6, 1))
    steps = []

    both = try_arm(
        Arm("a", "ED", ((separating,), (useless,))), TARGETS, [FOLDS], num_trees=3, advance=lambda: steps.append(1)
    )
    each = [cross_validate([view], TARGETS, [FOLDS], num_trees=3) for view in (separating, useless)]

    np.testing.assert_allclose(both.probabilities, (each[0] + each[1]) / 2)
    assert (both.num_features, len(steps)) == (2, 4)
