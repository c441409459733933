"""The arms of Table I trained until validation Dice is flat, all for equally many steps, by loss and seed.

A loss has a work folder and a results folder of its own. The trainings of a seed go on together, from one length to
twice that, until all of them are flat. Where one has not learnt a label, it is trained again with a batch twice as
large, the remedy of a practitioner, and the run says so.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from acnn_nnunet.files.safe_writes import write_json, write_text
from scripts.studies.host_folders import ROOT
from scripts.studies.thick_slices.arms import ARMS, COMMON_SETTINGS, SEEDLESS, TRAININGS
from scripts.studies.thick_slices.convergence import is_flat, read_log, unlearnt_labels
from scripts.studies.thick_slices.workplace import BATCH_SIZES, HR, Workplace, results_in

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
LENGTHS = (100, 200, 400, 800)  # epochs; a training goes on from one to the next
ITERATIONS, VALIDATION_ITERATIONS = 50, 10
CONVERGED_RESULTS = ROOT / "benchmarks" / "thick_slices_converged"
CONVERGED_PAGE = ROOT / "docs" / "evidence" / "thick_slices_converged.md"


class ConvergedWorkplace(Workplace):
    """The study's folders for one loss, and trainings that end where they are flat.

    Args:
        folder: scratch folder of this loss.
        results: folder of this loss's results.
        loss: setting `segmentation_loss` of all arms.
        lengths: numbers of epochs.
        iterations: per epoch.
        prior_epochs: shorten the prior's training, to try the script.
    """

    def __init__(
        self,
        folder: Path,
        results: Path,
        loss: str,
        *,
        lengths: tuple[int, ...] = LENGTHS,
        iterations: int = ITERATIONS,
        prior_epochs: int | None = None,
    ):
        super().__init__(folder, results, prior_epochs=prior_epochs)
        self.loss, self.lengths, self.iterations = loss, lengths, iterations

    def run(self, arms: list[str], seeds: list[int], *, minutes: float, jobs: int) -> None:
        """Train the arms of each seed to convergence, then predict and score them; begin nothing after the time."""
        ends = time.monotonic() + 60 * minutes
        for seed in seeds:
            missing = [arm for arm in arms if not results_in(self.results).has(arm=arm, seed=seed)]
            if missing and self.converged(missing, seed, ends=ends, jobs=jobs):
                for arm in missing:
                    self.run_arm(arm, 0 if arm in SEEDLESS else seed)

    def converged(self, arms: list[str], seed: int, *, ends: float, jobs: int) -> bool:
        """Train until all trainings of these arms are flat, or the last length is reached; return whether that was."""
        sources = [ARMS[arm].source for arm in arms]
        needed = [ARMS[name].training for name in (*arms, *sources) if name is not None]
        trainings = sorted({name for name in needed if name is not None})
        for epochs in self.lengths:

            def train_in_time(name: str, length: int = epochs) -> bool:
                return time.monotonic() < ends and bool(self.train_to(name, seed, length))

            with ThreadPoolExecutor(jobs) as pool:
                if not all(pool.map(train_in_time, trainings)):
                    print(f"time is over: {self.loss}, seed {seed} stays at {epochs} epochs")
                    return False
            if all(self.trained(name, seed)["flat"] for name in trainings):
                break
        for name in trainings:
            if (known := self.trained(name, seed))["unlearnt"] and not known["remedy"]:
                if time.monotonic() > ends:
                    return False
                self.train_to(name, seed, known["num_epochs"], remedy=True)
        return True

    def train_to(self, name: str, seed: int, epochs: int, *, remedy: bool = False) -> dict:
        """Train to a number of epochs unless that was done, and return what it took and came to."""
        took, training = self._record(name, seed), TRAININGS[name]
        known = json.loads(took.read_text()) if took.is_file() else {"num_epochs": 0, "remedy": False, "cpu_s": 0}
        if known["num_epochs"] >= epochs and (known["remedy"] or not remedy):
            return known
        with self.locked(took.stem):
            remedy = remedy or known["remedy"]
            configuration = self.configured(name, seed, iterations=self.iterations, epochs=epochs, remedy=remedy)
            measured = self.train(training.dataset_id, configuration, training.trainer)
            fold = self.host_folder(training.dataset_id, training.trainer, configuration)
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
                "flat": is_flat(log["mean_fg_dice"]),
                "unlearnt": unlearnt_labels(log["dice_per_class_or_region"]),
                "cpu_s": round(measured["cpu_s"] + known["cpu_s"] * (remedy == known["remedy"]), 1),
            }
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
        settings = {**COMMON_SETTINGS, **training.settings, "segmentation_loss": self.loss, "seed": seed}
        settings |= {"num_epochs": epochs or self.lengths[0], "num_iterations_per_epoch": iterations}
        settings |= {"num_val_iterations_per_epoch": VALIDATION_ITERATIONS, "save_every": 10}
        settings |= self.prior_of(training)
        base = self.doubled_batch(training.dataset_id, training.configuration) if remedy else training.configuration
        configuration = f"{super().configuration_of(name, seed)}{'_remedy' if remedy else ''}"
        self.configure(training.dataset_id, base, configuration, settings)
        return configuration

    def configuration_of(self, training: str, seed: int) -> str:
        """Return the name of a training's configuration: the remedy's where it was needed."""
        record = self._record(training, seed)
        return (
            self.trained(training, seed)["configuration"]
            if record.is_file()
            else super().configuration_of(training, seed)
        )

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

    def _record(self, name: str, seed: int) -> Path:
        return self.folder / "results" / f"{name}_seed{seed}.json"


def write_converged_report(results: Path, page: Path) -> None:
    """Write the page of all losses that have runs."""
    from scripts.studies.thick_slices.report import label_table, load_runs, pair_table

    parts = [INTRODUCTION]
    for loss in LOSSES:
        if not (runs := load_runs(results / loss)):
            continue
        parts += [f"## {loss}", convergence_table([run.training for run in runs.values() if run.training])]
        parts += [label_table(runs, "motion"), pair_table(runs, "motion")]
    write_text(page, "\n\n".join(parts) + "\n")
    print(page)


def convergence_table(trainings: list[dict]) -> str:
    """Return a table of how long each training took, whether it was flat, and which labels failed."""
    titles = "training | parameters | steps | flat | labels that failed at first | labels that failed in the end"
    lines = [f"| {titles} |", "|---|---:|---:|---|---|---|"]
    for each in trainings:
        steps = each["num_epochs"] * each["iterations_per_epoch"]
        failed = ", ".join(map(str, each["failed_before"])) or "none"
        still = ", ".join(map(str, each["unlearnt"])) or "none"
        flat = "yes" if each["flat"] else "no"
        lines.append(f"| {each['name']} | {each['parameters']:,} | {steps} | {flat} | {failed} | {still} |")
    return "\n".join(lines)


INTRODUCTION = """# Thick slices at convergence

Made by `python -m scripts.studies.thick_slices report --protocol converged`. Hippocampi, fold 0, slices that moved,
half of nnU-Net's width, batches of two. All trainings of a seed have equally many steps: validation Dice of each is
flat over its last fifth (a straight line rises by at most 0.005). A training that failed to learn a label was repeated
with a batch twice as large."""
