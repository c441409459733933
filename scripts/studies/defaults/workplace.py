"""Workplace of the study of defaults: nnU-Net's three folders, test images, runs and their scores."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from scripts.studies.defaults.arms import (
    ALL_FOLD,
    ARMS,
    BASE,
    CONFIGURATION,
    FEW_FOLD,
    FEW_FOLD_OF_ALL,
    PRIOR_CONFIGURATION,
    PRIORS,
    STUDIES,
)
from scripts.studies.defaults.corruptions import corrupt, seed_of
from scripts.studies.host_folders import ROOT, HostFolders
from scripts.studies.results import StudyResults, read_scores_as_text, versions

RESULTS = StudyResults(ROOT / "benchmarks" / "defaults", keys=("dataset", "arm", "seed"))
SCORES = "cases"
CORRUPTIONS = ("clean", "noise", "slab", "motion", "dropped", "slab_mean", "dropped_mean")
PRIOR_BATCH_SIZE = 8


class Workplace(HostFolders):
    """nnU-Net's three folders of one study, its test images and its runs."""

    def __init__(self, name: str, folder: Path):
        super().__init__(folder)
        self.name, self.study, self.test = name, STUDIES[name], folder / "test"

    def prepare(self, raw: Path) -> None:
        """Plan, preprocess, split, and make the test images."""
        self.make()
        self.link_raw(next(raw.glob(f"Dataset{self.study.dataset_id:03d}_*")))
        self.command(f"nnUNetv2_plan_and_preprocess -d {self.study.dataset_id} -c {BASE} --no_pp -np 2")
        self.write_configuration()
        self.command(f"nnUNetv2_preprocess -d {self.study.dataset_id} -c {CONFIGURATION} -np 2")
        self.write_split()
        for case in self.cases("selection") + self.cases("confirmation"):
            self.write_test_case(case)

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
        """Append the fold of few cases: to train on, and to choose arms on; both from fold 0's training part.

        Behind it comes the fold of the same few cases and fold 0's held-out ones.
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
        order = np.random.default_rng(0).permutation(len(units))
        if self.study.grouped:
            order = self.balanced(units, order)
        few = {units[i] for i in order[: self.study.num_train]}
        selection = {units[i] for i in order[self.study.num_train : self.study.num_train + self.study.num_selection]}
        trained_on = [case for case in training if self.unit(case) in few]
        splits.append({"train": trained_on, "val": [case for case in training if self.unit(case) in selection]})
        splits.append({"train": trained_on, "val": splits[ALL_FOLD]["val"]})
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
        return sorted(splits[FEW_FOLD if part == "selection" else ALL_FOLD]["val"])

    def write_test_case(self, case: str) -> None:
        """Write the clean and the corrupted images of a case, and the label of each, as cases <case>__<kind>."""
        import SimpleITK

        label_file = self.raw / "labelsTr" / f"{case}.nii.gz"
        images, labels = self.test / "images", self.test / "labels"
        for folder in (images, labels):
            folder.mkdir(parents=True, exist_ok=True)
        image = SimpleITK.ReadImage(str(self.raw / "imagesTr" / f"{case}_0000.nii.gz"))
        label = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(label_file)))
        for kind in CORRUPTIONS:
            target = labels / f"{case}__{kind}.nii.gz"
            if target.exists():
                continue
            values = corrupt(
                SimpleITK.GetArrayFromImage(image).astype(np.float32),
                label,
                kind,
                spacing_mm=image.GetSpacing()[::-1],
                motion_mm=self.study.motion_mm,
                seed=seed_of(case, kind),
            )
            corrupted = SimpleITK.GetImageFromArray(values)
            corrupted.CopyInformation(image)
            SimpleITK.WriteImage(corrupted, str(images / f"{case}__{kind}_0000.nii.gz"), True)
            target.symlink_to(label_file)

    def run(self, arms: list[str], seeds: list[int], *, minutes: float, jobs: int) -> None:
        """Do the runs that have no results yet, arm by arm within each seed, as long as time is left to start one."""
        started = time.monotonic()
        missing = [
            (arm, seed) for seed in seeds for arm in arms if not RESULTS.has(dataset=self.name, arm=arm, seed=seed)
        ]
        priors = {ARMS[arm]["prior_of"]: None for arm, _ in missing if "prior_of" in ARMS[arm]}
        for prior in priors:  # one after another: each rewrites the plans
            self.configure_prior(prior)
        for arm, seed in missing:
            self.configure_arm(arm, seed)

        def run_in_time(arm: str, seed: int) -> None:
            if time.monotonic() - started > 60 * minutes:
                print(f"{minutes} minutes are over: {arm}, seed {seed} is left for later")
            else:
                self.run_arm(arm, seed)

        with ThreadPoolExecutor(jobs) as pool:
            trained = [pool.submit(self.train_prior, prior) for prior in priors]
            for each in trained:
                each.result()
            for each in [pool.submit(run_in_time, arm, seed) for arm, seed in missing]:
                each.result()

    def run_arm(self, arm: str, seed: int) -> None:
        """Train, predict clean and corrupted images, score, and add the run to the results."""
        configuration, settings = self.configuration_of(arm, seed), self.settings_of(arm, seed)
        fold = FEW_FOLD_OF_ALL if PRIORS.get(ARMS[arm].get("prior_of"), (FEW_FOLD,))[0] == ALL_FOLD else FEW_FOLD
        seconds = self.train(configuration, fold, "ACNNTrainer")
        scores = self.predict_and_score(configuration, fold)
        run = {"dataset": self.name, "arm": arm, "seed": seed, "settings": settings, "prior": ARMS[arm].get("prior_of")}
        with self.locked("results"):
            RESULTS.add({**run, "training_s": round(seconds, 1), "versions": versions()}, {SCORES: scores})
        print(f"{arm}, seed {seed}: added to {RESULTS.folder}", flush=True)

    def settings_of(self, arm: str, seed: int) -> dict:
        """Return the settings of a run, but for where its prior lies."""
        settings = {"num_epochs": self.study.num_epochs, "num_iterations_per_epoch": 50, "seed": seed}
        settings |= {"num_val_iterations_per_epoch": 2, **ARMS[arm]}
        prior = settings.pop("prior_of", None)
        of_prior = PRIORS[prior].settings if prior else {}
        return settings | {key: of_prior[key] for key in ("grid", "architecture", "code_size") if key in of_prior}

    def configure_arm(self, arm: str, seed: int) -> None:
        """Write a run's configuration."""
        prior = ARMS[arm].get("prior_of")
        where = {"prior": self.prior_file(prior)} if prior else {}
        settings = {**self.settings_of(arm, seed), **where}
        self.configure(self.study.dataset_id, CONFIGURATION, self.configuration_of(arm, seed), settings)

    def configure_prior(self, prior: str) -> None:
        """Write a prior's configuration, unless it is trained."""
        if not self.prior_file(prior).is_file():
            settings = {"num_iterations_per_epoch": 50, "num_val_iterations_per_epoch": 4, "seed": 0}
            name = f"{PRIOR_CONFIGURATION}_{prior}"
            base = PRIORS[prior].configuration
            self.configure(self.study.dataset_id, base, name, settings | PRIORS[prior].settings)

    def train_prior(self, prior: str) -> None:
        """Train a prior, if it is not there."""
        with self.locked(prior):
            seconds = self.train(f"{PRIOR_CONFIGURATION}_{prior}", PRIORS[prior].fold, "ShapePriorTrainer")
        print(f"prior {prior}: {seconds:.0f} s", flush=True)

    def configuration_of(self, arm: str, seed: int) -> str:
        """Return the name of a run's configuration."""
        return f"{CONFIGURATION}_{arm}_seed{seed}".replace(".", "")

    def prior_file(self, prior: str) -> Path:
        """Return where a prior lies."""
        folder = self.trainer_folder(
            self.raw.name, "ShapePriorTrainer", f"{PRIOR_CONFIGURATION}_{prior}", PRIORS[prior].fold
        )
        return folder / "checkpoint_final.pth"

    def train(self, configuration: str, fold: int | str, trainer: str) -> float:
        """Train, going on from a checkpoint if there is one; return the seconds it took, 0 if it was done before."""
        folder = self.trainer_folder(self.raw.name, trainer, configuration, fold)
        if (folder / "checkpoint_final.pth").is_file():
            return 0.0
        resumed = (folder / "checkpoint_latest.pth").is_file()
        arguments = {"dataset": self.study.dataset_id, "configuration": configuration, "trainer": trainer}
        arguments |= {"fold": fold if fold == "all" else int(fold), "resumed": resumed}
        return self.child("train", arguments, configuration)["wall_s"]

    def predict_and_score(self, configuration: str, fold: int) -> pd.DataFrame:
        """Return both tables of `acnn-nnunet evaluate`, with columns part, kind (of corruption) and table."""
        from acnn_nnunet.evaluation.masks.table import CASES_FILE, LARGEST_COMPONENT_FILE

        predictions, evaluation = (self.folder / name / configuration for name in ("predictions", "evaluations"))
        model = self.trainer_folder(self.raw.name, "ACNNTrainer", configuration, fold).parent
        where = {"images": str(self.test / "images"), "output": str(predictions)}
        self.child("predict", {"model": str(model), "fold": fold, **where}, configuration)
        shutil.rmtree(evaluation, ignore_errors=True)
        self.command(
            f"acnn-nnunet evaluate {self.test / 'labels'} {predictions} -o {evaluation} "
            f"-djfile {self.raw}/dataset.json -np 1",
            log=f"{configuration}.txt",
        )
        scores = pd.concat(
            [read_scores_as_text(evaluation / name, table=name) for name in (CASES_FILE, LARGEST_COMPONENT_FILE)]
        )
        case_and_kind = scores.pop("case").str.rsplit("__", n=1, expand=True)
        part_of = {case: part for part in ("selection", "confirmation") for case in self.cases(part)}
        scores.insert(0, "part", case_and_kind[0].map(part_of))
        scores.insert(1, "kind", case_and_kind[1])
        scores.insert(3, "case", case_and_kind[0])
        return scores

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
