"""Models for machines without this package: an ACNN network is a stock nnU-Net network."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from acnn_nnunet.nnunet.models import read_checkpoint
from acnn_nnunet.nnunet.settings import PLANS_KEY

STOCK_TRAINER = "nnUNetTrainer"
_EXPORTED_TRAINER = "ACNNTrainer"
_COPIED = ("dataset.json", "plans.json", "dataset_fingerprint.json")
_KEPT = ("network_weights", "init_args", "inference_allowed_mirroring_axes", "current_epoch", "_best_ema", "logging")


def export_stock(model_folder: Path, output: Path) -> str:
    """Write a model folder that plain nnU-Net predicts with, with identical output.

    Every fold's final checkpoint is copied without the optimiser's state, under the stock trainer's name.

    Args:
        model_folder: `…/ACNNTrainer__<plans>__<configuration>`.
        output: the folder to write; it must not exist, or be empty.

    Returns:
        A sentence that says what was written and how to predict with it.

    Raises:
        FileNotFoundError: if the folder holds no finished fold or lacks one of the host's files.
        ValueError: if another trainer made the model, a checkpoint is truncated, or the output folder is not empty.
    """
    model_folder, output = Path(model_folder), Path(output)
    checkpoints = sorted(model_folder.glob("fold_*/checkpoint_final.pth"))
    if not checkpoints:
        raise FileNotFoundError(
            f"{model_folder} has no fold_*/checkpoint_final.pth: name the folder of a finished training, "
            f"…/{_EXPORTED_TRAINER}__<plans>__<configuration>."
        )
    missing = [name for name in _COPIED[:2] if not (model_folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{model_folder} has no {' and no '.join(missing)}: it is no nnU-Net model folder.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} exists and is not an empty folder: choose another one with -o.")
    partial = output.with_name(f"{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for checkpoint in checkpoints:
            _export_fold(checkpoint, partial / checkpoint.parent.name / checkpoint.name)
        for name in _COPIED:
            if (model_folder / name).is_file():
                shutil.copyfile(model_folder / name, partial / name)
        if output.exists():
            output.rmdir()
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    settings = _settings_of(output / "plans.json", model_folder.name.rpartition("__")[2])
    folds = " ".join(checkpoint.parent.name.removeprefix("fold_") for checkpoint in checkpoints)
    predict = f"nnUNetv2_predict_from_modelfolder -i IMAGES -o OUT -m {output} -f {folds}"
    told = f"Wrote {output}. Plain nnU-Net predicts with it: {predict}"
    if not settings.get("prior_at_inference"):
        return told
    return f"{told} --save_probabilities\nThen, where this package is: acnn-nnunet refine OUT --prior PRIOR -o REFINED"


def _settings_of(plans_file: Path, configuration: str) -> dict[str, Any]:
    """Return the `acnn` block of a configuration, empty where there is none."""
    configurations = json.loads(plans_file.read_text(encoding="utf-8")).get("configurations", {})
    return configurations.get(configuration, {}).get(PLANS_KEY) or {}


def _export_fold(source: Path, target: Path) -> None:
    checkpoint = read_checkpoint(source, remedy="end its training, or move it away")
    trainer = checkpoint["trainer_name"]
    if trainer != _EXPORTED_TRAINER:
        raise ValueError(
            f"{source} was trained by {trainer}, only {_EXPORTED_TRAINER}'s network is a stock nnU-Net network."
        )
    target.parent.mkdir(parents=True)
    torch.save({**{key: checkpoint[key] for key in _KEPT if key in checkpoint}, "trainer_name": STOCK_TRAINER}, target)
