"""Several processes: the same results as one, whatever dies."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from worker_cases import Load, LoadHere, UseModel, die_at_three, die_once, full_disk, square

from acnn_nnunet.casewise.processes import KILLED, in_processes, prepare_workers
from acnn_nnunet.casewise.work import Result, SetUpError
from acnn_nnunet.files.safe_writes import WriteError


def named(*numbers):
    return {f"case_{number}": number for number in numbers}


def by_case(results):
    found = list(results)
    assert len({result.case for result in found}) == len(found)  # none twice
    return {result.case: result for result in found}


def test_every_case_once():
    results = by_case(in_processes(square, named(*range(20)), num_processes=2))

    assert {case: result.value for case, result in results.items()} == {f"case_{n}": n * n for n in range(20)}


def test_a_bad_file_costs_its_own_case():
    results = by_case(in_processes(square, named(-1, 2), num_processes=2))

    assert results == {"case_-1": Result("case_-1", error="-1.nii.gz is negative"), "case_2": Result("case_2", 4)}


def test_a_worker_that_dies_costs_its_own_case():
    results = by_case(in_processes(die_at_three, named(*range(12)), num_processes=2))

    assert results.pop("case_3") == Result("case_3", error=KILLED)
    assert {case: result.value for case, result in results.items()} == {f"case_{n}": n * n for n in range(12) if n != 3}


@pytest.mark.parametrize("num_deaths", [1, 3])
def test_workers_that_are_killed_from_outside_cost_nothing(tmp_path, num_deaths):
    cases = {f"case_{number}": str(tmp_path / f"flag_{number % num_deaths}") for number in range(6)}

    results = by_case(in_processes(die_once, cases, num_processes=2))

    assert {case: result.value for case, result in results.items()} == {
        case: Path(flag).name for case, flag in cases.items()
    }


def test_a_model_is_loaded_once_per_worker(tmp_path):
    results = by_case(in_processes(UseModel(Load(tmp_path)), named(*range(12)), num_processes=2))

    workers = {result.value[2] for result in results.values()}
    assert {result.value[:2] for result in results.values()} == {("model", number) for number in range(12)}
    assert len(list(tmp_path.iterdir())) - 1 == len(workers) <= 2  # this process loaded it, too


def test_a_model_that_cannot_be_loaded_ends_it_all():
    with pytest.raises(SetUpError, match=r"prior\.pth is damaged"):
        list(in_processes(UseModel(LoadHere()), named(1, 2, 3), num_processes=2))


def test_a_full_disk_ends_it_all():
    with pytest.raises(WriteError, match="Could not write"):
        list(in_processes(full_disk, named(*range(30)), num_processes=2))


def test_workers_end_with_a_command_that_is_killed(tmp_path):
    script = tmp_path / "probe.py"
    script.write_text(
        "import os, signal\n"
        "def work(case):\n"
        "    return os.getpid()\n"
        "if __name__ == '__main__':\n"
        "    from acnn_nnunet.casewise.processes import in_processes\n"
        "    for result in in_processes(work, {'a': 1, 'b': 2, 'c': 3}, num_processes=2):\n"
        "        print(result.value, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    # The workers hold the other end of the pipe: it has an end, and `run` one without a timeout, when they are gone.
    done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, timeout=60, text=True)

    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout)  # one case was done


def test_preparing_twice_does_no_harm():
    prepare_workers(["json"])
    prepare_workers(["json"])

    assert by_case(in_processes(square, named(1, 2), num_processes=2))["case_2"].value == 4
