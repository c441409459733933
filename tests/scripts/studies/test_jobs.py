"""`scripts/studies/jobs.py`: jobs in processes with an environment of their own, failures named, late ones left."""

import math
import os
from pathlib import Path

import pytest

from scripts.studies.jobs import run_all


def note(path: Path) -> None:
    path.write_text(os.environ["STUDY_JOB"])


def fail(word: str) -> None:
    raise ValueError(word)


def test_jobs_have_the_environment_and_leave_none(tmp_path, monkeypatch):
    monkeypatch.delenv("STUDY_JOB", raising=False)
    run_all([(note, (tmp_path / "a",))], environment={"STUDY_JOB": "here"}, ends=math.inf, processes=1)
    assert (tmp_path / "a").read_text() == "here"
    assert "STUDY_JOB" not in os.environ


def test_a_failure_is_named_after_the_others_are_done(tmp_path, capsys):
    calls = [(fail, ("a word",)), (note, (tmp_path / "a",))]
    with pytest.raises(SystemExit, match=r"1 of 2 jobs failed: fail\('a word',\)"):
        run_all(calls, environment={"STUDY_JOB": "here"}, ends=math.inf, processes=1)
    assert (tmp_path / "a").is_file()
    assert "ValueError: a word" in capsys.readouterr().err


def test_what_would_begin_too_late_is_left(tmp_path):
    run_all([(note, (tmp_path / "a",))], environment={"STUDY_JOB": "here"}, ends=0.0, processes=1)
    assert not (tmp_path / "a").exists()
