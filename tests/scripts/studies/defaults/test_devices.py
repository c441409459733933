"""`scripts/studies/defaults/devices.py`: fewer jobs, with a word, where a GPU has no memory for all."""

import pytest
import torch

from scripts.studies.defaults.devices import fitting_jobs


@pytest.fixture
def gpu(monkeypatch):
    def with_free(gib: float) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(gib * 2**30), 80 * 2**30))

    return with_free


def test_a_cpu_takes_all_jobs():
    assert fitting_jobs(16, "cpu") == 16


def test_a_large_gpu_takes_all_jobs(gpu, capsys):
    gpu(64)
    assert fitting_jobs(16, "cuda") == 16
    assert not capsys.readouterr().out


def test_a_small_gpu_takes_fewer_with_a_word(gpu, capsys):
    gpu(5)
    assert fitting_jobs(8, "cuda") == 2
    assert "5.0 GiB of the GPU are free, for 2 trainings at a time, not 8" in capsys.readouterr().out


def test_a_full_gpu_is_refused(gpu):
    gpu(0.5)
    with pytest.raises(SystemExit, match=r"0\.5 GiB of the GPU are free"):
        fitting_jobs(1, "cuda")


def test_no_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="finds no GPU"):
        fitting_jobs(4, "cuda")
