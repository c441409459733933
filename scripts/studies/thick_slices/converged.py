"""The arms of Table I, all trained for equally many steps, by loss and seed; each run says whether it was flat.

The losses share a work folder, its datasets and its priors; each has a results folder of its own. Where a training has
not learnt a label, it is repeated with a batch twice as large, the remedy of a practitioner, and the run says so.
"""

import json
import math
import shutil
from pathlib import Path
from typing import ClassVar

from acnn_nnunet.files.safe_writes import write_json
from scripts.studies.defaults.devices import device_name
from scripts.studies.host_folders import ROOT
from scripts.studies.jobs import Call
from scripts.studies.thick_slices.adjustment import adjusted_model
from scripts.studies.thick_slices.arms import (
    ADJUSTED,
    ARMS,
    COMMON_SETTINGS,
    INTERPOLATED_ID,
    MIXED_ID,
    SEEDLESS,
    STACKS_ID,
    TRAININGS,
    trainings_of,
)
from scripts.studies.thick_slices.convergence import is_flat, last_rise, read_log, unlearnt_labels
from scripts.studies.thick_slices.workplace import (
    BATCH_SIZES,
    HR,
    NO_PAIRS,
    Workplace,
    results_in,
)

LOSSES = ("ce_per_class", "dice_ce")
ARMS_OF_TABLE_1 = (
    "unet_2d",
    "unet_interpolated",
    "sub_pixel_b2",
    "sub_pixel_motion_b2",
    "ae_seg_b2",
    "ae_seg_m_b2",
    "acnn_sub_pixel_motion_b2",
)
IMAGE_ARMS = ("image_bspline", "sr_cnn_b2", "sr_b2", "acnn_sr_b2")
MIXED_ARMS = ("mixed_b2", "factor_4_b2", "factor_5_b2", "factor_6_b2", "stock_mixed", "mixed_sampled")
ARMS_OF_PAIRS = ("sub_pixel_b2", "in_plane_b2", "pairs_b2")
IN_PLANE_ARM = "in_plane_motion_b2"
OUTSIDE_ARM = "acnn_outside_b2"
ADJUSTED_ARMS = tuple(f"{arm}_adjusted" for arm in ADJUSTED)
CONVERGED_ARMS = tuple(
    dict.fromkeys(
        (*ARMS_OF_TABLE_1, IN_PLANE_ARM, OUTSIDE_ARM, *IMAGE_ARMS, *MIXED_ARMS, *ARMS_OF_PAIRS, *ADJUSTED_ARMS)
    )
)
EPOCHS = 40
ITERATIONS, ITERATIONS_PER_VALIDATION = 50, 3
# What gives U-Nets as many parameters (± 0.5 %) as the network for stacks of half nnU-Net's width, 1.84 million.
# Channels stay multiples of eight: with 18, 37, 73 and 147 a step takes a CPU 1.6 times as long.
DEEPER = {"n_conv_per_stage": [2, 2, 2, 3]}
EQUAL_PARAMETERS = {INTERPOLATED_ID: DEEPER, MIXED_ID: DEEPER, STACKS_ID: {"features_per_stage": [32, 64, 128, 240]}}
CONVERGED_RESULTS = ROOT / "benchmarks" / "thick_slices_converged"
CONVERGED_PAGE = ROOT / "docs" / "evidence" / "thick_slices_converged.md"


