"""`plausibility.csv`: its order and its cells."""

import pytest

from acnn_nnunet.plausibility.table import PlausibilityRow, least_plausible_first, write_table


def test_rows_are_in_the_order_of_looking_at_them():
    rows = [
        PlausibilityRow("a", "excluded", reason="bad"),
        PlausibilityRow("b", "scored", plausibility=0.9),
        PlausibilityRow("c", "scored", plausibility=0.0),
        PlausibilityRow("d", "empty", plausibility=0.0),
        PlausibilityRow("e", "scored", {"reconstruction_dice": 0.5}),
    ]
    assert [row.case for row in least_plausible_first(rows)] == ["d", "c", "e", "b", "a"]


def test_cells_are_full_precision_and_empty_where_nothing_applies(tmp_path):
    rows = [
        PlausibilityRow("b", "scored", {"mahalanobis": 1 / 3}, {"a rule": None}, 0.25, 0.5, True),
        PlausibilityRow("a", "excluded", reason="bad, very"),
    ]
    write_table(tmp_path / "t.csv", rows, score_names=["mahalanobis"], rule_names=["a rule"])
    assert (tmp_path / "t.csv").read_text().splitlines() == [
        "case,status,plausibility,flagged,mahalanobis,outside_share,a rule,reason",
        "b,scored,0.5,True,0.3333333333333333,0.25,,",
        'a,excluded,,,,,,"bad, very"',
    ]


@pytest.mark.parametrize(("dice", "columns"), [(None, 0), (0.75, 2)])
def test_truth_has_columns_where_there_is_some(tmp_path, dice, columns):
    write_table(tmp_path / "t.csv", [PlausibilityRow("a", "scored", dice=dice)], score_names=[], rule_names=[])
    head = (tmp_path / "t.csv").read_text().splitlines()[0].split(",")
    assert len(head) == 6 + columns
    assert ("hausdorff_mm" in head) == bool(columns)
