"""Slices that are spoilt by hand, and the voxels that it takes to mend them."""

import numpy as np
import pytest
from short_axis import NAMES, SPACING_MM, short_axis

from acnn_nnunet.evaluation.anatomy.rules import check_rules, parse_rules
from acnn_nnunet.refinement.repair.planes import Tries, repair_plane

RULES = parse_rules("acdc", names=NAMES, where="acdc")


def broken(plane):
    checks = check_rules(plane, RULES, label_values=NAMES, spacing_mm=SPACING_MM[1:])
    return [check.rule.name for check in checks if check.violation]


def repair(plane, rules=RULES, **options):
    repaired = repair_plane(plane, rules, label_values=NAMES, spacing_mm=SPACING_MM[1:], **options)
    return repaired, None if repaired is None else np.count_nonzero(repaired != plane)


def hole(plane):
    plane[20, 28] = 0


def island(plane):
    plane[2:4, 2:4] = 1


def open_wall(plane):
    plane[18:23, 33:] = 0


def split_ventricles(plane):
    plane[:, 15:18][plane[:, 15:18] == 1] = 0


@pytest.mark.parametrize(("spoil", "most"), [(hole, 1), (island, 4), (open_wall, 45), (split_ventricles, 30)])
def test_a_spoilt_slice_is_mended_by_a_small_change(spoil, most):
    plane = short_axis(1)[0]
    spoil(plane)
    assert broken(plane)
    before = plane.copy()
    repaired, changed = repair(plane)
    assert broken(repaired) == []
    assert changed <= most
    np.testing.assert_array_equal(plane, before)


def test_a_slice_that_keeps_the_rules_stays():
    repaired, changed = repair(short_axis(1)[0])
    assert (changed, broken(repaired)) == (0, [])


def test_an_empty_slice_stays():
    assert repair(np.zeros((9, 9), np.uint8))[1] == 0


def test_another_slice_is_taken_where_it_is_nearer():
    whole = short_axis(1)[0]
    torn = whole.copy()
    torn[10:30, 27:30] = 0  # a cut through everything
    alone, changed_alone = repair(torn)
    helped, changed = repair(torn, others=lambda: [whole])
    assert changed <= np.count_nonzero(torn != whole)
    assert broken(helped) == [] == broken(alone)
    assert changed <= changed_alone


def test_other_slices_are_not_asked_for_where_a_small_change_suffices():
    plane = short_axis(1)[0]
    hole(plane)
    repaired, changed = repair(plane, others=pytest.fail)
    assert (broken(repaired), changed) == ([], 1)


def test_no_repair_changes_more_voxels_than_it_may():
    plane = short_axis(1)[0]
    island(plane)
    assert repair(plane, most_voxels=3) == (None, None)
    assert repair(plane, most_voxels=4)[1] == 4


def test_a_search_ends_where_no_tries_are_left():
    plane = short_axis(1)[0]
    hole(plane)
    tries = Tries(1)
    assert repair(plane, tries=tries) == (None, None)  # the broken slice was looked at
    assert not tries.take()
    assert repair(plane, tries=Tries(2))[1] == 1


def test_noise_ends():
    noise = np.random.default_rng(1).integers(0, 4, (10, 10)).astype(np.uint8)
    repaired, _ = repair(noise)
    assert repaired is None or broken(repaired) == []
