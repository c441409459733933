"""Forests see the training members of a fold, and nobody else."""

import numpy as np

from acnn_nnunet.latent.classification.folds import Fold
from acnn_nnunet.latent.classification.forests import cross_validate

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
