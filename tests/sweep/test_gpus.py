"""One GPU for each training."""

import pytest

from acnn_nnunet.sweep import gpus
from acnn_nnunet.sweep.gpus import own_gpu, visible_gpus


@pytest.fixture(autouse=True)
def locks_of_our_own(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))


def test_the_visible_ones(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert visible_gpus() == ["3", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


def test_those_that_the_driver_lists(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []  # no driver
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: H100'\necho 'GPU 1: H100'\n")
    program.chmod(0o755)
    assert visible_gpus() == ["0", "1"]


def test_each_training_has_its_own_and_waits_where_none_is_free(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with own_gpu("cuda") as (first, _), own_gpu("cuda") as (second, _):
        assert {first["CUDA_VISIBLE_DEVICES"], second["CUDA_VISIBLE_DEVICES"]} == {"0", "1"}
        waits = []

        def wait(seconds):
            waits.append(seconds)
            raise InterruptedError

        monkeypatch.setattr(gpus.time, "sleep", wait)
        with pytest.raises(InterruptedError), own_gpu("cuda"):
            pass
        assert waits
    with own_gpu("cuda") as (again, files):
        assert again["CUDA_VISIBLE_DEVICES"] == "0"
        assert len(files) == 1  # a training inherits the lock


def test_a_cpu_needs_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with own_gpu("cpu") as found:
        assert found == ({}, ())
    with pytest.raises(ValueError, match="this machine has no GPU: write device: cpu"), own_gpu("cuda"):
        pass
