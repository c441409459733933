"""Counting what a run has written down."""

import argparse

import numpy as np
import pytest
import SimpleITK

from scripts.benchmarks import cohorts
from scripts.benchmarks.cohorts import cases_in, tables_of


def test_entries_count_and_names_inside_them_do_not(tmp_path):
    assert cases_in(tmp_path) == []
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "part_0_of_1.jsonl").write_text(
        '{"command": "evaluate", "cases": ["a", "b"]}\n\n{"case": "a", "scores": [{"case": "a"}]}\n\n{"case": "b", "sc'
    )

    assert cases_in(tmp_path) == ["a"]  # a kill cut the other one short


def test_tables_that_are_not_there_differ(tmp_path):
    (tmp_path / "cases.csv").write_text("case\n")

    assert tables_of(tmp_path) == {"cases.csv": b"case\n"}


def test_a_run_that_was_measured_is_not_measured_again(tmp_path):
    measured = []

    def measure():
        measured.append(1)
        return {"wall_s": 1.5, "exit_code": 0}

    found = [cohorts.remembered(tmp_path, "scale_codes_20", measure) for _ in range(2)]

    assert found == [{"wall_s": 1.5, "exit_code": 0}] * 2
    assert len(measured) == 1
    cohorts.remembered(tmp_path, "scale_codes_40", measure)
    assert len(measured) == 2


def test_a_step_that_was_stopped_goes_on_with_the_runs_that_are_missing(tmp_path, monkeypatch):
    runs = []

    def run(work, name, words, size):
        runs.append((name, size))
        if runs[3:] == [("codes", 2)]:
            raise KeyboardInterrupt
        return {"cpu_s": 1.0 + size / 10, "peak_all_mib": 100.0, "peak_driver_mib": 50.0, "cpu_ms_per_case": 100.0}

    monkeypatch.setattr(cohorts, "_watched_run", run)
    sizes = argparse.Namespace(few=20, maps=200)
    with pytest.raises(KeyboardInterrupt):
        cohorts.scale(tmp_path, sizes)

    found = cohorts.scale(tmp_path, sizes)

    assert runs[4:] == [("codes", 2), ("codes", 20), ("codes", 200)]
    assert found["evaluate"]["cpu_ms_per_case_among_many"] == pytest.approx(100.0)  # without the second of the start
    assert found["evaluate"]["cost_per_case_ratio"] == pytest.approx(1.0)
    assert found["codes"]["memory_of_all_ratio"] == 1


def test_the_quickest_of_several_runs_counts(tmp_path):
    times = iter([3.0, 2.0, 4.0])

    found = cohorts.best_of(tmp_path, "local", lambda: {"wall_s": next(times), "cpu_s": 1.0}, 3)

    assert found == {"wall_s": 2.0, "cpu_s": 1.0, "wall_s_of_all": [3.0, 2.0, 4.0]}


def test_maps_of_a_clinical_size(tmp_path):
    small = SimpleITK.GetImageFromArray(np.arange(8, dtype=np.uint8).reshape(2, 2, 2))
    small.SetSpacing((3.0, 4.0, 5.0))
    (tmp_path / "labelsTr").mkdir()
    SimpleITK.WriteImage(small, str(tmp_path / "labelsTr" / "a.nii.gz"))

    large = SimpleITK.ReadImage(str(cohorts.enlarged(tmp_path / "labelsTr", tmp_path / "large") / "a.nii.gz"))

    assert (large.GetSize(), large.GetSpacing()) == ((20, 20, 2), pytest.approx((0.3, 0.4, 5.0)))
    values = SimpleITK.GetArrayFromImage(large)
    assert (values[1, 10:, :10] == 6).all()
    assert (np.bincount(values.ravel()) == 100).all()
