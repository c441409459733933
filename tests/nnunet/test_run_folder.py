"""Our files in a training folder."""

import json
import math
import os
import sys

import matplotlib
import numpy as np
import pytest
import torch

from acnn_nnunet.nnunet.run_folder import (
    EpochLog,
    add_to_checkpoint,
    checkpoint_file,
    read_checkpoint_errors,
    run_our_command,
)


def test_entries_go_into_a_checkpoint_that_loads_without_code(tmp_path):
    path = str(tmp_path / "checkpoint.pth")
    torch.save({"network_weights": {"a": torch.ones(2)}, "best": np.float64(0.5)}, path)
    add_to_checkpoint(path, {"extra": {"b": 1}})
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["extra"] == {"b": 1}
    assert checkpoint["best"] == 0.5
    assert checkpoint["network_weights"]["a"].tolist() == [1, 1]


def test_a_checkpoint_that_cannot_be_read_is_one_sentence(tmp_path):
    path = tmp_path / "checkpoint.pth"
    with pytest.raises(FileNotFoundError, match="There is no checkpoint at"):
        read_checkpoint_errors(path, lambda: None)
    path.write_bytes(b"half a chec")
    with pytest.raises(ValueError, match=r"checkpoint\.pth is truncated or no checkpoint .*move it away"):
        read_checkpoint_errors(path, lambda: None)
    torch.save({}, path)
    assert read_checkpoint_errors(path, lambda: "loaded") == "loaded"


def test_an_epoch_that_is_repeated_overwrites_what_it_logged(tmp_path):
    log = EpochLog(tmp_path)
    log.log(0, loss=3.0)
    log.log(1, loss=2.0, share=0.5)
    values = json.loads((tmp_path / "acnn_log.json").read_text())
    assert values["loss"] == [3, 2]
    assert values["share"] == [None, 0.5]  # JSON has no NaN
    resumed = EpochLog(tmp_path)
    resumed.resume(1)
    assert math.isnan(resumed.values["share"][0])
    resumed.log(1, loss=1.0)
    assert resumed.values["loss"] == [3, 1]


def test_a_run_that_begins_does_not_read_an_old_log(tmp_path):
    EpochLog(tmp_path).log(0, loss=3.0)
    log = EpochLog(tmp_path)
    log.resume(0)
    assert log.values == {}


def test_the_picture(tmp_path):
    log = EpochLog(tmp_path)
    log.log(0, loss=3.0)
    log.plot()
    picture = log.picture.read_bytes()
    assert len(picture) > 1000
    with matplotlib.rc_context({"font.size": 30}):  # as nnU-Net's own plot leaves it
        log.plot()
    assert log.picture.read_bytes() == picture


def test_a_checkpoint_is_lent_as_a_file():
    with checkpoint_file({"current_epoch": 3}) as path:
        assert torch.load(path, weights_only=True) == {"current_epoch": 3}
    assert not os.path.exists(path)


def test_our_command_runs_beside_this_python_and_its_failure_is_told(tmp_path, monkeypatch):
    program = tmp_path / "acnn-nnunet"
    program.write_text('#!/bin/sh\necho "said $*"\n[ "$1" = good ] || { echo "no $1" >&2; exit 3; }\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    assert run_our_command(["good", tmp_path]) == f"said good {tmp_path}"
    with pytest.raises(RuntimeError, match="acnn-nnunet bad failed: no bad"):
        run_our_command(["bad"])
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="is not installed in this environment"):
        run_our_command(["good"])
