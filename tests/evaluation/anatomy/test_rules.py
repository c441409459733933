"""Rules on squares and rings whose voxels and faces are counted by hand."""

import numpy as np
import pytest
from short_axis import EIGHT_RULES, rule_violations

from acnn_nnunet.challenges.acdc import LABELS
from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule, check_rules, parse_rules, slice_axis

NAMES = {"RV": (1,), "MYO": (2,), "LV": (3,)}
THICK = (10.0, 1.0, 1.0)


def heart(slices=3):
    """In each slice a cavity of 2×2 in a ring of 4×4 without a gap, and an RV of 2×2 beside it."""
    values = np.zeros((slices, 10, 12), dtype=np.uint8)
    values[:, 3:7, 3:7] = 2
    values[:, 4:6, 4:6] = 3
    values[:, 4:6, 7:9] = 1
    return values


def measure(values, *, spacing_mm=THICK, **declared):
    (rule,) = parse_rules([declared], names=NAMES, where="rules.json")
    (violation,) = rule_violations(values, [rule], label_values=NAMES, spacing_mm=spacing_mm).values()
    return violation


def test_a_whole_heart_keeps_all_eight_rules():
    rules = parse_rules(EIGHT_RULES, names=LABELS, where="dataset.json")
    found = rule_violations(heart(), rules, label_values=NAMES, spacing_mm=THICK)
    assert len(found) == len(EIGHT_RULES)
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 5)])
def test_no_rule_applies_to_an_empty_map(shape):
    rules = parse_rules(EIGHT_RULES, names=LABELS, where="dataset.json")
    spacing_mm = THICK[-len(shape) :]
    found = rule_violations(np.zeros(shape, np.uint8), rules, label_values=NAMES, spacing_mm=spacing_mm)
    assert set(found.values()) == {None}


def test_a_full_map_is_measured_too():
    full = np.full((3, 4, 5), 3, dtype=np.uint8)
    assert measure(full, rule="one_piece", label="LV") == 0
    assert measure(full, rule="enclosed_by", label="LV", other="MYO", in_plane=True) == 1
    assert measure(full, rule="touches", label="LV", other="MYO") == 1


def test_pieces_are_the_share_outside_of_the_largest():
    values = heart()
    values[0, 0, 0:3] = 1  # 3 voxels beside 3 slices of 4
    assert measure(values, rule="one_piece", label="RV") == pytest.approx(3 / 15)
    # In the plane each slice has its own largest piece.
    assert measure(values, rule="one_piece", label="RV", in_plane=True) == pytest.approx(3 / 15)
    values[1, 4:6, 7:9] = 0
    assert measure(values, rule="one_piece", label="RV") == pytest.approx(7 / 11)
    assert measure(values, rule="one_piece", label="RV", in_plane=True) == pytest.approx(3 / 11)


def test_a_hole_through_all_slices_is_one_in_the_plane_only():
    values = heart()
    values[:, 4, 4] = 0
    joined = {"rule": "no_holes", "label": ["MYO", "LV"]}
    assert measure(values, **joined) == 0  # it opens at the first and the last slice
    assert measure(values, **joined, in_plane=True) == pytest.approx(1 / 16)
    values[[0, 2], 4, 4] = 3
    assert measure(values, **joined) == pytest.approx(1 / 48)


def test_the_open_share_of_a_cavity_counts_faces():
    values = heart()
    enclosed = {"rule": "enclosed_by", "label": "LV", "other": "MYO", "in_plane": True}
    values[1, 3, 4] = 0  # one of the 8 faces of the middle slice; the base is left out, so 8 + 8 faces count
    assert measure(values, **enclosed) == pytest.approx(1 / 16)
    # In the volume 24 faces within the slices, and 4 each below and above.
    assert measure(values, **{**enclosed, "in_plane": False}) == pytest.approx((1 + 8) / 32)


