"""Measure what the prior costs and brings on the hippocampus, fold 0: the targets of the main job.

Resumable: every arm's result is a JSON file in the results folder, and what is there is not measured again. Timed arms
are interleaved, so that a drifting machine slows all of them alike.

    python -m scripts.benchmarks.training --results benchmarks/training [--only steps prior pca prediction dice]

Needs nnU-Net's three variables and the dataset planned and preprocessed (`nnUNetv2_plan_and_preprocess -d 4 -c
3d_fullres`).
"""

import argparse
import gc
import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

DATASET, CONFIGURATION, FOLD = "4", "3d_fullres", 0
RESULTS = Path(os.environ.get("nnUNet_results", "."))
SEEDS = (0, 1, 2)
# The Dice arms take small batches: equal for both, and what two cores can train three times over.
DICE_BATCH_SIZE, DICE_EPOCHS, DICE_ITERATIONS = 2, 4, 50


def main() -> None:
    """Run the parts that are asked for."""
    parts: dict[str, Callable[[Path], dict]] = {
        "steps": measure_steps,
        "prior": train_default_prior,
        "pca": compare_with_pca,
        "prediction": measure_prediction,
        "dice": compare_dice,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/training"))
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        print(
            f"{name}: {resumable(arguments.results / f'{name}.json', lambda name=name: parts[name](arguments.results))}"
        )


def resumable(path: Path, measure: Callable[[], dict]) -> dict:
    """Return the JSON content of `path`, measured now if it is not there."""
    if not path.is_file():
        result = {**measure(), "machine": describe_machine()}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(result, indent=2) + "\n")
        partial.replace(path)
    return json.loads(path.read_text())


def describe_machine() -> dict:
    """Return what the numbers were measured on."""
    import torch

    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in cpuinfo if "model name" in line), "unknown")
    from acnn_nnunet.nnunet.devices import native_bfloat16

    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "native_bfloat16": native_bfloat16(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def measure_steps(results: Path) -> dict:
    """Time the training step of five arms on one batch, a step of each in turn; peak memory in own processes."""
    arms = {
        "stock": ("nnUNetTrainer", {}),
        "acnn": ("ACNNTrainer", {"cpu_autocast": False}),
        "baseline_bfloat16": ("ACNNTrainer", {"prior_weight": 0, "cpu_autocast": True}),
        "acnn_bfloat16": ("ACNNTrainer", {"cpu_autocast": True}),
        "acnn_features": ("ACNNTrainer", {"cpu_autocast": False, "feature_weight": 1.0}),
    }
    memory = {name: in_process(peak_memory_of_steps, *arm) for name, arm in arms.items()}
    times = in_process(interleaved_steps, arms, 9)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "median_step_s": medians,
        "steps_s": times,
        "peak_memory_mib": memory,
        "ratio_acnn_to_stock_float32": medians["acnn"] / medians["stock"],
        "ratio_acnn_features_to_stock_float32": medians["acnn_features"] / medians["stock"],
        "ratio_acnn_to_baseline_bfloat16": medians["acnn_bfloat16"] / medians["baseline_bfloat16"],
        "ratio_stock_to_acnn_bfloat16": medians["stock"] / medians["acnn_bfloat16"],
        "memory_ratio_acnn_to_stock": memory["acnn"] / memory["stock"],
        "parameters": in_process(count_parameters, arms),
    }


def interleaved_steps(arms: dict, rounds: int) -> dict[str, list[float]]:
    """Return seconds per step of each arm; the first round warms up and is dropped."""
    trainers = {name: make_trainer(*arm) for name, arm in arms.items()}
    batch = one_batch(next(iter(trainers.values())))
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, trainer in trainers.items():
            start = time.perf_counter()
            trainer.train_step({**batch, "target": [target.clone() for target in batch["target"]]})
            times[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in times.items()}


def peak_memory_of_steps(trainer_name: str, block: dict) -> float:
    """Return the peak resident memory of this process in MiB after three steps."""
    trainer = make_trainer(trainer_name, block)
    batch = one_batch(trainer)
    gc.collect()
    for _ in range(3):
        trainer.train_step({**batch, "target": [target.clone() for target in batch["target"]]})
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def count_parameters(arms: dict) -> dict[str, int]:
    """Return the number of network parameters of each arm."""
    return {name: sum(p.numel() for p in make_trainer(*arm).network.parameters()) for name, arm in arms.items()}


def train_default_prior(results: Path) -> dict:
    """Train the prior with the default settings through the host's command."""
    start = time.perf_counter()
    run("nnUNetv2_train", DATASET, CONFIGURATION, str(FOLD), "-tr", "ShapePriorTrainer", "-device", "cpu")
    seconds = time.perf_counter() - start
    folder = model_folder("ShapePriorTrainer", CONFIGURATION) / f"fold_{FOLD}"
    report = json.loads((folder / "validation" / "shape_prior.json").read_text())
    decoded = json.loads((folder / "validation" / "summary.json").read_text())
    report.pop("cases")
    return {
        "minutes_with_validation": seconds / 60,
        "held_out": report,
        "tl_decoding_dice": decoded["foreground_mean"]["Dice"],
        "log": json.loads((folder / "acnn_log.json").read_text()),
    }


