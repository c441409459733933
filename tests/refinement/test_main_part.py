"""Pieces of a prediction, with a prior's opinion of each given by hand."""

import numpy as np
import pytest

from acnn_nnunet.refinement.main_part import TOO_LARGE, Explained, count_pieces, find_main_part
from acnn_nnunet.refinement.placement import place_grid

SHAPE, CUBES = (4, 10, 60), (1.0, 1.0, 1.0)
GRID = (4, 10, 20)


def place(mask):
    return place_grid(mask, CUBES, kind="roi", size=GRID, grid_spacing_mm=CUBES)


def blocks(*columns):
    """Return a mask of blocks from one column to another, all rows and slices but the outer ones."""
    mask = np.zeros(SHAPE, dtype=bool)
    for first, last in columns:
        mask[1:3, 1:9, first:last] = True
    return mask


def prior(*known, resemblance=0.9):
    """A prior that explains what lies in the known blocks, and nothing else."""
    explained = blocks(*known)

    def explain(mask):
        voxels = int((mask & explained).sum())
        return Explained(voxels, resemblance if voxels else 0.2)

    return explain


def test_one_piece_is_never_judged():
    found = find_main_part(blocks((5, 15)), place=place, explain=pytest.fail)
    np.testing.assert_array_equal(found.anatomy, blocks((5, 15)))
    assert not found.debris.any()


def test_the_explained_piece_is_kept_and_larger_debris_is_not():
    found = find_main_part(blocks((2, 10), (40, 55)), place=place, explain=prior((2, 10)))
    np.testing.assert_array_equal(found.anatomy, blocks((2, 10)))
    np.testing.assert_array_equal(found.debris, blocks((40, 55)))


def test_pieces_that_fit_on_the_grid_together_are_one_anatomy():
    halves = blocks((2, 8), (12, 16))
    found = find_main_part(halves, place=place, explain=pytest.fail)
    np.testing.assert_array_equal(found.anatomy, halves)
    assert not found.debris.any()

    with_debris = find_main_part(blocks((2, 8), (12, 16), (40, 55)), place=place, explain=prior((2, 8), (12, 16)))
    np.testing.assert_array_equal(with_debris.anatomy, halves)
    np.testing.assert_array_equal(with_debris.debris, blocks((40, 55)))


def test_small_islands_are_debris_only_far_away():
    mask = blocks((5, 15))
    mask[1, 1, 17] = mask[1, 1, 50] = True
    debris = find_main_part(mask, place=place, explain=pytest.fail).debris
    assert np.argwhere(debris).tolist() == [[1, 1, 50]]


def test_two_that_are_explained_equally_well_are_two_objects():
    found = find_main_part(blocks((2, 12), (40, 50)), place=place, explain=prior((2, 12), (40, 50)))
    assert found == "there are 2 objects, further apart than the prior's grid is long"


def test_without_a_prior_of_one_piece_all_pieces_count():
    near, far = blocks((2, 8), (12, 18)), blocks((2, 12), (40, 50))
    np.testing.assert_array_equal(find_main_part(near, place=place).anatomy, near)
    assert find_main_part(far, place=place) == "there are 2 objects, further apart than the prior's grid is long"


@pytest.mark.parametrize("explain", [None, prior((0, 40))])
def test_what_is_larger_than_the_grid_is_told(explain):
    assert find_main_part(blocks((0, 40)), place=place, explain=explain) == TOO_LARGE


def test_the_best_piece_may_be_too_large_and_debris_takes_not_its_place():
    assert find_main_part(blocks((0, 40), (45, 58)), place=place, explain=prior((0, 40))) == TOO_LARGE


def test_pieces_that_share_a_corner_are_one():
    mask = np.zeros((2, 2, 2), dtype=bool)
    assert count_pieces(mask) == 0
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert count_pieces(mask) == 1
