"""Trainers on one batch of their own: seconds and peak memory of steps and predictions, on any device.

Arms take turns in one process, so that a drifting machine slows all of them alike.
"""

import gc
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Arm = tuple[str, dict[str, Any]]
"""Name of a trainer, and its `acnn` block."""


@dataclass(frozen=True)
class Subject:
    """What trainers are built for.

    Attributes:
        dataset: full name; its preprocessed folder lies in nnUNet_preprocessed.
        configuration: of nnUNetPlans.
        prior: file of a prior.
        device: "cpu" or "cuda".
        fold: of the dataset.
    """

    dataset: str
    configuration: str
    prior: str
    device: str = "cpu"
    fold: int = 0


def make_trainer(subject: Subject, trainer_name: str, block: dict[str, Any], *, compiled: bool = False) -> Any:
    """Return an initialised trainer; its network is compiled where that is asked for and the host does it."""
    import torch
    from batchgenerators.utilities.file_and_folder_operations import load_json
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    os.environ["nnUNet_n_proc_DA"] = "0"
    os.environ["nnUNet_compile"] = str(compiled).lower()
    # Measured networks must not leave logs beside real results.
    os.environ["nnUNet_results"] = tempfile.mkdtemp()
    folder = Path(os.environ["nnUNet_preprocessed"]) / subject.dataset
    plans = load_json(str(folder / "nnUNetPlans.json"))
    plans["configurations"][subject.configuration]["acnn"] = {"prior": subject.prior, **block}
    trainer = recursive_find_trainer_class_by_name(trainer_name)(
        {**plans, "continue_training": False},
        subject.configuration,
        subject.fold,
        load_json(str(folder / "dataset.json")),
        torch.device(subject.device),
    )
    trainer.initialize()
    trainer.network.train()
    return trainer


def one_batch(trainer: Any) -> dict:
    """Return one training batch of the host's loader."""
    loader, _ = trainer.get_dataloaders()
    return next(loader)


def interleaved_steps(
    subject: Subject, arms: Mapping[str, Arm], rounds: int, *, warm_up: int = 1, compiled: bool = False
) -> dict[str, list[float]]:
    """Return seconds per step of each arm on one batch; the first rounds warm up and are dropped."""
    trainers = {name: make_trainer(subject, *arm, compiled=compiled) for name, arm in arms.items()}
    batch = one_batch(next(iter(trainers.values())))
    return in_turns({name: lambda trainer=trainer: step(trainer, batch) for name, trainer in trainers.items()},
                    rounds, warm_up=warm_up, device=subject.device)  # fmt: skip


def interleaved_batches(subject: Subject, arms: Mapping[str, Arm], rounds: int) -> dict[str, list[float]]:
    """Return seconds that the loader takes for a batch of each arm, in this process: augmentation and all."""
    loaders = {name: make_trainer(subject, *arm).get_dataloaders()[0] for name, arm in arms.items()}
    return in_turns({name: lambda loader=loader: next(loader) for name, loader in loaders.items()}, rounds)


def interleaved_predictions(subject: Subject, shape: tuple[int, ...], rounds: int) -> dict[str, list[float]]:
    """Return seconds per prediction of an image (Z, Y, X) with a network of each trainer, by the host's predictor."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictors = {}
    for name, trainer_name in (("stock", "nnUNetTrainer"), ("acnn", "ACNNTrainer")):
        trainer = make_trainer(subject, trainer_name, {"prior_weight": 0})
        trainer.set_deep_supervision_enabled(False)
        predictor = nnUNetPredictor(device=torch.device(subject.device), allow_tqdm=False)
        predictor.manual_initialization(
            trainer.network.eval(),
            trainer.plans_manager,
            trainer.configuration_manager,
            None,
            trainer.dataset_json,
            trainer_name,
            (0, 1, 2),
        )
        predictors[name] = predictor
    image = torch.randn(1, *shape)
    predict = {
        name: lambda predictor=predictor: predictor.predict_sliding_window_return_logits(image)
        for name, predictor in predictors.items()
    }
    return in_turns(predict, rounds, device=subject.device)


def peak_memory_of_steps(subject: Subject, trainer_name: str, block: dict[str, Any]) -> float:
    """Return the peak memory in MiB over three steps: resident in this process, or PyTorch's own on a GPU."""
    import torch

    if subject.device == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    trainer = make_trainer(subject, trainer_name, block)
    batch = one_batch(trainer)
    gc.collect()
    for _ in range(3):
        step(trainer, batch)
    if subject.device == "cuda":
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def step(trainer: Any, batch: dict) -> None:
    """Take a training step on a copy of the targets: the host's step changes them where labels are ignored."""
    targets = batch["target"]
    copies = [target.clone() for target in targets] if isinstance(targets, list) else targets.clone()
    trainer.train_step({**batch, "target": copies})


def in_turns(
    actions: Mapping[str, Callable[[], Any]], rounds: int, *, warm_up: int = 1, device: str = "cpu"
) -> dict[str, list[float]]:
    """Return seconds of each action, one after the other in each round, without the rounds that warm up."""
    import torch

    synchronise = torch.cuda.synchronize if device == "cuda" else lambda: None
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds + warm_up):
        for name, action in actions.items():
            synchronise()
            start = time.perf_counter()
            action()
            synchronise()
            seconds[name].append(time.perf_counter() - start)
    return {name: values[warm_up:] for name, values in seconds.items()}


def compare(seconds: Mapping[str, list[float]], slow: str = "acnn", fast: str = "stock") -> dict[str, Any]:
    """Return medians, all seconds, the ratio of two arms' medians, and its median and range over the rounds."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    of_rounds = [a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)]
    return {
        "median_s": medians,
        f"ratio_{slow}_to_{fast}": medians[slow] / medians[fast],
        "ratio_of_rounds": {"median": statistics.median(of_rounds), "min": min(of_rounds), "max": max(of_rounds)},
        "seconds": dict(seconds),
    }


def describe_machine(device: str = "cpu") -> dict[str, Any]:
    """Return what the numbers were measured on."""
    import torch

    from acnn_nnunet.nnunet.devices import native_bfloat16

    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    machine = {
        "cpu": next((line.split(":")[1].strip() for line in cpuinfo if "model name" in line), "unknown"),
        "cores": os.cpu_count(),
        "native_bfloat16": native_bfloat16(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        machine |= {
            "gpu": properties.name,
            "gpu_memory_gib": round(properties.total_memory / 2**30, 1),
            "gpu_capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return machine