def compare_with_pca(results: Path) -> dict:
    """Fit PCA of as many components as the code has to signed distance maps; reconstruct the held-out cases with it.

    Once of patches from the host's augmentation, as the autoencoder was trained on, and once of the training cases
    as they are.
    """
    return in_process(pca_reconstruction)


def pca_reconstruction(batches: int = 140) -> dict:
    """Return Dice per label of both PCAs on the held-out cases."""
    import torch
    from sklearn.decomposition import PCA

    from acnn_nnunet.fold_prior.held_out import load_on_grid
    from acnn_nnunet.shape_prior.grids.samples import samples_on_grid
    from acnn_nnunet.shape_prior.label_maps.pca import labels_from_distances, signed_distances

    trainer = make_trainer("ShapePriorTrainer", {"seed": 0})
    trainer.dataloader_train, _ = trainer.get_dataloaders()
    names, labels, grid = trainer.dataset_json["labels"], trainer.labels, trainer.grid

    def centred(cases) -> list[np.ndarray]:
        dataset = trainer.dataset_class(trainer.preprocessed_dataset_folder, cases)
        return [load_on_grid(dataset, case, names, labels, grid)[1][0].argmax(0).numpy() for case in cases]

    def augmented_maps() -> torch.Tensor:
        batch = next(trainer.dataloader_train)
        return samples_on_grid(batch["data"], batch["target"], grid=grid, labels=labels).maps.argmax(1)

    training_cases, validation_cases = trainer.do_split()
    augmented = torch.cat([augmented_maps() for _ in range(batches)]).numpy()
    held_out = centred(validation_cases)
    classes = labels.num_channels
    result = {}
    for name, maps in (("same_augmentation", augmented), ("no_augmentation", centred(training_cases))):
        distances = np.stack([signed_distances(label_map, classes).ravel() for label_map in maps])
        pca = PCA(min(trainer.settings.code_size, len(distances)), svd_solver="randomized", random_state=0)
        pca.fit(distances)
        dice = []
        for truth in held_out:
            code = pca.transform(signed_distances(truth, classes).reshape(1, -1))
            rebuilt = labels_from_distances(pca.inverse_transform(code).reshape(classes - 1, *grid.size))
            dice.append([overlap(rebuilt == label, truth == label) for label in range(1, classes)])
        result[name] = {
            "maps": len(maps),
            "components": int(pca.n_components_),
            "dice_per_label": np.nanmean(dice, axis=0).tolist(),
            "mean_dice": float(np.nanmean(dice)),
        }
    return result


def measure_prediction(results: Path) -> dict:
    """Time the host's predictor with both trainers' networks on one image, in turn."""
    return in_process(interleaved_predictions)


def interleaved_predictions(rounds: int = 6) -> dict:
    """Return seconds per prediction of a network of each trainer and their ratio."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    times: dict[str, list[float]] = {"stock": [], "acnn": []}
    predictors = {}
    for name, trainer_name in (("stock", "nnUNetTrainer"), ("acnn", "ACNNTrainer")):
        trainer = make_trainer(trainer_name, {"prior_weight": 0})
        trainer.set_deep_supervision_enabled(False)
        predictors[name] = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        predictors[name].manual_initialization(
            trainer.network.eval(),
            trainer.plans_manager,
            trainer.configuration_manager,
            None,
            trainer.dataset_json,
            trainer_name,
            (0, 1, 2),
        )
    image = torch.randn(1, 40, 56, 40)
    for _ in range(rounds):
        for name, predictor in predictors.items():
            start = time.perf_counter()
            predictor.predict_sliding_window_return_logits(image)
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    return {"median_s": medians, "seconds": times, "ratio_acnn_to_stock": medians["acnn"] / medians["stock"]}


def compare_dice(results: Path) -> dict:
    """Train stock (`prior_weight=0`) and ACNN for equal iterations with three seeds; compare held-out Dice by case."""
    configuration, stock = write_dice_configurations()
    for seed in SEEDS:  # seed by seed, so that a stopped run leaves whole pairs
        for arm in (stock, configuration):
            resumable(results / f"dice_{arm}_seed{seed}.json", lambda arm=arm, seed=seed: train_arm(arm, seed))
    arms = {
        arm: [json.loads((results / f"dice_{arm}_seed{seed}.json").read_text())["dice"] for seed in SEEDS]
        for arm in (configuration, stock)
    }
    cases = sorted(arms[stock][0])
    difference = np.array(
        [[arms[configuration][s][case] - arms[stock][s][case] for case in cases] for s in range(len(SEEDS))]
    )
    low, high = bootstrap_interval(difference)
    return {
        "iterations": DICE_EPOCHS * DICE_ITERATIONS,
        "batch_size": DICE_BATCH_SIZE,
        "seeds": list(SEEDS),
        "cases": len(cases),
        "mean_dice_acnn": float(np.mean([list(run.values()) for run in arms[configuration]])),
        "mean_dice_stock": float(np.mean([list(run.values()) for run in arms[stock]])),
        "difference_per_seed": difference.mean(1).tolist(),
        "mean_difference": float(difference.mean()),
        "interval_95": [low, high],
    }


def bootstrap_interval(difference: np.ndarray, draws: int = 10000) -> tuple[float, float]:
    """Return the 95 % interval of the mean paired difference (seeds, cases), resampling seeds as well as cases.

    Runs differ more than cases do: resampling cases alone would promise what the next seed does not keep.
    """
    generator = np.random.default_rng(0)
    seeds, cases = (generator.integers(n, size=(draws, n)) for n in difference.shape)
    means = difference[seeds[:, :, None], cases[:, None, :]].mean((1, 2))
    return tuple(float(value) for value in np.percentile(means, [2.5, 97.5]))


def write_dice_configurations() -> tuple[str, str]:
    """Write the two arms' configurations into the plans: small batches, few epochs, with and without the prior."""
    quick, stock = "3d_fullres_bench", "3d_fullres_bench_stock"
    settings = [
        f"num_epochs={DICE_EPOCHS}",
        f"num_iterations_per_epoch={DICE_ITERATIONS}",
        "num_val_iterations_per_epoch=5",
        "save_every=2",
        "seed=0",
    ]
    plans_file = Path(os.environ["nnUNet_preprocessed"]) / "Dataset004_Hippocampus" / "nnUNetPlans.json"
    plans = json.loads(plans_file.read_text())
    base = {"inherits_from": CONFIGURATION, "batch_size": DICE_BATCH_SIZE}
    plans["configurations"]["3d_fullres_small_batch"] = base
    plans_file.write_text(json.dumps(plans, indent=4))
    run("acnn-nnunet", "configure", DATASET, "-c", "3d_fullres_small_batch", "-n", quick, *settings)
    run("acnn-nnunet", "configure", DATASET, "-c", quick, "-n", stock, "prior_weight=0")
    return quick, stock


