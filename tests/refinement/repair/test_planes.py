"""Slices that are spoilt by hand, and the voxels that it takes to mend them."""

import numpy as np
import pytest
from short_axis import NAMES, SPACING_MM, short_axis

from acnn_nnunet.evaluation.anatomy.rules import check_rules, parse_rules
from acnn_nnunet.refinement.repair.planes import repair_plane

RULES = parse_rules("acdc", names=NAMES, where="acdc")


def broken(plane):
    checks = check_rules(plane, RULES, label_values=NAMES, spacing_mm=SPACING_MM[1:])
    return [check.rule.name for check in checks if check.violation]


def repair(plane, rules=RULES, others=()):
    repaired = repair_plane(plane, rules, label_values=NAMES, spacing_mm=SPACING_MM[1:], others=others)
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
    helped, changed = repair(torn, others=[whole])
    assert changed <= np.count_nonzero(torn != whole)
    assert broken(helped) == [] == broken(alone)
    assert changed <= changed_alone


def test_noise_ends():
    noise = np.random.default_rng(1).integers(0, 4, (10, 10)).astype(np.uint8)
    repaired, _ = repair(noise)
    assert repaired is None or broken(repaired) == []
