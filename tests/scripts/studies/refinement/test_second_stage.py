"""AE-Seg's rows join those of the kinds that a run has scored, and the run stays as it was."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from scripts.studies.refinement import report, second_stage
from scripts.studies.results import StudyResults


@pytest.fixture
def results(tmp_path, monkeypatch):
    found = StudyResults(tmp_path, keys=("dataset", "network", "seed"))
    monkeypatch.setattr(report, "RESULTS", found)
    scores = pd.DataFrame(
        [
            {"kind": kind, "case": "a", "unit": "p", "pathology": "", "arm": "none", "label": "x", "dice": "0.5"}
            for kind in ("clean", "slab")
        ]
    )
    found.add({"dataset": "d", "network": "n", "seed": 0, "seconds_per_case": 0.2}, {report.SCORES: scores})
    return found


def test_rows_join_a_scored_kind_and_replace_older_ones(results, monkeypatch):
    evaluation = SimpleNamespace(
        place=SimpleNamespace(name="d", study=SimpleNamespace(dataset_id=4)),
        network="n",
        seed=0,
        labels=["x"],
        refiner=None,
        prediction=lambda case, kind: SimpleNamespace(values=np.ones((1, 1, 1)), spacing_mm=(1.0, 1.0, 1.0)),
        truth=lambda case: None,
    )
    dice = iter((0.75, 0.875))
    monkeypatch.setattr(second_stage, "load_refiner", lambda options: SimpleNamespace(refine=lambda values, mm: values))
    monkeypatch.setattr(second_stage, "score_labels", lambda *_: ([next(dice)], [2.0]))

    for _ in range(2):
        second_stage.add_second_stage(evaluation, ("clean", "noise"), until=float("inf"))

    table = results.table(report.SCORES)
    found = sorted(zip(table["kind"], table["arm"], table["unit"], table["dice"], strict=True))
    assert found == [
        ("clean", "none", "p", "0.5"),
        ("clean", "second-stage", "p", "0.875"),
        ("slab", "none", "p", "0.5"),
    ]
    assert results.runs() == [{"dataset": "d", "network": "n", "seed": 0, "seconds_per_case": 0.2}]
