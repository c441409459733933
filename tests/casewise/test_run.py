"""All cases: order, progress, what is said at the end, one process as many."""

import sys
from pathlib import Path

import pytest
from worker_cases import die_at_three, square

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.run import outcome_of, run, work_through
from acnn_nnunet.casewise.work import Result

CASES = {f"case_{number}": number for number in (0, 9, -4, 1, 25, 2)}
RESULTS = [
    Result("case_0", 0),
    Result("case_9", 81),
    Result("case_-4", error="-4.nii.gz is negative"),
    Result("case_1", 1),
    Result("case_25", 625),
    Result("case_2", 4),
]


@pytest.mark.parametrize("num_processes", [1, 2, 50])
def test_results_come_in_the_order_of_the_cases(num_processes):
    assert run(square, CASES, execution=Execution(num_processes=num_processes)) == RESULTS


@pytest.mark.parametrize("num_processes", [1, 2])
def test_no_cases(num_processes):
    assert run(square, {}, execution=Execution(num_processes=num_processes)) == []


def test_one_case_needs_no_other_process():
    # A lambda cannot travel.
    assert run(lambda item: item, {"a": 3}, execution=Execution(num_processes=8)) == [
        Result("a", 3)
    ]  # a lambda cannot travel


def test_results_are_there_as_soon_as_a_case_ends():
    done = []

    def work(item):
        done.append(item)
        return item

    results = work_through(work, {"a": 1, "b": 2})

    assert next(results) == Result("a", 1)
    assert done == [1]


def test_what_was_done_before_counts_in_the_progress_bar(capfd, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)

    run(square, {"a": 1}, num_done=3, unit="image", description="codes")

    shown = capfd.readouterr().err
    assert "codes:  75%" in shown
    assert "4/4" in shown


def test_what_is_said_at_the_end():
    outcome = outcome_of(RESULTS, Path("out"))

    assert outcome.text.splitlines() == ["out: 5 of 6 done", "-4.nii.gz is negative"]
    assert [each.case for each in outcome.excluded] == ["case_-4"]
    assert outcome.exit_code == 1


def test_all_done():
    outcome = outcome_of([Result("a")], Path("out"))

    assert (outcome.text, outcome.exit_code) == ("out: 1 of 1 done", 0)


def test_a_dead_worker_is_named():
    outcome = outcome_of(run(die_at_three, {"a": 1, "b": 3}, execution=Execution(num_processes=2)), Path("out"))

    assert [each.case for each in outcome.excluded] == ["b"]
