"""`scripts/benchmarks/timed_trainers.py`: rounds and ratios by hand. Trainers themselves: tests/trainers."""

import pytest

from scripts.benchmarks import timed_trainers as benchmark


def test_every_action_takes_its_turn_and_warming_up_does_not_count():
    calls = []

    seconds = benchmark.in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, warm_up=1)

    assert calls == ["a", "b"] * 3
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


def test_ratios_are_of_medians_and_of_rounds():
    compared = benchmark.compare({"stock": [1.0, 2.0, 4.0], "acnn": [2.0, 2.5, 6.0]})

    assert compared["median_s"] == {"stock": 2.0, "acnn": 2.5}
    assert compared["ratio_acnn_to_stock"] == 1.25
    assert compared["ratio_of_rounds"] == {"median": 1.5, "min": 1.25, "max": 2.0}


def test_the_machine_is_described():
    assert benchmark.describe_machine().keys() >= {"cpu", "cores", "torch", "python", "date", "native_bfloat16"}


@pytest.mark.cuda
def test_the_gpu_is_described():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    assert benchmark.describe_machine("cuda")["gpu"] == torch.cuda.get_device_name()