def test_the_base_may_be_open_but_the_apex_may_not():
    enclosed = {"rule": "enclosed_by", "label": "LV", "other": "MYO", "in_plane": True}
    for base, apex in ((0, 2), (2, 0)):
        values = heart()
        values[apex][values[apex] == 3] = 0
        values[apex, 4, 4] = 3  # one voxel is less than four: the other end is the base
        values[apex, 4, 5] = values[apex, 5, 4:6] = 2
        opened = values.copy()
        opened[base, 3] = 0
        assert measure(opened, **enclosed) == 0
        opened = values.copy()
        opened[apex, 3] = 0
        assert measure(opened, **enclosed) == pytest.approx(1 / (8 + 4))


def test_a_single_slice_is_no_base():
    values = heart(1)
    values[0, 3] = 0
    assert measure(values, rule="enclosed_by", label="LV", other="MYO", in_plane=True) == pytest.approx(2 / 8)
    flat = measure(values[0], spacing_mm=(1.0, 1.0), rule="enclosed_by", label="LV", other="MYO", in_plane=True)
    assert flat == pytest.approx(2 / 8)


def test_a_cavity_outside_of_the_myocardium_touches_none():
    values = heart()
    values[0, 8, 8:10] = 3
    assert measure(values, rule="touches", label="LV", other="MYO", in_plane=True) == pytest.approx(2 / 14)


def test_contact_is_sought_in_the_same_slice():
    values = heart()
    values[1, 4:6, 7] = 0  # the middle slice of the RV lets go of the septum, its neighbours do not
    touches = {"rule": "touches", "label": "RV", "other": "MYO"}
    assert measure(values, **touches) == 0
    assert measure(values, **touches, in_plane=True) == pytest.approx(2 / 10)


def test_contact_across_an_edge_is_none():
    values = np.zeros((1, 4, 4), dtype=np.uint8)
    values[0, 1, 1], values[0, 2, 2] = 1, 2
    assert measure(values, rule="touches", label="RV", other="MYO") == 1


def test_slices_lie_across_the_longest_voxels():
    assert [slice_axis(s) for s in ((1, 1, 8), (8, 1, 1), (1, 1, 1), (1.0, 1.0002, 1.0), (1, 2))] == [2, 0, 0, 0, None]
    values = heart()
    values[1, 4:6, 7] = 0
    turned = np.moveaxis(values, 0, 2)
    touches = {"rule": "touches", "label": "RV", "other": "MYO", "in_plane": True}
    assert measure(turned, spacing_mm=THICK[::-1], **touches) == pytest.approx(2 / 10)


def test_rules_come_back_as_they_were_declared():
    rules = parse_rules(EIGHT_RULES, names=LABELS, where="dataset.json")
    assert parse_rules([rule.as_plain() for rule in rules], names=LABELS, where="again") == rules
    assert rules[5].name == "LV enclosed_by MYO in_plane"
    assert rules[4] == AnatomicalRule("no_holes", ("MYO", "LV"), in_plane=True)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"rule": "one_piece"}, "rules are a list of objects, not dict"),
        ([3], 'rule 1: it is no object with "rule" and "label", and no name of a set of rules'),
        (["one_piece"], "rule 1: there is no set of rules 'one_piece'; the sets are acdc"),
        ("chamber", "rule 1: there is no set of rules 'chamber'; the sets are acdc"),
        ([{"rule": "concavity", "label": "LV", "in_plane": True}], "the rule concavity takes a `limit`"),
        ([{"rule": "one_piece", "label": "LV", "limit": 1}], "the rule one_piece takes no `limit`"),
        ([{"rule": "concavity", "label": "LV", "limit": 4}], "the rule concavity is about slices"),
        (
            [{"rule": "circularity", "label": "LV", "limit": -1, "in_plane": True}],
            "a limit is a number from 0 on",
        ),
        ([{"rule": "left_of", "label": "LV", "other": "RV", "in_plane": True}], "the rule left_of is about the volume"),
        ([{"rule": "touches", "label": "LV", "other": "background"}], "there is no label 'background'"),
        ([{"rule": "round", "label": "LV"}], "there is no rule 'round'; the rules are one_piece, no_holes"),
        ([{"rule": "one_piece", "label": "lv"}], "there is no label 'lv'; the labels are RV, MYO, LV"),
        ([{"rule": "one_piece", "label": "background"}], "there is no label 'background'"),
        ([{"rule": "one_piece", "label": 3}], "labels are given by name"),
        ([{"rule": "one_piece", "label": []}], "names no label"),
        ([{"rule": "one_piece", "label": "LV", "others": "RV"}], "it has no key 'others'"),
        ([{"rule": "one_piece", "label": "LV", "other": "RV"}], "takes no `other`"),
        ([{"rule": "touches", "label": "LV"}], "takes an `other`"),
        ([{"rule": "touches", "label": "LV", "other": ["MYO", "LV"]}], "names LV twice"),
        ([{"rule": "one_piece", "label": "LV", "in_plane": 1}], "in_plane is true or false"),
        ([{"rule": "one_piece", "label": "LV"}] * 2, "declares a rule twice"),
    ],
)
def test_a_bad_rule_is_named(declared, message):
    with pytest.raises(ValueError, match=r"rules\.json") as error:
        parse_rules(declared, names=LABELS, where="rules.json")
    assert message in str(error.value)


