"""Workplace of the study of defaults: nnU-Net's three folders, test images, runs and their scores."""

import contextlib
import json
import math
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from acnn_nnunet.files.safe_writes import write_json
from scripts.studies.defaults.arms import (
    ALL_FOLD,
    ARMS,
    BASE,
    CONFIGURATION,
    FEW_FOLD,
    LOGITS_ADJUSTED,
    LOGITS_MIRRORED,
    PRIOR_CONFIGURATION,
    PRIORS,
    STUDIES,
    Prior,
    lines,
)
from scripts.studies.defaults.devices import device_name
from scripts.studies.defaults.images import SELECTION, all_test_cases, write_test_images
from scripts.studies.defaults.predictions import predict_and_score
from scripts.studies.host_folders import ROOT, HostFolders
from scripts.studies.jobs import Call, run_all
from scripts.studies.results import StudyResults, versions

RESULTS = StudyResults(ROOT / "benchmarks" / "defaults", keys=("dataset", "arm", "seed"))
SCORES = "cases"
PRIOR_BATCH_SIZE = 8
_EPOCH_TIME = re.compile(r"Epoch time: ([0-9.]+) s")


class Workplace(HostFolders):
    """nnU-Net's three folders of one study, its test images and its runs."""

    def __init__(self, name: str, folder: Path, *, device: str = "cpu", results: StudyResults = RESULTS):
        super().__init__(folder)
        self.name, self.study, self.test = name, STUDIES[name], folder / "test"
        self.device, self.results = device, results
        self.arms = {**ARMS, **lines(self.study)}

    def prepare(self, raw: Path | None, *, jobs: int) -> None:
        """Plan, split, preprocess, and make the test images.

        Args:
            raw: nnUNet_raw with the dataset; None in a pack, which brings data, plans and split along.
            jobs: processes at a time.
        """
        self.make()
        if raw:
            self.link_raw(next(raw.glob(f"Dataset{self.study.dataset_id:03d}_*")))
            self.command(f"nnUNetv2_plan_and_preprocess -d {self.study.dataset_id} -c {BASE} --no_pp -np 2")
            self.write_configuration()
            self.write_split()
        self.command(f"nnUNetv2_preprocess -d {self.study.dataset_id} -c {CONFIGURATION} -np {jobs}")
        calls: list[Call] = [(write_test_images, (self, *case)) for case in all_test_cases(self)]
        run_all(calls, environment=self.environment, ends=math.inf, processes=jobs)

    def write_configuration(self) -> None:
        """Add the study's configurations to the plans: the base's, half as wide, with the study's overrides."""
        from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

        plans = json.loads(self.plans_file.read_text())
        base = plans["configurations"][BASE]
        patch, spacing = self.study.overrides["patch_size"], self.study.overrides["spacing"]
        _, strides, kernels, _, _ = get_pool_and_conv_props(spacing, patch, 4, 4)
        stages = min(len(strides), 4)
        architecture = json.loads(json.dumps(base["architecture"]))
        architecture["arch_kwargs"].update(
            n_stages=stages,
            strides=[list(stride) for stride in strides[:stages]],
            kernel_sizes=[list(kernel) for kernel in kernels[:stages]],
            features_per_stage=[n // 2 for n in base["architecture"]["arch_kwargs"]["features_per_stage"][:stages]],
            n_conv_per_stage=[2] * stages,
            n_conv_per_stage_decoder=[2] * (stages - 1),
        )
        plans["configurations"][CONFIGURATION] = {
            "inherits_from": BASE,
            "architecture": architecture,
            "data_identifier": f"nnUNetPlans_{CONFIGURATION}",
            **self.study.overrides,
        }
        plans["configurations"][PRIOR_CONFIGURATION] = {
            "inherits_from": CONFIGURATION,
            "batch_size": PRIOR_BATCH_SIZE,
        }
        self.plans_file.write_text(json.dumps(plans, indent=2))

    def write_split(self) -> None:
        """Append folds to the host's five: few cases of fold 0's training part, then other numbers of them.

        The few cases' fold is validated on the selection cases. Where so many cases are trained on that selection cases
        are among them, fold 0's held-out cases stand in.
        """
        path = self.preprocessed / "splits_final.json"
        if path.is_file():
            splits = json.loads(path.read_text())[:FEW_FOLD]
        else:
            from nnunetv2.utilities.crossval_split import generate_crossval_split

            names = sorted(file.name.removesuffix(".nii.gz") for file in (self.raw / "labelsTr").glob("*.nii.gz"))
            splits = generate_crossval_split(names, seed=12345, n_splits=5)  # what the host would draw
        training = splits[ALL_FOLD]["train"]
        units = sorted({self.unit(case) for case in training})
        shuffled = np.random.default_rng(0).permutation(len(units))
        order = [units[i] for i in (self.balanced(units, shuffled) if self.study.grouped else shuffled)]
        few, end = self.study.num_train, self.study.num_train + self.study.num_selection
        selection = order[few:end]
        order = [*order[:few], *order[end:], *selection]
        for size in (few, *self.study.sizes):
            chosen = set(order[:size])
            trained_on = [case for case in training if self.unit(case) in chosen]
            held_out = [case for case in training if self.unit(case) in selection]
            splits.append(
                {"train": trained_on, "val": splits[ALL_FOLD]["val"] if chosen & set(selection) else held_out}
            )
        path.write_text(json.dumps(splits, indent=2))

    def balanced(self, units: list[str], order: np.ndarray) -> list[int]:
        """Return the shuffled patients reordered so that the groups take turns."""
        import csv

        with open(self.raw / "groups.csv", newline="") as file:
            group_of = {row["patient"]: row["group"] for row in csv.DictReader(file)}
        by_group: dict[str, list[int]] = {}
        for index in order:
            by_group.setdefault(group_of[units[index]], []).append(int(index))
        rounds = max(map(len, by_group.values()))
        return [by_group[group][k] for k in range(rounds) for group in sorted(by_group) if k < len(by_group[group])]

    def cases(self, part: str) -> list[str]:
        """Return the test cases of "selection" or "confirmation"."""
        splits = json.loads((self.preprocessed / "splits_final.json").read_text())
        return sorted(splits[FEW_FOLD if part == SELECTION else ALL_FOLD]["val"])

    def run(self, arms: list[str], seeds: list[int], *, minutes: float, jobs: int, priors: Sequence[str] = ()) -> None:
        """Do the runs that have no results yet, as long as time is left to start one.

        Priors come first, then arm by arm within each seed. A run whose prior another process trains waits for it.

        Args:
            arms: their names.
            seeds: of the networks.
            minutes: after which no training begins.
            jobs: processes, of one thread each, that train and test one run after the other.
            priors: that no arm needs, to be trained as well.

        Raises:
            SystemExit: if a run failed, after the others; names it and its log.
        """
        missing = [
            (arm, seed) for seed in seeds for arm in arms if not self.results.has(dataset=self.name, arm=arm, seed=seed)
        ]
        if absent := sorted({arm for arm, _ in missing if not self.has_cases(arm)}):
            print(f"{', '.join(absent)}: left out, {self.raw} lacks some of their training cases (pack --sizes)")
            missing = [(arm, seed) for arm, seed in missing if arm not in absent]
        needed = dict.fromkeys(self.arms[arm]["prior_of"] for arm, _ in missing if "prior_of" in self.arms[arm])
        calls: list[Call] = [(self.train_prior, (prior,)) for prior in dict.fromkeys((*needed, *priors))]
        calls += [(self.run_arm, run) for run in missing]
        # A training loads its own batches: more steps a minute than with a worker beside each, and it repeats exactly.
        environment = {**self.environment, "nnUNet_n_proc_DA": "0"}
        try:
            run_all(calls, environment=environment, ends=time.time() + 60 * minutes, processes=jobs)
        finally:
            self.collect()

    def run_arm(self, arm: str, seed: int) -> None:
        """Train, predict, score, and add the run to the results."""
        network = self.network_of(arm)
        prior, configuration = self.arms[arm].get("prior_of"), self.configuration_of(network, seed)
        if prior:
            self.train_prior(prior)
        with self.locked(configuration), self.log(configuration):
            self.configure_arm(network, seed)
            self.train(configuration, self.fold_of(arm), "ACNNTrainer")
            self.score_arm(arm, seed)

    def score(self, arms: list[str], seeds: list[int]) -> None:
        """Predict, score and add the runs whose training has ended, and that have no results yet."""
        for arm, seed in [(arm, seed) for seed in seeds for arm in arms]:
            known = self.results.has(dataset=self.name, arm=arm, seed=seed)
            if not known and (self.folder_of(arm, seed) / "checkpoint_final.pth").is_file():
                self.score_arm(arm, seed)
        self.collect()

    def score_arm(self, arm: str, seed: int) -> None:
        """Predict clean and corrupted images with a trained network, score, and write the run for `collect`."""
        path = self.folder / "scored" / f"{self.configuration_of(arm, seed)}.json"
        if path.is_file():
            return
        folder, prior, started = self.folder_of(arm, seed), self.arms[arm].get("prior_of"), time.process_time()
        labels = self.raw / "labelsTr"
        logits = self.arms[arm].get("logits")
        scores = predict_and_score(
            folder.parent,
            self.fold_of(arm),
            self.test,
            labels,
            device=self.device,
            adjusted_to=self.training_cases(arm) if logits == LOGITS_ADJUSTED else [],
            mirrored=logits == LOGITS_MIRRORED,
        )
        run = {"dataset": self.name, "arm": arm, "seed": seed, "settings": self.settings_of(arm, seed), "prior": prior}
        run |= {"training_s": training_seconds(folder), "testing_cpu_s": round(time.process_time() - started, 1)}
        run |= {"device": device_name(self.device), "versions": versions()}
        path.parent.mkdir(exist_ok=True)
        write_json(path, {"run": run, "scores": scores.to_dict("list")})

    def collect(self) -> None:
        """Add the scored runs that the results do not have; compressing their table takes seconds, so all at once."""
        found = [json.loads(path.read_text()) for path in sorted((self.folder / "scored").glob("*.json"))]
        with self.locked("results"):
            known = {(run["arm"], run["seed"]) for run in self.results.runs() if run["dataset"] == self.name}
            new = [each for each in found if (each["run"]["arm"], each["run"]["seed"]) not in known]
            self.results.add_all([(each["run"], {SCORES: pd.DataFrame(each["scores"])}) for each in new])
        print(f"{self.results.folder}: {len(new)} runs added", flush=True)

    def settings_of(self, arm: str, seed: int) -> dict:
        """Return the settings of a run, but for where its prior lies."""
        settings = {"num_epochs": self.study.num_epochs, "num_iterations_per_epoch": 50, "seed": seed}
        settings |= {"num_val_iterations_per_epoch": 2, "save_every": 5, **self.arms[arm]}
        settings["num_epochs"] *= settings.pop("steps", 1)
        settings = {key: value for key, value in settings.items() if key not in ("num_train", "network_of", "logits")}
        prior = settings.pop("prior_of", None)
        of_prior = self.prior(prior).settings if prior else {}
        return settings | {key: of_prior[key] for key in ("grid", "architecture", "code_size") if key in of_prior}

    def configure_arm(self, arm: str, seed: int) -> None:
        """Write a run's configuration."""
        prior = self.arms[arm].get("prior_of")
        where = {"prior": str(self.prior_file(prior))} if prior else {}
        settings = {**self.settings_of(arm, seed), **where}
        self.configure(self.study.dataset_id, CONFIGURATION, self.configuration_of(arm, seed), settings)

    def prior(self, name: str) -> Prior:
        """Return a prior of `PRIORS`, or one of its kind for another number of cases (`<name>_n<size>`)."""
        kind, _, size = name.partition("_n")
        return PRIORS[kind]._replace(fold=self.fold_of_size(int(size))) if size else PRIORS[name]

    def configure_prior(self, prior: str) -> None:
        """Write a prior's configuration, unless it is trained."""
        if not self.prior_file(prior).is_file():
            settings = {"num_iterations_per_epoch": 50, "num_val_iterations_per_epoch": 4, "seed": 0}
            settings |= self.prior(prior).settings
            name = f"{PRIOR_CONFIGURATION}_{prior}"
            self.configure(self.study.dataset_id, self.prior(prior).configuration, name, settings)

    def train_prior(self, prior: str) -> None:
        """Train a prior, if it is not there."""
        with self.locked(prior), self.log(f"{PRIOR_CONFIGURATION}_{prior}"):
            self.configure_prior(prior)
            self.train(f"{PRIOR_CONFIGURATION}_{prior}", self.prior(prior).fold, "ShapePriorTrainer")
        print(f"prior {prior}: {training_seconds(self.prior_file(prior).parent):.0f} s", flush=True)

    def configuration_of(self, arm: str, seed: int) -> str:
        """Return the name of a run's configuration."""
        return f"{CONFIGURATION}_{arm}_seed{seed}".replace(".", "")

    def fold_of(self, arm: str) -> int:
        """Return the fold that an arm trains in."""
        size = self.arms[arm].get("num_train")
        return self.fold_of_size(size) if size else FEW_FOLD

    def fold_of_size(self, size: int) -> int:
        """Return the fold with this number of training cases (patients)."""
        return FEW_FOLD + 1 + self.study.sizes.index(size)

    def has_cases(self, arm: str) -> bool:
        """Return whether the raw folder holds all training cases of an arm; a pack holds those of some sizes."""
        return all((self.raw / "labelsTr" / f"{case}.nii.gz").exists() for case in self.training_cases(arm))

    def training_cases(self, arm: str) -> list[str]:
        """Return the cases that an arm's network trains on."""
        return json.loads((self.preprocessed / "splits_final.json").read_text())[self.fold_of(arm)]["train"]

    def network_of(self, arm: str) -> str:
        """Return the arm whose network an arm predicts with, its own in most."""
        return self.arms[arm].get("network_of", arm)

    def folder_of(self, arm: str, seed: int) -> Path:
        """Return where a run's training lies."""
        configuration = self.configuration_of(self.network_of(arm), seed)
        return self.trainer_folder(self.raw.name, "ACNNTrainer", configuration, self.fold_of(arm))

    def prior_file(self, prior: str) -> Path:
        """Return where a prior lies."""
        configuration, fold = f"{PRIOR_CONFIGURATION}_{prior}", self.prior(prior).fold
        return self.trainer_folder(self.raw.name, "ShapePriorTrainer", configuration, fold) / "checkpoint_final.pth"

    def configure(self, dataset_id: int, base: str, name: str, settings: dict) -> None:
        """Write a configuration as the command of that name does, in this process."""
        from acnn_nnunet.nnunet.configure import configure, spell_assignments

        with self.locked("plans"):
            assignments = spell_assignments(settings)
            configure(str(dataset_id), base=base, name=name, plans_identifier="nnUNetPlans", assignments=assignments)

    def train(self, configuration: str, fold: int, trainer: str) -> None:
        """Train in this process, going on from a checkpoint if there is one, unless it was done before."""
        from scripts.studies.training import train

        folder = self.trainer_folder(self.raw.name, trainer, configuration, fold)
        if not (folder / "checkpoint_final.pth").is_file():
            resumed = (folder / "checkpoint_latest.pth").is_file()
            run = {"dataset": self.study.dataset_id, "configuration": configuration, "trainer": trainer, "fold": fold}
            train(**run, resumed=resumed, device=self.device)

    @contextlib.contextmanager
    def log(self, name: str) -> Iterator[None]:
        """Send what a job prints to its log."""
        with (
            open(self.folder / f"{name}.txt", "a") as file,
            contextlib.redirect_stdout(file),
            contextlib.redirect_stderr(file),
        ):
            yield

    def unit(self, case: str) -> str:
        """Return the patient of a case, or the case itself."""
        return case.rsplit("_", 1)[0] if self.study.grouped else case

    @property
    def raw(self) -> Path:
        """The dataset's raw folder."""
        return next((self.folder / "raw").glob(f"Dataset{self.study.dataset_id:03d}_*"))

    @property
    def preprocessed(self) -> Path:
        """The dataset's preprocessed folder."""
        return self.folder / "preprocessed" / self.raw.name

    @property
    def plans_file(self) -> Path:
        """The dataset's plans."""
        return self.preprocessed / "nnUNetPlans.json"


def training_seconds(folder: Path) -> float:
    """Return the seconds of all epochs in the host's logs of a training, interruptions and their repeats included.

    Raises:
        FileNotFoundError: if the folder holds no log with an epoch: a training without its time is not recorded as one
            of no time.
    """
    logs = sorted(folder.glob("training_log_*.txt"))
    epochs = [float(seconds) for log in logs for seconds in _EPOCH_TIME.findall(log.read_text())]
    if not epochs:
        raise FileNotFoundError(f"{folder} holds no training_log_*.txt with an epoch time: bring nnU-Net's logs along.")
    return round(sum(epochs), 1)
