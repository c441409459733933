"""Scores of further kinds of images join those that a run has."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from scripts.studies.refinement.evaluation import is_scored, keep_run
from scripts.studies.results import StudyResults


def scores(kind, dice):
    return pd.DataFrame([{"kind": kind, "case": "a", "arm": "none", "label": "x", "dice": dice, "hausdorff_mm": "3.0"}])


def test_kinds_that_were_scored_before_stay_and_the_same_kind_is_replaced(tmp_path):
    place = SimpleNamespace(raw=Path(tmp_path), name="hearts", unit=lambda case: case)
    results = StudyResults(tmp_path, keys=("dataset", "network", "seed"))
    for seed, kind, dice in ((0, "clean", "0.8"), (0, "slab", "0.5"), (1, "clean", "0.7"), (0, "clean", "0.9")):
        evaluation = SimpleNamespace(place=place, network="none", seed=seed, seconds=[0.2])
        keep_run(evaluation, scores(kind, dice), None, results, "cases")

    table = results.table("cases")
    found = sorted(zip(table["seed"], table["kind"], table["dice"], strict=True))
    assert found == [("0", "clean", "0.9"), ("0", "slab", "0.5"), ("1", "clean", "0.7")]
    assert len(results.runs()) == 2


def test_a_kind_is_scored_when_every_predicted_case_is(tmp_path):
    place = SimpleNamespace(raw=Path(tmp_path), name="hearts", unit=lambda case: case, cases=lambda part: ["a", "b"])
    results = StudyResults(tmp_path, keys=("dataset", "network", "seed"))
    predicted = {("a", "clean"), ("a", "slab"), ("b", "slab")}
    evaluation = SimpleNamespace(
        place=place, network="none", seed=0, seconds=[0.2], is_predicted=lambda *image: image in predicted
    )
    assert not is_scored(evaluation, "clean", results.table("cases"))
    for kind in ("clean", "slab"):
        keep_run(evaluation, scores(kind, "0.8"), None, results, "cases")  # of case a

    assert is_scored(evaluation, "clean", results.table("cases"))
    assert not is_scored(evaluation, "slab", results.table("cases"))
    assert is_scored(evaluation, "noise", results.table("cases"))  # nothing is predicted
    assert not is_scored(SimpleNamespace(**{**vars(evaluation), "seed": 1}), "clean", results.table("cases"))
