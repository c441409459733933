"""Measure what the prior costs and brings on the hippocampus, fold 0: the targets of the main job.

Resumable: every arm's result is a JSON file in the results folder, and what is there is not measured again. Timed arms
are interleaved, so that a drifting machine slows all of them alike.

    python -m scripts.benchmarks.training --results benchmarks/training [--only steps prior pca prediction dice]

Needs nnU-Net's three variables and the dataset planned and preprocessed (`nnUNetv2_plan_and_preprocess -d 4 -c
3d_fullres`).
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scripts.benchmarks.timed_trainers import (
    Subject,
    compare,
    describe_machine,
    interleaved_batches,
    interleaved_predictions,
    interleaved_steps,
    make_trainer,
    peak_memory_of_steps,
)

DATASET, CONFIGURATION, FOLD = "4", "3d_fullres", 0
HIDDEN = {"hidden_parts": 0.5}
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


def measure_steps(results: Path) -> dict:
    """Time the training step of four arms on one batch, a step of each in turn; peak memory in own processes."""
    arms = {
        "stock": ("nnUNetTrainer", {}),
        "acnn": ("ACNNTrainer", {"cpu_autocast": False, **HIDDEN}),
        "baseline_bfloat16": ("ACNNTrainer", {"prior_weight": 0, "cpu_autocast": True}),
        "acnn_bfloat16": ("ACNNTrainer", {"cpu_autocast": True, **HIDDEN}),
    }
    memory = {name: in_process(peak_memory_of_steps, subject(), *arm) for name, arm in arms.items()}
    times = in_process(interleaved_steps, subject(), arms, 8)
    batches = in_process(interleaved_batches, subject(), {name: arms[name] for name in ("stock", "acnn")}, 8)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "median_step_s": medians,
        "steps_s": times,
        "batches": compare(batches),
        "peak_memory_mib": memory,
        "ratio_acnn_to_stock_float32": medians["acnn"] / medians["stock"],
        "ratio_acnn_to_baseline_bfloat16": medians["acnn_bfloat16"] / medians["baseline_bfloat16"],
        "ratio_stock_to_acnn_bfloat16": medians["stock"] / medians["acnn_bfloat16"],
        "memory_ratio_acnn_to_stock": memory["acnn"] / memory["stock"],
        "parameters": in_process(count_parameters, arms),
    }


def count_parameters(arms: dict) -> dict[str, int]:
    """Return the number of network parameters of each arm."""
    return {
        name: sum(p.numel() for p in make_trainer(subject(), *arm).network.parameters()) for name, arm in arms.items()
    }


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

    trainer = make_trainer(subject(), "ShapePriorTrainer", {"seed": 0})
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
    return compare(in_process(interleaved_predictions, subject(), (40, 56, 40), 5))


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


def subject() -> Subject:
    """Return the benchmark's configuration and fold, with the prior that was trained on it, on the CPU."""
    prior = model_folder("ShapePriorTrainer", CONFIGURATION) / f"fold_{FOLD}" / "checkpoint_final.pth"
    return Subject("Dataset004_Hippocampus", CONFIGURATION, str(prior), fold=FOLD)


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
