"""Label maps that are repaired, left within a limit, and what is told of them."""

import numpy as np
import pytest
from short_axis import NAMES, SPACING_MM, rule_violations, short_axis

from acnn_nnunet.evaluation.anatomy.rules import parse_rules
from acnn_nnunet.refinement.repair.volumes import Repairer


def repairer(declared="acdc", **options):
    return Repairer(parse_rules(declared, names=NAMES, where="rules"), NAMES, **options)


def test_a_label_map_that_keeps_the_rules_is_given_back():
    values = short_axis()
    repair = repairer().repair(values, spacing_mm=SPACING_MM, candidates=pytest.fail)
    assert repair.values is values
    assert (repair.broken_before, repair.share, repair.reason) == ((), 0, "")


def test_only_the_broken_slice_changes():
    values = short_axis()
    values[1, 20, 28] = 0
    repair = repairer().repair(values, spacing_mm=SPACING_MM)
    np.testing.assert_array_equal(repair.values, short_axis())
    assert repair.broken_before
    assert repair.share == pytest.approx(1 / np.count_nonzero(values))


def test_slices_may_lie_along_the_last_axis():
    values = np.moveaxis(short_axis(), 0, 2).copy()
    values[20, 28, 1] = 0
    repair = repairer().repair(values, spacing_mm=SPACING_MM[1:] + SPACING_MM[:1])
    np.testing.assert_array_equal(repair.values, np.moveaxis(short_axis(), 0, 2))


def test_an_image_of_two_axes_is_repaired():
    values = short_axis(1)[0]
    values[20, 28] = 0
    repair = repairer().repair(values, spacing_mm=SPACING_MM[1:])
    np.testing.assert_array_equal(repair.values, short_axis(1)[0])


def test_beyond_the_limit_it_is_left_and_told():
    values = short_axis()
    values[1, 20, 28] = 0
    repair = repairer(most_changed=0.0).repair(values, spacing_mm=SPACING_MM)
    assert repair.values is values
    assert "more than 0.0%" in repair.reason


def test_without_tries_left_a_slice_becomes_its_neighbour():
    values = short_axis()
    values[1, 10:30, 20:36:3] = 0
    repair = repairer(most_tries=1).repair(values, spacing_mm=SPACING_MM)
    np.testing.assert_array_equal(repair.values, short_axis())  # whose slices are alike


def test_without_tries_left_and_an_intact_slice_it_is_left_and_told():
    values = short_axis()
    values[:, 10:30, 20:36:3] = 0
    repair = repairer(most_tries=1).repair(values, spacing_mm=SPACING_MM)
    assert repair.values is values
    assert repair.reason == "its repair changes more than 20.0% of the anatomy's voxels"


def test_pieces_of_a_volume_go():
    values = short_axis()
    values[0] = 0
    values[0, 2:4, 2:4] = 3
    repair = repairer([{"rule": "one_piece", "label": "LV"}]).repair(values, spacing_mm=SPACING_MM)
    assert not repair.values[0].any()
    np.testing.assert_array_equal(repair.values[1:], values[1:])


def test_what_lies_on_the_wrong_side_is_given_to_the_other():
    values = short_axis()
    values[1, 20, 5:7] = 3  # LV beyond the RV's centre, which lies at column 14
    rules = [{"rule": "left_of", "label": "LV", "other": "RV"}]
    left_mm = (0.0, 0.0, 1.5)
    repair = repairer(rules).repair(values, spacing_mm=SPACING_MM, left_mm=left_mm)
    assert (repair.values[1, 20, 5:7] == 1).all()
    parsed = parse_rules(rules, names=NAMES, where="rules")
    after = rule_violations(repair.values, parsed, label_values=NAMES, spacing_mm=SPACING_MM, left_mm=left_mm)
    assert list(after.values()) == [0]


def test_a_rule_without_a_repair_is_named():
    values = short_axis()
    values[:, 10:30, 27:30] = 0
    rules = [{"rule": "enclosed_by", "label": "LV", "other": "MYO"}]
    repair = repairer(rules).repair(values, spacing_mm=SPACING_MM)
    assert "no repair was found for LV enclosed_by MYO" in repair.reason
    assert repair.values is values
