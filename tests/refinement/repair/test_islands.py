"""Islands that are dropped, and pieces that are not islands."""

import numpy as np
from short_axis import NAMES, SPACING_MM, short_axis

from acnn_nnunet.evaluation.anatomy.rules import parse_rules
from acnn_nnunet.refinement.repair.islands import without_islands


def left(values, declared="acdc", names=NAMES, spacing_mm=SPACING_MM):
    rules = parse_rules(declared, names=names, where="rules")
    return without_islands(values, rules, label_values=names, spacing_mm=spacing_mm)


def wide(values):
    return np.pad(values, ((0, 0), (0, 0), (0, 40)))


def test_a_far_island_goes_from_every_slice_and_a_near_one_stays():
    heart = wide(short_axis())
    spoilt = heart.copy()
    spoilt[1, 5:9, -8:-2] = 1
    spoilt[2, 5:9, -8:-2] = 3
    near = heart.copy()
    near[1, 18:21, 46:48] = 1  # a few mm beside the wall

    np.testing.assert_array_equal(left(spoilt), heart)
    np.testing.assert_array_equal(left(near), near)
    assert spoilt[1, 6, -5] == 1


def test_empty_maps_and_rules_without_single_pieces_change_nothing():
    spoilt = wide(short_axis())
    spoilt[1, 5:9, -8:-2] = 1
    rules = [{"rule": "no_pockets", "label": "LV", "in_plane": True}]

    np.testing.assert_array_equal(left(spoilt, rules), spoilt)
    assert not left(np.zeros_like(spoilt)).any()


def test_labels_that_no_rule_joins_may_lie_far_apart():
    kidneys = np.zeros((20, 100), dtype=np.uint8)
    kidneys[5:15, 5:15], kidneys[5:15, 80:95], kidneys[1:3, 50:52] = 1, 2, 2
    rules = [{"rule": "one_piece", "label": name, "in_plane": True} for name in ("left", "right")]
    cleaned = left(kidneys, rules, {"left": (1,), "right": (2,)}, (1.5, 1.5))

    assert (cleaned == 1).sum() == 100
    assert (cleaned == 2).sum() == 150
