"""PCA of signed distances: exact on what it was fitted to, and as small as it was asked to be."""

import numpy as np
import pytest

from acnn_nnunet.shape_prior.pca import (
    LIMIT,
    LinearShapeModel,
    labels_from_distances,
    most_cases,
    pca_codes,
    signed_distances,
)


def ball(radius: float, size: int = 16) -> np.ndarray:
    grid = np.indices((size, size)) - (size - 1) / 2
    return np.hypot(*grid) <= radius


def rings(radius: float) -> np.ndarray:
    """A disc in a ring, as exclusive masks (2, 16, 16)."""
    return np.stack([ball(radius) & ~ball(radius / 2), ball(radius / 2)])


@pytest.mark.parametrize("exclusive", [True, False])
def test_what_it_was_fitted_to_comes_back(exclusive):
    masks = [rings(radius) for radius in (4.0, 5.0, 6.0, 7.0)]
    if not exclusive:
        masks = [np.stack([mask.any(0), mask[1]]) for mask in masks]
    model = LinearShapeModel(masks, components=8, exclusive=exclusive)
    assert model.components == 3  # four points have three directions
    assert model.num_cases == 4
    for mask in masks:
        np.testing.assert_array_equal(model.reconstruct(mask), mask)


def test_one_component_knows_one_direction():
    # Discs that differ in size alone: another size is in the model, another place is not.
    model = LinearShapeModel([rings(radius) for radius in (4.0, 5.0, 6.0, 7.0)], components=1, exclusive=True)

    def dice(mask):
        rebuilt = model.reconstruct(mask).any(0)
        return 2 * (rebuilt & mask.any(0)).sum() / (rebuilt.sum() + mask.any(0).sum())

    assert dice(rings(5.5)) > 0.95
    assert dice(np.roll(rings(5.5), 4, axis=1)) < 0.9


def test_an_absent_label_stays_absent():
    masks = [np.stack([ball(radius), np.zeros((16, 16), dtype=bool)]) for radius in (4.0, 5.0, 6.0)]
    rebuilt = LinearShapeModel(masks, components=2, exclusive=True).reconstruct(masks[0])
    assert not rebuilt[1].any()


def test_memory_bounds_the_cases():
    assert most_cases((2, 40, 56, 40)) == 837  # 150 million values
    assert most_cases((5, 2000, 2000, 2000)) == 2


def test_too_few_maps():
    with pytest.raises(ValueError, match="PCA needs at least two label maps to be fitted to, there are 1"):
        pca_codes(np.eye(3), np.array([True, False, False]), components=2)


def test_no_more_components_than_directions():
    assert pca_codes(np.eye(5), np.array([True, True, True, False, False]), components=4).shape == (5, 2)


def test_one_direction_by_hand():
    # Fitted to (±1, 0): the axis is the first, the mean 0; the second number of any map is lost.
    maps = np.array([[1.0, 0.0], [-1.0, 0.0], [3.0, 7.0]])

    codes = pca_codes(maps, np.array([True, True, False]), components=1)

    np.testing.assert_allclose(np.abs(codes[:, 0]), [1, 1, 3], rtol=1e-6)
    assert np.sign(codes[0, 0]) == np.sign(codes[2, 0]) == -np.sign(codes[1, 0])


def test_maps_beyond_the_fit_change_nothing():
    generator = np.random.default_rng(0)
    maps, fitted = generator.normal(size=(12, 30)), np.arange(12) < 8
    other = np.where(fitted[:, None], maps, 100 * maps)

    first, second = (pca_codes(each, fitted, components=4) for each in (maps, other))

    np.testing.assert_array_equal(first[fitted], second[fitted])


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
