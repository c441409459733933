"""PCA of label maps: what it is fitted to, and that it is PCA."""

import numpy as np
import pytest

from acnn_nnunet.shape_prior.label_map_pca import pca_codes


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