class ConvergedWorkplace(Workplace):
    """The study's folders, and one loss's trainings, all of equally many epochs.

    Args:
        folder: scratch folder of the study.
        results: folder of this loss's results.
        loss: setting `segmentation_loss` of all arms.
        epochs: of every training; one that had fewer goes on.
        iterations: per epoch.
        prior_epochs: shorten the prior's training, to try the script.
        device: "cpu" or "cuda".
    """

    architectures: ClassVar[dict[int, dict]] = EQUAL_PARAMETERS

    def __init__(
        self,
        folder: Path,
        results: Path,
        loss: str,
        *,
        epochs: int = EPOCHS,
        iterations: int = ITERATIONS,
        prior_epochs: int | None = None,
        device: str = "cpu",
    ):
        super().__init__(folder, results, prior_epochs=prior_epochs, device=device)
        self.loss, self.epochs, self.iterations = loss, epochs, iterations
        self.predictions, self.records = folder / "predictions" / f"{loss}_{epochs}", folder / "results" / loss

    def tests_of(self, arms: list[str]) -> list[str]:
        """Return the sets of stacks that these arms are tested on: ones that did not move only for pairs."""
        still = any(arm in ARMS_OF_PAIRS for arm in arms)
        return [test for test in super().tests_of(arms) if test != "still" or still]

    def calls(self, arms: list[str], seeds: list[int]) -> list[Call]:
        """Return what has to be done for these runs, for `run_all`: priors first, what begins with another arm last.

        A run that was added with fewer epochs is done again: its training goes on.
        """
        if self.loss != "ce_per_class":  # the other loss needs no adjustment, and images have no loss of labels
            arms = [arm for arm in arms if arm not in (*ADJUSTED_ARMS, *IMAGE_ARMS)]
        self.in_process = True
        ordered = sorted(arms, key=lambda arm: (ARMS[arm].source is not None, bool(self._priors_of([arm]))))
        runs = dict.fromkeys((arm, 0 if arm in SEEDLESS else seed) for arm in ordered for seed in seeds)
        done = {(run["arm"], run["seed"]) for run in results_in(self.results).runs() if self._is_long_enough(run)}
        missing = [run for run in runs if run not in done]
        priors: list[Call] = [(self.trained_prior, (name,)) for name in self._priors_of([arm for arm, _ in missing])]
        return [*priors, *((self.train_and_score, run) for run in missing)]

    def train_and_score(self, arm: str, seed: int) -> None:
        """Train what an arm needs, with the remedy where a label failed, predict, score, and add the run."""
        for name in trainings_of([arm]):
            known = self.train_to(name, seed, self.epochs)
            if known["unlearnt"] and not known["remedy"]:
                self.train_to(name, seed, self.epochs, remedy=True)
        self.run_arm(arm, seed)

    def train_to(self, name: str, seed: int, epochs: int, *, remedy: bool = False) -> dict:
        """Train to a number of epochs unless that was done, and return what it took and came to."""
        took, training = self._record(name, seed), TRAININGS[name]
        with self.locked(f"{took.stem}_{self.loss}"):  # another arm may need it too
            known = json.loads(took.read_text()) if took.is_file() else {"num_epochs": 0, "remedy": False, "cpu_s": 0}
            if known["num_epochs"] >= epochs and (known["remedy"] or not remedy):
                return known
            remedy = remedy or known["remedy"]
            configuration = self.configured(name, seed, iterations=self.iterations, epochs=epochs, remedy=remedy)
            measured = self.train(training.dataset_id, configuration, training.trainer)
            fold = self.host_folder(training.dataset_id, training.trainer, configuration)
            shutil.rmtree(adjusted_model(fold.parent), ignore_errors=True)  # of fewer epochs
            log = read_log(fold / "checkpoint_final.pth")
            content = {
                **measured,
                "name": name,
                "settings": COMMON_SETTINGS | training.settings | {"segmentation_loss": self.loss},
                "num_epochs": epochs,
                "iterations_per_epoch": self.iterations,
                "configuration": configuration,
                "remedy": remedy,
                "failed_before": known.get("unlearnt", []) if remedy else [],
                "device": device_name(self.device),
                "flat": is_flat(log["mean_fg_dice"]),
                "last_rise": [round(x, 4) if math.isfinite(x) else None for x in last_rise(log["mean_fg_dice"])],
                "unlearnt": unlearnt_labels(log["dice_per_class_or_region"]),
                "cpu_s": round(measured["cpu_s"] + known["cpu_s"] * (remedy == known["remedy"]), 1),
            }
            self.records.mkdir(parents=True, exist_ok=True)
            write_json(took, content)
        return content

    def trained(self, name: str, seed: int) -> dict:
        """Return what a training took and came to."""
        return json.loads(self._record(name, seed).read_text())

    def configured(
        self, name: str, seed: int, *, iterations: int, epochs: int | None = None, remedy: bool = False
    ) -> str:
        """Write a training's configuration by the command that a user would type, and return its name."""
        training = TRAININGS[name]
        settings = {**COMMON_SETTINGS, **NO_PAIRS, **training.settings, "seed": seed}
        settings["segmentation_loss"] = self.loss
        settings |= {"num_epochs": epochs or self.epochs, "num_iterations_per_epoch": iterations}
        validation = max(1, iterations // ITERATIONS_PER_VALIDATION)
        settings |= {"num_val_iterations_per_epoch": validation, "save_every": 10}
        settings |= self.prior_of(training)
        base = self.doubled_batch(training.dataset_id, training.configuration) if remedy else training.configuration
        configuration = f"{self._first_configuration(name, seed)}{'_remedy' if remedy else ''}"
        self.configure(training.dataset_id, base, configuration, settings)
        return configuration

    def configuration_of(self, training: str, seed: int) -> str:
        """Return the name of a training's configuration: the remedy's where it was needed."""
        known = self._record(training, seed).is_file()
        return self.trained(training, seed)["configuration"] if known else self._first_configuration(training, seed)

    def doubled_batch(self, dataset_id: int, base: str) -> str:
        """Add a configuration with a batch twice as large, and return its name."""
        path, name = self.preprocessed(dataset_id) / "nnUNetPlans.json", f"{base}_doubled"
        with self.locked("plans"):
            plans = json.loads(path.read_text())
            batch = plans["configurations"][base].get("batch_size", BATCH_SIZES[HR])
            plans["configurations"][name] = {"inherits_from": base, "batch_size": 2 * batch}
            write_json(path, plans)
        return name

    def train(self, dataset_id: int, configuration: str, trainer: str) -> dict:
        """Train in a process of its own, going on from any checkpoint."""
        folder = self.host_folder(dataset_id, trainer, configuration)
        resumed = any((folder / f"checkpoint_{which}.pth").is_file() for which in ("latest", "final"))
        return self.train_here(dataset_id, configuration, trainer, resumed=resumed)

    def _is_long_enough(self, run: dict) -> bool:
        return run.get("training", {"num_epochs": self.epochs})["num_epochs"] >= self.epochs

    def _priors_of(self, arms: list[str]) -> list[str]:
        return sorted({TRAININGS[name].prior for name in trainings_of(arms)} - {None})

    def _first_configuration(self, name: str, seed: int) -> str:
        return f"{super().configuration_of(name, seed)}_{self.loss}"

    def _record(self, name: str, seed: int) -> Path:
        return self.records / f"{name}_seed{seed}.json"
