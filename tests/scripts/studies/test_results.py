"""A study's results: what is added is there, numbers cut, killed additions replaced."""

import pandas as pd
import pytest

from scripts.studies.results import StudyResults, csv_text, iou_of_dice, read_scores_as_text, shortened


@pytest.fixture
def results(tmp_path) -> StudyResults:
    return StudyResults(tmp_path / "study", keys=("arm", "seed"))


def scores(dice: str, iou: str = "1") -> pd.DataFrame:
    return pd.DataFrame([{"case": "a", "label": "1", "dice": dice, "iou": iou, "hausdorff_mm": "3.123456789"}])


def test_nothing_is_there_before_the_first_run(results):
    assert results.runs() == []
    assert not results.has(arm="none", seed=0)
    assert results.table("cases").empty


def test_a_run_and_its_scores_come_back(results):
    results.add({"arm": "none", "seed": 0, "training_s": 3.5}, {"cases": scores("0.5")})
    results.add({"arm": "none", "seed": 1}, {"cases": scores("")})

    assert results.has(arm="none", seed=1)
    assert not results.has(arm="none", seed=2)
    assert [run["seed"] for run in results.runs()] == [0, 1]
    # IoU of Dice one half: .5 / 1.5.
    assert results.table("cases").to_dict("records") == [
        {"arm": "none", "seed": "0", "case": "a", "label": "1", "dice": "0.5", "iou": "0.3333333", **DISTANCE},
        {"arm": "none", "seed": "1", "case": "a", "label": "1", "dice": "", "iou": "", **DISTANCE},
    ]


DISTANCE = {"hausdorff_mm": "3.123456789"}


def test_scores_of_a_killed_addition_are_replaced(results):
    results.add({"arm": "none", "seed": 0}, {"cases": scores("0.5")})
    (results.folder / "runs.json").unlink()

    results.add({"arm": "none", "seed": 0}, {"cases": scores("0.75")})

    assert results.table("cases")["dice"].tolist() == ["0.75"]


@pytest.mark.parametrize(
    ("cell", "expected"), [("case.1", "case.1"), ("12", "12"), ("0.123456789", "0.1234568"), ("", ""), ("nan", "nan")]
)
def test_only_numbers_with_decimals_are_cut(cell, expected):
    assert shortened(cell) == expected


def test_iou_follows_from_dice():
    assert [iou_of_dice(dice) for dice in ("1.0", "0", "")] == ["1", "0", ""]


def test_a_table_is_read_and_written_as_text(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("case,dice\n007,0.50\nb,\n")

    table = read_scores_as_text(path, test="motion")

    assert table["test"].tolist() == ["motion", "motion"]
    assert csv_text(table, without=["test"]) == path.read_text()
