"""`scripts/benchmarks/sr.py`: what it compares is comparable, and its table says what was measured."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scripts.benchmarks import sr as benchmark

ROOT = Path(__file__).parents[3]


def test_compared_networks_have_the_same_number_of_parameters():
    count = {name: benchmark.num_parameters(benchmark.build(name)) for name in ("ACNN-SR", "SR-CNN")}
    count |= {name: benchmark.num_parameters(benchmark.build(name)) for name in ("sub-pixel segmentation", "3D U-Net")}

    assert count["SR-CNN"] == pytest.approx(count["ACNN-SR"], rel=0.01)
    assert count["3D U-Net"] == pytest.approx(count["sub-pixel segmentation"], rel=0.01)
    assert count["3D U-Net"] <= count["sub-pixel segmentation"]  # so that its time is no longer for that


def test_compared_networks_put_out_the_same_grid():
    stack = torch.rand(1, 1, 4, 8, 16)

    with torch.inference_mode():
        shapes = {name: tuple(benchmark.build(name)(stack).shape) for name in ("ACNN-SR", "SR-CNN", "3D U-Net")}

    assert shapes == {"ACNN-SR": (1, 1, 20, 8, 16), "SR-CNN": (1, 1, 20, 8, 16), "3D U-Net": (1, 3, 20, 8, 16)}


def test_sizes_are_the_papers_and_twice_and_four_times_its_area():
    pixels = {name: rows * columns for name, (_, rows, columns) in benchmark.SIZES.items()}

    assert benchmark.SIZES["paper"] == (12, 120, 120)
    assert (pixels["twice"], pixels["four times"]) == (2 * 14400, 4 * 14400)


def test_every_network_is_timed_in_every_round():
    names = ("ACNN-SR", "sub-pixel segmentation")

    seconds = benchmark.interleaved_seconds(names, (4, 8, 8), "cpu", 2, torch.get_num_threads())

    assert {name: len(values) for name, values in seconds.items()} == dict.fromkeys(names, 2)
    assert min(min(values) for values in seconds.values()) > 0


def test_memory_is_that_of_one_inference():
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from scripts.benchmarks.sr import _status_kib, peak_memory_mib
print(*(peak_memory_mib("ACNN-SR", (4, edge, edge), "cpu", 1) for edge in (64, 128)), _status_kib("VmRSS") / 1024)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)

    small, large, process = map(float, done.stdout.split())
    # The features in HR space alone: 24 channels of 20 slices in float32. What the process holds anyway does not count.
    features = {edge: 24 * 20 * edge**2 * 4 / 2**20 for edge in (64, 128)}
    assert features[64] < small < process / 2
    assert large - small > features[128] - features[64]


def test_the_table_divides_the_slow_by_the_fast():
    measured = {"ACNN-SR": 2.0, "SR-CNN": 11.0, "sub-pixel segmentation": 3.0, "3D U-Net": 6.0}
    ratios = {
        "SR-CNN / ACNN-SR": {"median": 5.5, "min": 5.0, "max": 6.0, "memory": 5.5},
        "3D U-Net / sub-pixel": {"median": 2.0, "min": 1.5, "max": 2.5, "memory": 2.0},
    }
    entry = {"stack": [12, 120, 120], "median_s": measured, "peak_memory_mib": measured, "ratios": ratios}
    machine = {"cpu": "a CPU", "threads": 2, "torch": "2", "date": "today"}

    table = benchmark.render_table({"machine": machine, "parameters": {"SR-CNN": 1610476}, "sizes": {"paper": entry}})

    assert "a CPU, 2 threads" in table
    assert "SR-CNN 1,610,476" in table
    assert "| 120×120×12 | SR-CNN / ACNN-SR | 11 / 2 s | 5.50 (5.00–6.00) | 11 / 2 | 5.50 |" in table
