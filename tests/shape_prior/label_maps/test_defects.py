"""Defects: as large as asked for, nothing at strength 0, valid label maps always, in 2D, 3D and with regions."""

import numpy as np
import pytest

from acnn_nnunet.shape_prior.label_maps.defects import (
    DEFECTS,
    STRENGTHS,
    add_island,
    dose_response,
    grow,
    move_slices,
    rank_correlation,
    remove_slab,
    shrink,
    swap_label,
)

BACKGROUND = np.array([1.0, 0.0, 0.0])
NO_CHANNELS = np.array([0.0, 0.0])


def classes(shape=(20, 20, 20)) -> np.ndarray:
    """Two labels side by side in a box of half of each axis."""
    labels = np.zeros(shape, dtype=int)
    inside = tuple(slice(n // 4, n // 4 + n // 2) for n in shape)
    labels[inside] = 1
    labels[(*inside[:-1], slice(shape[-1] // 2, shape[-1] // 4 + shape[-1] // 2))] = 2
    return np.stack([labels == c for c in range(3)]).astype(np.float32)


def regions(shape=(20, 20, 20)) -> np.ndarray:
    whole = classes(shape)[1:].sum(0)
    return np.stack([whole, classes(shape)[2]]).astype(np.float32)


def volume(maps: np.ndarray) -> int:
    return int((maps[0] == 0).sum())


@pytest.mark.parametrize("name", DEFECTS)
@pytest.mark.parametrize("shape", [(20, 20, 20), (24, 20)])
def test_more_strength_spoils_more_and_keeps_one_label_a_voxel(name, shape):
    maps = classes(shape)
    spoilt = [DEFECTS[name](maps, BACKGROUND, strength, 3) for strength in (0.0, *STRENGTHS)]
    changed = [(each != maps).any(0).sum() for each in spoilt]
    assert changed[0] == 0
    assert (np.diff(changed) >= 0).all()
    assert changed[-1] > changed[2] > 0  # at the least strength, slices of these small boxes move by half a voxel
    for each in spoilt:
        assert each.shape == maps.shape
        np.testing.assert_array_equal(each.sum(0), 1)


@pytest.mark.parametrize("name", DEFECTS)
def test_regions_stay_binary_and_are_spoilt_too(name):
    maps = regions()
    spoilt = DEFECTS[name](maps, NO_CHANNELS, 0.3, 1)
    assert set(np.unique(spoilt)) <= {0, 1}
    assert (spoilt != maps).any()


@pytest.mark.parametrize("name", DEFECTS)
def test_a_map_without_anatomy_stays_as_it_is(name):
    maps = np.zeros((3, 6, 6, 6), dtype=np.float32)
    maps[0] = 1
    np.testing.assert_array_equal(DEFECTS[name](maps, BACKGROUND, 0.5, 0), maps)


@pytest.mark.parametrize("name", DEFECTS)
def test_the_same_seed_gives_the_same_defect(name):
    first, second = (DEFECTS[name](classes(), BACKGROUND, 0.3, 5) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_boundaries_move_by_the_asked_volume():
    maps = classes()  # 1000 voxels
    assert volume(grow(maps, BACKGROUND, 0.3, 0)) == 1300
    assert volume(shrink(maps, BACKGROUND, 0.3, 0)) == 700
    # The box's surface layer has 1000 - 8³ = 488 voxels: it goes first, and what is inside stays.
    inner = shrink(maps, BACKGROUND, 0.488, 0)
    assert volume(inner) == 512
    assert (inner[0, 6:14, 6:14, 6:14] == 0).all()


def test_growing_takes_the_nearest_label():
    grown = grow(classes(), BACKGROUND, 0.3, 0)
    np.testing.assert_array_equal(grown[1:, :, :, :5].any(axis=(1, 2, 3)), [True, False])
    np.testing.assert_array_equal(grown[1:, :, :, 15:].any(axis=(1, 2, 3)), [False, True])


def test_a_slab_is_whole_slices():
    spoilt = remove_slab(classes(), BACKGROUND, 0.3, 0)
    empty = (spoilt[0] == 1).all(axis=(1, 2))
    assert empty.sum() == 10 + 3
    assert volume(spoilt) == 700


def test_an_island_is_apart():
    spoilt = add_island(classes((40, 40, 40)), BACKGROUND, 0.05, 0)
    from scipy.ndimage import label

    assert volume(spoilt) == 8400
    assert label(spoilt[0] == 0)[1] == 2


def test_a_label_swaps_with_the_next():
    spoilt = swap_label(classes(), BACKGROUND, 0.3, 0)
    assert volume(spoilt) == 1000
    assert (spoilt[1:] != classes()[1:]).any(0).sum() == 300
    alone = classes()[:2]
    alone[0] = 1 - alone[1]
    assert volume(swap_label(alone, BACKGROUND[:2], 0.5, 0)) == 250  # of 500 voxels, half become background


def test_regions_swap_to_a_combination_that_occurs():
    maps = np.zeros((2, 12, 12, 12), dtype=np.float32)
    maps[0, 1:11, 1:11, 1:11] = 1  # the whole, 1000 voxels
    maps[1, 2:10, 2:10, 2:10] = 1  # its core
    spoilt = swap_label(maps, np.zeros(2), 0.3, 0)
    assert (spoilt != maps).any(0).sum() == 300
    assert not (spoilt[1] > spoilt[0]).any()
    alone = maps[:1]
    assert swap_label(alone, np.zeros(1), 0.5, 0).sum() == 500


def test_slices_move_by_whole_voxels_within_themselves():
    maps = classes()
    spoilt = move_slices(maps, BACKGROUND, 0.3, 0)
    np.testing.assert_array_equal(spoilt[1:].sum(axis=(2, 3)), maps[1:].sum(axis=(2, 3)))
    for before, after in zip(np.moveaxis(maps[1:].sum(0), 0, 0), spoilt[1:].sum(0), strict=True):
        if before.any():
            moved = np.argwhere(after).min(0) - np.argwhere(before).min(0)
            assert (np.abs(moved) <= 3).all()  # 0.3 of an extent of 10


def test_dose_response_looks_within_cases():
    # Cases far apart from each other, each of which rises: a pooled rank correlation would be low.
    response = dose_response([0, 1, 2], np.array([[0.0, 1, 2], [100, 101, 102]]))
    assert response.spearman == pytest.approx(1)
    assert response.monotone
    assert response.means == [50, 51, 52]


def test_dose_response_that_falls_or_stays():
    # Ranks 1 3 2 against 1 2 3: rho = 1 - 6·2 / (3·8) = 0.5.
    response = dose_response([0, 1, 2], np.array([[0.0, 2, 1]]))
    assert response.spearman == pytest.approx(0.5)
    assert not response.monotone
    constant = dose_response([0, 1, 2], np.ones((2, 3)))
    assert constant.spearman is None
    assert not constant.monotone


def test_steps_without_change_are_still_monotone():
    assert dose_response([0, 1, 2], np.array([[0.0, 1, 1]])).monotone


def test_rank_correlation_of_a_constant():
    assert rank_correlation(np.ones(4), np.arange(4)) is None
    assert rank_correlation(np.arange(4), -np.arange(4)) == pytest.approx(-1)
