"""PCA of signed distances: exact on what it was fitted to, and as small as it was asked to be."""

import numpy as np
import pytest
import torch

from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.label_maps.pca import (
    LIMIT,
    LinearShapeModel,
    distance_maps,
    fit_linear_start,
    labels_from_distances,
    most_cases,
    pca_codes,
    signed_distances,
    without_background,
)


def ball(radius: float, size: int = 16) -> np.ndarray:
    grid = np.indices((size, size)) - (size - 1) / 2
    return np.hypot(*grid) <= radius


def rings(radius: float) -> np.ndarray:
    """A disc in a ring, as exclusive masks (2, 16, 16)."""
    return np.stack([ball(radius) & ~ball(radius / 2), ball(radius / 2)])


def test_one_case_is_its_own_mean_shape():
    model = LinearShapeModel([rings(5.0)], components=8, exclusive=True)
    assert model.components == 0
    np.testing.assert_array_equal(model.reconstruct(rings(7.0)), rings(5.0))


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


def test_a_voxel_that_no_label_is_deep_in_is_background():
    distances = np.array([[0.0, 2.0, -1.0, 3.0], [-1.0, 3.0, -1.0, 3.0]])

    # Of equal depths the first label wins, and a depth of 0 is none.
    assert labels_from_distances(distances).tolist() == [0, 2, 0, 1]


def test_one_case_has_one_component():
    model = LinearShapeModel([rings(4.0), rings(5.0)], components=8, exclusive=True)

    assert (model.components, model.num_cases) == (1, 2)


def test_the_backgrounds_channel_is_emptied_and_regions_have_none():
    maps = torch.tensor([[[0.25], [0.75]]])

    assert without_background(maps, LabelSpace(2)).tolist() == [[[0.0], [0.75]]]
    assert without_background(maps, LabelSpace(2, regions=True)) is maps


def test_distances_of_label_maps_by_hand():
    # A row of voxels of 2 mm with the label in the last two: half a voxel and one and a half from the boundary.
    maps = torch.tensor([[[[1.0, 1, 0, 0]], [[0, 0, 1, 1]]]])

    found = distance_maps(maps, LabelSpace(2), (4.0, 2.0))

    assert found.tolist() == [[[[0, 0, 0, 0]], [[-1.5, -0.5, 0.5, 1.5]]]]


def test_distances_of_an_absent_region_are_the_limit():
    assert distance_maps(torch.zeros(1, 1, 3), LabelSpace(1, regions=True), (1.0,)).tolist() == [[[-6.0] * 3]]


def test_a_linear_start_of_two_maps_has_one_direction():
    # The maps are ±(3, 4) around (1, 1): one axis (0.6, 0.8), along which they lie at ±5.
    distances = torch.tensor([[4.0, 5.0], [-2.0, -3.0]])

    start = fit_linear_start(distances, distances, components=4)

    assert start.distance_mean.tolist() == [1, 1]
    torch.testing.assert_close(start.basis.abs(), torch.tensor([[0.6, 0.8]]))
    torch.testing.assert_close(start.scale, torch.tensor([5.0]))
    assert start.read_size == pytest.approx(7)
    codes = (distances - start.read_mean) @ start.to_code
    torch.testing.assert_close(codes.abs(), torch.ones(2, 1), rtol=0.01, atol=0.01)


def test_maps_that_are_all_alike_have_no_direction():
    start = fit_linear_start(torch.ones(3, 4), torch.ones(3, 4), components=2)

    assert (tuple(start.basis.shape), tuple(start.to_code.shape), start.read_size) == ((0, 4), (4, 0), 0.0)
