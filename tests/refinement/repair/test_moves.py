"""What each move changes, voxel by voxel."""

import numpy as np
from short_axis import NAMES, short_axis

from acnn_nnunet.evaluation.anatomy.rules import parse_rules
from acnn_nnunet.refinement.repair.moves import propose


def moves(plane, **declared):
    (rule,) = parse_rules([{"in_plane": True, **declared}], names=NAMES, where="rules")
    return list(propose(plane, rule, label_values=NAMES, spacing_mm=(1.5, 1.5)))


def test_an_island_becomes_what_surrounds_it():
    plane = short_axis(1)[0]
    plane[20, 28] = 1  # RV within the cavity
    first = moves(plane, rule="one_piece", label="RV")[0]
    np.testing.assert_array_equal(first, short_axis(1)[0])


def test_a_pocket_of_the_myocardium_becomes_cavity_or_wall():
    plane = short_axis(1)[0]
    plane[20, 28] = 0
    found = moves(plane, rule="no_pockets", label="MYO", other="LV")
    assert [move[20, 28] for move in found[:2]] == [3, 2]


def test_a_hole_that_reaches_the_outside_across_a_corner_is_filled():
    plane = np.zeros((9, 9), np.uint8)
    plane[1:8, 1:8] = 3
    plane[1, 1] = plane[2, 2] = 0  # the second is shut in by four faces, and shares a corner with the first
    first = moves(plane, rule="no_holes", label="LV")[0]
    assert np.argwhere(first != plane).tolist() == [[2, 2]]
    assert first[2, 2] == 3


def test_a_wall_is_of_the_label_that_the_structure_touches():
    plane = short_axis(1)[0]
    plane[18:23, 35:] = 0
    inner, outer, gone = moves(plane, rule="no_contact", label="LV", other="background")
    changed = inner != plane
    assert set(plane[changed]) == {3}
    assert set(inner[changed]) == {2}
    changed = outer != plane
    assert set(plane[changed]) == {0}
    assert set(outer[changed]) == {2}
    assert not (gone == 3).any()


def test_a_bridge_is_the_shortest_way():
    plane = np.zeros((9, 12), np.uint8)
    plane[3:6, 1:3], plane[3:6, 6:9] = 1, 2
    first = moves(plane, rule="adjoins", label="RV", other="MYO")[0]
    assert set(first[first != plane]) == {1}
    assert (first[3:6, 3:6] == 1).all()
    assert np.count_nonzero(first != plane) == 9
