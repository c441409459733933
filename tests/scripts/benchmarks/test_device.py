"""`scripts/benchmarks/device.py`: parts that fail or come too late, the tests' outcome, the summary."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.benchmarks import device as benchmark

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.a" name="passes" time="1.5"/>
<testcase classname="tests.a" name="fails[cuda]" time="2"><failure message="no"/></testcase>
<testcase classname="tests.b" name="breaks" time="0.5"><error message="no"/></testcase>
<testcase classname="tests.b" name="waits" time="0"><skipped message="no"/></testcase>
</testsuite></testsuites>"""


def test_the_outcome_of_the_tests(tmp_path):
    (tmp_path / "tests.xml").write_text(JUNIT)
    assert benchmark.read_junit(tmp_path / "tests.xml") == {
        "passed": 1,
        "skipped": 1,
        "failed": ["tests.a::fails[cuda]", "tests.b::breaks"],
        "seconds": 4.0,
    }
    (word,) = benchmark.read_junit(tmp_path / "none.xml")["failed"]
    assert word.startswith("no test has ended")


def test_a_process_returns_fails_dies_or_takes_too_long():
    assert benchmark.in_process(sorted, [3, 1, 2], seconds=60) == [1, 2, 3]
    with pytest.raises(RuntimeError, match=r"^ZeroDivisionError: "):
        benchmark.in_process(divmod, 1, 0, seconds=60)
    with pytest.raises(RuntimeError, match=r"^the process of _exit died with exit code 7$"):
        benchmark.in_process(os._exit, 7, seconds=60)
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"^sleep took more than 0 s$"):
        benchmark.in_process(time.sleep, 60, seconds=0.2)
    assert time.monotonic() - start < 30


def _machine(device):
    return {"cpu": device}


def _failing(*_):
    raise ValueError("no such layer")


def _quick(*_):
    return {"a": 1}


@pytest.fixture
def parts(monkeypatch, tmp_path):
    """The first part fails, the second is quick."""
    for name, part in (
        ("describe_machine", _machine),
        ("measure_eager", _failing),
        ("measure_super_resolution", _quick),
    ):
        monkeypatch.setattr(benchmark, name, part)
    for name in benchmark.host_folders(tmp_path):
        monkeypatch.setenv(name, "")  # which measuring changes, and which is put back


def test_a_part_that_fails_leaves_the_others_alone(parts, tmp_path):
    content = benchmark.measure(tmp_path, "cpu", benchmark.TINY, deadline=time.monotonic() + 120)

    assert content["machine"] == {"cpu": "cpu"}
    assert content["super_resolution"]["a"] == 1
    assert benchmark.failures(content) == ["eager"]
    assert benchmark.summarise(content).splitlines() == [
        "cpu",
        "eager: failed: ValueError: no such layer",
        "FAILED eager",
    ]


def test_a_part_for_which_the_time_is_too_short_is_named_and_no_failure(parts, tmp_path):
    content = benchmark.measure(tmp_path, "cpu", benchmark.TINY, deadline=time.monotonic())

    assert benchmark.failures(content) == []
    assert benchmark.summarise(content).splitlines() == [
        "cpu",
        "eager: skipped: the time was up",
        "super_resolution: skipped: the time was up",
    ]


def test_the_summary_has_every_ratio_with_its_target():
    ratio = {"ratio_acnn_to_stock": 1.0416, "median_s": {}}
    content = {
        "machine": {"cpu": "a CPU", "gpu": "a GPU"},
        "tests": {"passed": 12, "skipped": 0, "failed": ["tests.a::b"]},
        "eager": {"steps": ratio, "memory": {"ratio_acnn_to_stock": 1.03}, "prediction": {"ratio_acnn_to_stock": 1.0}},
        "compiled": {"steps": {"ratio_acnn_to_stock": 1.07}},
        "super_resolution": {
            "SR-CNN / ACNN-SR": {"ratio_SR-CNN_to_ACNN-SR": 6.0, "ratio_of_rounds": {}, "target": 5.0},
            "peak_memory_mib": {},
        },
    }
    assert benchmark.summarise(content).splitlines() == [
        "a GPU",
        "tests: 12 passed, 0 skipped",
        "step ACNN / stock without compile: 1.042 (target ≤ 1.08)",
        "step ACNN / stock with compile: 1.070 (target ≤ 1.08)",
        "memory ACNN / stock: 1.030",
        "prediction ACNN / stock: 1.000",
        "SR-CNN / ACNN-SR: 6.00 (target ≥ 5.0; 4.8 in the paper, on a GTX-1080)",
        "FAILED tests.a::b",
    ]


def test_super_resolution_is_measured_on_a_small_stack():
    measured = benchmark.measure_super_resolution("", "cpu", benchmark.TINY)

    seconds = measured["SR-CNN / ACNN-SR"]["seconds"]
    assert {name: len(values) for name, values in seconds.items()} == dict.fromkeys(seconds, 3)
    assert measured["SR-CNN / ACNN-SR"]["ratio_SR-CNN_to_ACNN-SR"] > 0
    assert set(measured["peak_memory_mib"]) == {"ACNN-SR", "SR-CNN", "sub-pixel segmentation", "3D U-Net"}


def test_without_a_gpu_the_check_says_so_and_is_content(tmp_path):
    script = Path(benchmark.__file__).parents[1] / "device_check.sh"
    environment = {**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        ["bash", script, tmp_path / "out"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (
        0,
        "device check skipped: there is no CUDA device on this machine\n",
    ), done.stderr
    wrong = subprocess.run(
        ["bash", script, tmp_path], env={**environment, "DEVICE": "tpu"}, capture_output=True, text=True
    )
    assert (wrong.returncode, wrong.stderr) == (1, "device check: there is no DEVICE=tpu: cuda or cpu\n")