def test_a_set_of_rules_goes_by_its_name_alone_or_among_others():
    alone = parse_rules("acdc", names=LABELS, where="rules.json")
    assert len(alone) == 16
    more = parse_rules([{"rule": "one_piece", "label": "LV"}, "acdc"], names=LABELS, where="rules.json")
    assert more[1:] == alone
    with pytest.raises(ValueError, match=r"rule 1: there is no label 'LV'; the labels are kidney\."):
        parse_rules("acdc", names=["background", "kidney"], where="the set of rules acdc")


def test_a_check_names_the_slices_of_the_whole_image():
    values = np.pad(heart(), ((2, 1), (0, 0), (0, 0)))
    values[3, 0, 0:2] = 1  # a second piece of the RV
    values[4, 4:6, 4:6] = 0  # no cavity
    rules = parse_rules("acdc", names=LABELS, where="rules.json")
    found = {
        check.rule.name: (check.violation, check.slices)
        for check in check_rules(values, rules, label_values=NAMES, spacing_mm=THICK)
    }
    broken = {name: outcome for name, outcome in found.items() if outcome[0]}
    assert broken == {
        "RV one_piece in_plane": (pytest.approx(2 / 14), (3,)),
        "MYO no_pockets LV in_plane": (pytest.approx(1 / 3), (4,)),
    }


@pytest.mark.parametrize("flip", [1, -1])
def test_left_is_where_the_file_says(flip):
    values = np.zeros((2, 3, 9), dtype=np.uint8)
    values[:, 1, 0:2], values[:, 1, 5:9] = 3, 1  # the centre of the RV lies at 6.5
    declared = [{"rule": "left_of", "label": "LV", "other": "RV"}, {"rule": "left_of", "label": "RV", "other": "LV"}]
    rules = parse_rules(declared, names=NAMES, where="rules.json")
    found = rule_violations(
        values[..., ::flip], rules, label_values=NAMES, spacing_mm=THICK, left_mm=(0.0, 0.0, -1.0 * flip)
    )
    assert list(found.values()) == [0, 1]
    values[:, 1, 8] = 3  # one of three voxels of the LV lies beyond the RV, whose centre is now at 6
    found = rule_violations(values, rules, label_values=NAMES, spacing_mm=THICK, left_mm=(0.0, 0.0, -1.0))
    assert found["LV left_of RV"] == pytest.approx(1 / 3)


def test_without_left_nothing_is_said_of_sides():
    rules = parse_rules([{"rule": "left_of", "label": "LV", "other": "RV"}], names=NAMES, where="rules.json")
    assert rule_violations(heart(), rules, label_values=NAMES, spacing_mm=THICK) == {"LV left_of RV": None}


@pytest.mark.parametrize("shape", [(1, 5, 5), (5, 5)])
def test_one_voxel_has_no_circularity_and_no_concavity(shape):
    values = np.zeros(shape, dtype=np.uint8)
    values[..., 2, 2] = 3
    spacing_mm = THICK[-len(shape) :]
    circular = {"rule": "circularity", "label": "LV", "limit": 0.2, "in_plane": True}
    assert measure(values, spacing_mm=spacing_mm, **circular) is None
    assert measure(values, spacing_mm=spacing_mm, rule="concavity", label="LV", limit=0, in_plane=True) == 0