def train_arm(arm: str, seed: int) -> dict:
    """Train one arm with one seed through the host's command and return held-out Dice per case (mean over labels)."""
    parent = "3d_fullres_bench"
    extra = [] if arm == parent else ["prior_weight=0"]
    run("acnn-nnunet", "configure", DATASET, "-c", parent, "-n", f"{arm}_seed{seed}", f"seed={seed}", *extra)
    name = f"{arm}_seed{seed}"
    start = time.perf_counter()
    run("nnUNetv2_train", DATASET, name, str(FOLD), "-tr", "ACNNTrainer", "-device", "cpu")
    summary = json.loads(
        (model_folder("ACNNTrainer", name) / f"fold_{FOLD}" / "validation" / "summary.json").read_text()
    )
    dice = {
        Path(case["reference_file"]).name: float(np.mean([label["Dice"] for label in case["metrics"].values()]))
        for case in summary["metric_per_case"]
    }
    return {"arm": arm, "seed": seed, "minutes": (time.perf_counter() - start) / 60, "dice": dice}


def make_trainer(trainer_name: str, block: dict):
    """Return an initialised trainer of the benchmark's configuration and fold on the CPU."""
    import torch
    from batchgenerators.utilities.file_and_folder_operations import load_json
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    os.environ["nnUNet_n_proc_DA"] = "0"
    # Measured networks must not leave logs beside real results.
    os.environ["nnUNet_results"] = tempfile.mkdtemp()
    prior = model_folder("ShapePriorTrainer", CONFIGURATION) / f"fold_{FOLD}" / "checkpoint_final.pth"
    folder = Path(os.environ["nnUNet_preprocessed"]) / "Dataset004_Hippocampus"
    plans = load_json(str(folder / "nnUNetPlans.json"))
    plans["configurations"][CONFIGURATION]["acnn"] = {"prior": str(prior), **block}
    trainer = recursive_find_trainer_class_by_name(trainer_name)(
        {**plans, "continue_training": False},
        CONFIGURATION,
        FOLD,
        load_json(str(folder / "dataset.json")),
        torch.device("cpu"),
    )
    trainer.initialize()
    trainer.network.train()
    return trainer


def one_batch(trainer) -> dict:
    """Return one training batch of the host's loader."""
    loader, _ = trainer.get_dataloaders()
    return next(loader)


def model_folder(trainer: str, configuration: str) -> Path:
    """Return where the host keeps a trainer's results of a configuration."""
    return RESULTS / "Dataset004_Hippocampus" / f"{trainer}__nnUNetPlans__{configuration}"


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Return Dice of two masks, NaN where both are empty."""
    size = first.sum() + second.sum()
    return 2 * (first & second).sum() / size if size else float("nan")


def in_process(function: Callable, *arguments):
    """Run a function in a spawned process of its own, so that memory and threads are its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def run(*command: str) -> None:
    """Run a command of this environment, showing it."""
    print("$", *command, flush=True)
    program = Path(sys.executable).with_name(command[0])
    subprocess.run([str(program) if program.exists() else command[0], *command[1:]], check=True)


if __name__ == "__main__":
    main()
