"""PCA of signed distances: exact on what it was fitted to, and as small as it was asked to be."""

import numpy as np
import pytest

from acnn_nnunet.shape_prior.pca import LinearShapeModel, most_cases


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
