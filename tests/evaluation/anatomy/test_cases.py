"""Implausible slices of hearts counted by hand."""

import numpy as np
import pytest

from acnn_nnunet.evaluation.anatomy.cases import CaseAnatomy, judge_case, read_anatomy, summarise_anatomy, write_anatomy
from acnn_nnunet.evaluation.anatomy.rules import parse_rules
from acnn_nnunet.files.geometry import Geometry

NAMES = {"RV": (1,), "MYO": (2,), "LV": (3,)}
RULES = parse_rules(
    [
        {"rule": "one_piece", "label": "LV"},
        {"rule": "one_piece", "label": "RV", "in_plane": True},
        {"rule": "no_pockets", "label": "MYO", "other": "LV", "in_plane": True},
    ],
    names=NAMES,
    where="rules.json",
)


def heart():
    values = np.zeros((4, 10, 12), dtype=np.uint8)
    values[1:, 3:7, 3:7] = 2
    values[1:, 4:6, 4:6] = 3
    values[1:, 4:6, 8:10] = 1
    return values


def judge(values, rules=RULES, spacing_mm=(10.0, 1.0, 1.0), case="a"):
    geometry = Geometry(size=values.shape, spacing_mm=spacing_mm[-values.ndim :])
    return judge_case(values, geometry, rules, label_values=NAMES, case=case)


def test_a_slice_counts_once_however_many_rules_it_breaks():
    assert judge(heart()) == CaseAnatomy("a", 3, 0, 0, {rule.name: 0.0 for rule in RULES})
    values = heart()
    values[2, 0, 0] = 1
    values[2:, 4:6, 4:6] = 0  # two empty rings, and the LV is still one piece
    judged = judge(values)
    assert (judged.slices, judged.implausible_slices, judged.implausible) == (3, 2, 1)
    assert list(judged.violations.values()) == [0, pytest.approx(1 / 13), pytest.approx(2 / 3)]


def test_a_rule_about_the_volume_makes_a_case_implausible_but_no_slice():
    values = heart()
    values[2, 4:6, 4:6] = 2
    judged = judge(values)
    assert (judged.implausible_slices, judged.implausible) == (0, 1)
    assert judge(values, RULES[:1]).slices == 0


@pytest.mark.parametrize(("values", "expected"), [(heart()[1], (1, 0, 0)), (heart()[0], (0, 0, 0))])
def test_an_image_of_two_axes_is_one_slice(values, expected):
    judged = judge(values)
    assert (judged.slices, judged.implausible_slices, judged.implausible) == expected
    opened = values.copy()
    opened[0, 0:3:2] = 1
    judged = judge(opened)
    assert (judged.slices, judged.implausible_slices, judged.implausible) == (1, 1, 1)


def test_the_table_comes_back_as_it_was(tmp_path):
    values = heart()
    values[2:, 4:6, 4:6] = 0
    cases = [judge(heart()), judge(values, case="b"), judge(np.zeros_like(values), case="c")]
    write_anatomy(tmp_path / "anatomy.csv", iter(cases), RULES)
    assert read_anatomy(tmp_path / "anatomy.csv") == {case.case: case for case in cases}
    summary = summarise_anatomy(cases, RULES)
    assert (summary["cases"], summary["implausible_cases"]) == (3, 1)
    assert (summary["slices"], summary["implausible_slices"]) == (6, 2)
    assert summary["cases_that_break"]["MYO no_pockets LV in_plane"] == 1
    assert summary["cases_it_applies_to"] == dict.fromkeys((rule.name for rule in RULES), 2)  # none to the empty map


def test_a_table_edited_by_hand_is_named(tmp_path):
    path = tmp_path / "anatomy.csv"
    path.write_text("case,slices,implausible_slices,implausible\na,3,two,1\n")
    with pytest.raises(ValueError, match=r"anatomy\.csv, line 2: .*'two'; evaluate again"):
        read_anatomy(path)
    path.write_text("case,slices\na,3\n")
    with pytest.raises(ValueError, match=r"lacks the column implausible_slices"):
        read_anatomy(path)
