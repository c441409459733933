"""A kill at any moment or a full disk loses nothing that was computed; `--c` goes on, with the same prior only."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from workspace import DERIVED, kill_once

pytestmark = [pytest.mark.slow, pytest.mark.real_data]

LATEST, FINAL = "checkpoint_latest.pth", "checkpoint_final.pth"


@pytest.fixture
def full_disk(tmp_path):
    """A file that opens for writing, and has no space for a single byte."""
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is Linux's")
    return Path("/dev/full")


@pytest.fixture(scope="module")
def killed_prior(planned, tmp_path_factory):
    """A prior of fold 1 whose training was killed in its second epoch and then continued."""
    workspace = planned.with_results(tmp_path_factory.mktemp("killed") / "results")
    folder = workspace.fold_folder("ShapePriorTrainer", fold=1)
    kill_once(workspace.start(*workspace.train("ShapePriorTrainer", fold=1)), folder / LATEST)
    assert not (folder / FINAL).exists()
    output = workspace.succeed(*workspace.train("ShapePriorTrainer", "--c", fold=1))
    return workspace, folder, output


def test_prior_goes_on_in_the_stage_that_was_saved(killed_prior):
    _, folder, output = killed_prior
    assert "stage: predictor" in output
    assert "stage: joint" in output
    assert "stage: autoencoder" not in output
    checkpoint = torch.load(folder / FINAL, weights_only=True)
    assert checkpoint["shape_prior"]["stage"] == "joint"
    log = json.loads((folder / "acnn_log.json").read_text())
    assert {"reconstruction_loss", "code_loss", "reconstruction_dice", "stage"} <= set(log)
    assert {name: len(values) for name, values in log.items()} == dict.fromkeys(log, 3)
    assert (folder / "validation" / "summary.json").is_file()
    assert not list(folder.glob("*.partial"))


def test_continuing_after_the_end_only_validates(killed_prior):
    # As after a kill in the final validation. A rewritten prior would have another hash, and ACNNTrainer refuse --c.
    workspace, folder, _ = killed_prior
    shutil.rmtree(folder / "validation")
    before = (folder / FINAL).read_bytes()
    output = workspace.succeed(*workspace.train("ShapePriorTrainer", "--c", fold=1))
    assert "Training has ended already (3 epochs); only validation follows." in output
    assert (folder / FINAL).read_bytes() == before
    assert (folder / "validation" / "summary.json").is_file()


def test_segmentation_goes_on_after_a_kill_with_the_same_prior(killed_prior):
    workspace, *_ = killed_prior
    folder = workspace.fold_folder("ACNNTrainer", fold=1)
    kill_once(workspace.start(*workspace.train("ACNNTrainer", fold=1)), folder / LATEST)
    assert not (folder / FINAL).exists()
    recorded = (folder / "acnn_run.json").read_text()
    output = workspace.succeed(*workspace.train("ACNNTrainer", "--c", fold=1))
    assert re.search(r"Epoch 1$", output, re.MULTILINE)
    assert not re.search(r"Epoch 0$", output, re.MULTILINE)
    assert (folder / "acnn_run.json").read_text() == recorded
    assert torch.load(folder / FINAL, weights_only=False)["current_epoch"] == 3
    assert len(json.loads((folder / "acnn_log.json").read_text())["gradient_ratio"]) == 3
    assert not list(folder.glob("*.partial"))


def test_another_prior_is_refused_when_a_training_goes_on(with_model, tmp_path):
    workspace = with_model.with_results(tmp_path / "results")
    folder = workspace.fold_folder("ACNNTrainer", DERIVED)
    source = with_model.fold_folder("ACNNTrainer", DERIVED)
    folder.mkdir(parents=True)
    shutil.copyfile(source / "acnn_run.json", folder / "acnn_run.json")
    shutil.copyfile(source / "checkpoint_best.pth", folder / LATEST)
    prior = workspace.fold_folder("ShapePriorTrainer") / FINAL
    prior.parent.mkdir(parents=True)
    checkpoint = torch.load(with_model.fold_folder("ShapePriorTrainer") / FINAL, weights_only=True)
    torch.save({**checkpoint, "retrained": True}, prior)
    before = (folder / LATEST).read_bytes()
    message = workspace.refuse(*workspace.train("ACNNTrainer", "--c", configuration=DERIVED))
    recorded = json.loads((folder / "acnn_run.json").read_text())
    assert message.startswith(f"ValueError: {folder} was trained with the shape prior {recorded['prior']} (sha256 ")
    assert f"--c found {prior} (sha256 " in message
    assert message.endswith("bring the first one back, or train anew without --c.")
    assert (folder / LATEST).read_bytes() == before


def test_full_disk_leaves_the_old_checkpoint_whole(with_prior, full_disk, tmp_path):
    workspace = with_prior.with_results(tmp_path / "results")
    workspace.link_prior(with_prior)
    folder = workspace.fold_folder("ACNNTrainer")
    folder.mkdir(parents=True)
    # What is written beside these checkpoints meets a full disk; the failed attempt removes the link.
    for name in ("checkpoint_best.pth", FINAL):
        (folder / f"{name}.partial").symlink_to(full_disk)
    finished = workspace.run(*workspace.train("ACNNTrainer"))
    assert finished.returncode != 0
    assert f"WARNING: Could not write {folder / 'checkpoint_best.pth'} (" in finished.output
    assert finished.last_line.startswith(
        f"acnn_nnunet.files.safe_writes.WriteError: Could not write {folder / FINAL} ("
    )
    assert "free some space or fix its permissions" in finished.last_line
    # Epochs 0 and 1 are safe.
    assert torch.load(folder / LATEST, weights_only=False)["current_epoch"] == 2
    assert not (folder / FINAL).exists()
