"""Signed distances by hand, and the way back."""

import numpy as np

from acnn_nnunet.shape_prior.signed_distance import LIMIT, labels_from_distances, signed_distances


def test_a_line_by_hand():
    distances = signed_distances(np.array([0, 0, 1, 1, 1, 2]), 4)
    assert distances[0].tolist() == [-2, -1, 1, 2, 1, -1]
    assert distances[1].tolist() == [-5, -4, -3, -2, -1, 1]
    assert distances[2].tolist() == [-LIMIT] * 6  # absent


def test_voxels_of_a_length():
    labels = np.array([[0, 1, 1], [0, 1, 1]])
    assert signed_distances(labels, 2, spacing=(3.0, 1.5))[0].tolist() == [[-1.5, 1.5, 3.0]] * 2
    assert signed_distances(labels.T, 2, spacing=(3.0, 1.5))[0].tolist() == [[-3.0] * 2, [3.0] * 2, [6.0] * 2]


def test_a_label_that_is_everywhere():
    assert (signed_distances(np.ones((3, 4), dtype=int), 2) == LIMIT).all()


def test_far_away_is_clipped():
    labels = np.zeros(100, dtype=int)
    labels[:50] = 1
    assert signed_distances(labels, 2).min() == -LIMIT
    assert signed_distances(labels, 2).max() == LIMIT


def test_there_and_back():
    labels = np.random.default_rng(0).integers(0, 3, (6, 7, 8))
    assert np.array_equal(labels_from_distances(signed_distances(labels, 3)), labels)
