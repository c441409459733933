"""`plausibility.csv`: its order and its cells."""

import json

import pytest

from acnn_nnunet.plausibility.table import Estimate, PlausibilityRow, Structure, least_plausible_first, write_table

NAMES = {
    "structure_names": ["LV"],
    "score_names": ["members_dice"],
    "case_score_names": ["mahalanobis"],
    "rule_names": ["a rule"],
}
JUDGED = Structure(
    True,
    {"members_dice": 1 / 3},
    expected_dice=Estimate(0.5, 0.25, 0.75),
    expected_hausdorff_mm=Estimate(8.0, 4.0, 16.0),
    flagged=True,
    shortfall={"members_dice": 1.5, "mahalanobis": -0.5},
    novelty=4.5,
)


def test_rows_are_in_the_order_of_looking_at_them():
    rows = [
        PlausibilityRow("a", "excluded", reason="bad"),
        PlausibilityRow("b", "scored", plausibility=0.9),
        PlausibilityRow("c", "scored", plausibility=0.0),
        PlausibilityRow("d", "empty", plausibility=0.0),
        PlausibilityRow("e", "scored", {"LV": JUDGED}),
        PlausibilityRow("f", "scored", plausibility=0.95, flagged=True, unusual=True),
    ]
    assert [row.case for row in least_plausible_first(rows)] == ["d", "f", "c", "e", "b", "a"]


def test_with_rules_alone_those_that_break_most_come_first():
    broken = {"a": {"one": 0.1, "two": None}, "b": {"one": 0.0, "two": 0.0}, "c": {"one": 0.05, "two": 0.2}}
    rows = [PlausibilityRow(case, "scored", violations=each) for case, each in broken.items()]
    assert [row.case for row in least_plausible_first(rows)] == ["c", "a", "b"]


def test_cells_are_full_precision_and_empty_where_nothing_applies(tmp_path):
    rows = [
        PlausibilityRow("b", "scored", {"LV": JUDGED}, {"mahalanobis": 2.0}, {"a rule": None}, 0.25, 9.0, 3, 0.5, True),
        PlausibilityRow("a", "excluded", reason="bad, very"),
    ]
    write_table(tmp_path / "t.csv", rows, **NAMES)
    assert (tmp_path / "t.csv").read_text().splitlines() == [
        "case,status,plausibility,flagged,unusual,worst_structure,slice_number,LV_expected_dice,LV_expected_dice_low,"
        "LV_expected_dice_high,LV_expected_hausdorff_mm,LV_expected_hausdorff_mm_low,LV_expected_hausdorff_mm_high,"
        "LV_flagged,LV_novelty,LV_members_dice,mahalanobis,outside_share,a rule,reason",
        "b,scored,0.5,True,,LV,3,0.5,0.25,0.75,8.0,4.0,16.0,True,4.5,0.3333333333333333,2.0,0.25,,",
        'a,excluded,,,,,,,,,,,,,,,,,,"bad, very"',
    ]


@pytest.mark.parametrize(("dice", "columns"), [(None, 0), (0.75, 4)])
def test_truth_has_columns_where_there_is_some(tmp_path, dice, columns):
    write_table(tmp_path / "t.csv", [PlausibilityRow("a", "scored", dice=dice)], **NAMES)
    head = (tmp_path / "t.csv").read_text().splitlines()[0].split(",")
    assert len(head) == 20 + columns
    assert ("LV_hausdorff_mm" in head) == bool(columns)


def test_the_worst_structure_lies_furthest_below_a_mean_case():
    worse = Structure(True, expected_dice=Estimate(0.9, 0, 1), shortfall={"members_dice": 1.1})
    rows = {"LV": JUDGED, "RV": worse, "MYO": Structure(True)}
    assert PlausibilityRow("a", "scored", rows).worst_structure == "RV"
    missing = Structure(False, expected_dice=Estimate(0, 0, 0))
    assert PlausibilityRow("a", "scored", {**rows, "MYO": missing}).worst_structure == "MYO"
    assert PlausibilityRow("a", "scored", {"MYO": Structure(True)}).worst_structure == ""


def test_a_row_comes_back_from_a_journal():
    row = PlausibilityRow("b", "scored", {"LV": Structure(True, {"members_dice": 0.1}, True, 0.5, 3.0)}, {"x": 1.0})
    assert PlausibilityRow.from_plain(json.loads(json.dumps(row.as_plain()))) == row
