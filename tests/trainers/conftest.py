"""A preprocessed phantom dataset with small networks, made once by the host's own commands."""

import dataclasses
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

with warnings.catch_warnings():
    # The host's dependencies deprecate each other while they are imported.
    warnings.simplefilter("ignore")
    from acnn_nnunet.demo.phantom import write_dataset
    from acnn_nnunet.sr.planning.command import PlanHROptions, plan_hr
    from acnn_nnunet.trainers import ShapePriorTrainer

DATASET_ID = 77


@pytest.fixture(scope="session")
def phantom_workspace(tmp_path_factory) -> Path:
    """nnUNet_raw and nnUNet_preprocessed of ten phantoms; the networks have 4 to 8 channels."""
    root = tmp_path_factory.mktemp("phantom")
    write_dataset(root / "nnUNet_raw", DATASET_ID, num_train=10, num_test=0, seed=0)
    environment = {**os.environ, **paths(root), "nnUNet_def_n_proc": "2", "MPLBACKEND": "agg"}
    script = (
        "from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import plan_and_preprocess_entry as f; f()"
    )
    command = ["-c", script, "-d", str(DATASET_ID), "-c", "2d", "3d_fullres", "-np", "2", "2", "-npfp", "2"]
    result = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    (plans_file,) = (root / "nnUNet_preprocessed").glob("*/nnUNetPlans.json")
    plans = json.loads(plans_file.read_text())
    for configuration in plans["configurations"].values():
        if "architecture" in configuration:
            arguments = configuration["architecture"]["arch_kwargs"]
            arguments["features_per_stage"] = [4, *[8] * (arguments["n_stages"] - 1)]
            configuration["batch_size"] = 2
    plans_file.write_text(json.dumps(plans))
    return root


def paths(root: Path) -> dict[str, str]:
    """Return nnU-Net's three variables below a folder."""
    return {name: str(root / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}


@pytest.fixture
def workspace(phantom_workspace, tmp_path, monkeypatch) -> Path:
    """The phantom workspace with a results folder of its own, in this process's environment."""
    for name, value in {**paths(phantom_workspace), "nnUNet_results": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    # Loader workers take seconds to start and draw unseeded numbers.
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    # On a GPU the host compiles unless it is told not to, and that takes a minute for a network.
    monkeypatch.setenv("nnUNet_compile", "false")
    return phantom_workspace


@pytest.fixture
def make_trainer(workspace):
    """Return a function that builds a trainer of a configuration, with an `acnn` block and other plans' entries."""

    def make(trainer_class, *, configuration="3d_fullres", fold=0, labels=None, block=None, changes=None, device="cpu"):
        (folder,) = (workspace / "nnUNet_preprocessed").iterdir()
        plans = json.loads((folder / "nnUNetPlans.json").read_text())
        plans["configurations"].update(changes or {})
        settings = {"num_epochs": 2, "prior_num_epochs": 3, "num_iterations_per_epoch": 2, "cpu_autocast": False}
        settings.update({"num_val_iterations_per_epoch": 1, "seed": 0, "save_every": 1, **(block or {})})
        plans["configurations"][configuration]["acnn"] = settings
        dataset_json = json.loads((folder / "dataset.json").read_text())
        if labels is not None:
            dataset_json.update(labels)
        return trainer_class(
            {**plans, "continue_training": False}, configuration, fold, dataset_json, torch.device(device)
        )

    return make


@pytest.fixture
def hr_configuration(workspace) -> str:
    """The name of a configuration for stacks of two times thicker slices."""
    plan_hr(str(DATASET_ID), PlanHROptions(factor=2))
    return "3d_hr_x2"


@pytest.fixture
def make_hr_trainer(make_trainer, hr_configuration):
    """Return a function that builds a trainer of that configuration."""

    def make(trainer_class, **kwargs):
        return make_trainer(trainer_class, configuration=hr_configuration, **kwargs)

    return make


@pytest.fixture
def make_prior(make_trainer):
    """Return a function that leaves an untrained prior where ACNNTrainer looks for it."""

    def make(**kwargs) -> Path:
        trainer = make_trainer(ShapePriorTrainer, **kwargs)
        trainer.initialize()
        # Batch statistics as after some training: with the initial ones every ReLU of the bottleneck may be dead.
        channels, size = trainer.labels.num_channels, trainer.grid.size
        for _ in range(20):
            trainer.network.encoder(torch.rand(2, channels, *size).round())
        trainer.spec = dataclasses.replace(trainer.spec, complete=True)
        trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
        return Path(trainer.output_folder) / "checkpoint_final.pth"

    return make
