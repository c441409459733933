"""Workplace of the study of thick slices: test stacks, trainings of equal CPU time, runs and their scores."""

import json
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pandas as pd

from acnn_nnunet.files.safe_writes import write_json
from scripts.studies.host_folders import ROOT, HostFolders
from scripts.studies.results import StudyResults, read_scores_as_text, versions
from scripts.studies.thick_slices.arms import (
    ARMS,
    COMMON_SETTINGS,
    FOLD,
    GRIDS,
    HR,
    HR_ID,
    INTERPOLATED_ID,
    MIXED_ID,
    PRIOR,
    PRIOR_SETTINGS,
    SEEDLESS,
    SLICES,
    STACKS_ID,
    THICK,
    THICK_IN_TWOS,
    TRAININGS,
    Arm,
    Training,
    trainings_of,
)
from scripts.studies.thick_slices.images import (
    FACTOR,
    MIXED_GAP_MM,
    MIXED_TESTS,
    SEED_OF_TEST_STACKS,
    TESTS,
    crop_folder,
    write_interpolated_dataset,
    write_pair,
    write_stack,
    write_stack_labels,
    write_stacks_dataset,
)
from scripts.studies.thick_slices.repeats import count_all

RESULTS = ROOT / "benchmarks" / "thick_slices"
PAGE = ROOT / "docs" / "evidence" / "thick_slices.md"
NUM_EPOCHS, BUDGET_S = 12, 240.0
BATCH_SIZES = {HR: 2, SLICES: 16, PRIOR: 8}
NAMES = {
    HR_ID: "Dataset004_Hippocampus",
    INTERPOLATED_ID: "Dataset504_Interpolated",
    STACKS_ID: "Dataset505_Stacks",
    MIXED_ID: "Dataset506_Mixed",
}
BASES = {HR_ID: "3d_fullres", INTERPOLATED_ID: "3d_fullres", STACKS_ID: "2d", MIXED_ID: "3d_fullres"}
# Processes that load a training's batches on a GPU: 1 for all others, and none where trainings share a GPU in processes
# that live on, as many as there are cores.
LOADERS = {"ShapePriorTrainer": 6}
CALIBRATION = "calibration.json"
NO_PAIRS = {"pair_share": 0}  # of all trainings that do not say otherwise
LABEL_SCORES, IMAGE_SCORES = "cases", "images"


def results_in(folder: Path) -> StudyResults:
    """Return the study's results of a folder."""
    return StudyResults(folder, keys=("arm", "seed"))


class Workplace(HostFolders):
    """nnU-Net's three folders of the study, its test images and its runs."""

    architectures: ClassVar[dict[int, dict]] = {}  # what a dataset's networks have besides half of nnU-Net's width

    def __init__(self, folder: Path, results: Path, *, prior_epochs: int | None = None, device: str = "cpu"):
        super().__init__(folder)
        self.results, self.test, self.device = results, folder / "test", device
        self.predictions, self.records = folder / "predictions", folder / "results"
        self.prior_settings = {**PRIOR_SETTINGS, **({"prior_num_epochs": prior_epochs} if prior_epochs else {})}

    def prepare(self, raw: Path, arms: list[str], *, num_cases: int | None = None, processes: int = 1) -> None:
        """Derive the datasets that these arms need, plan, preprocess, split, and make the test images."""
        self.make()
        link = self.link_raw(raw / NAMES[HR_ID])
        ids = sorted({HR_ID, *(TRAININGS[name].dataset_id for name in trainings_of(arms))})
        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(lambda dataset_id: self.prepare_dataset(link, dataset_id, processes), ids))
        self.plan_hr(link, arms, processes)
        splits = json.loads((self.preprocessed(HR_ID) / "splits_final.json").read_text())
        for case in sorted(splits[FOLD]["val"])[:num_cases]:
            for test in self.tests_of(arms):
                self.write_test_case(case, test)
        for name in self.tests_of(arms):
            if name not in MIXED_TESTS:
                self.interpolate(self.test / name / "stacks", self.test / name / "linear", "linear")

    def prepare_dataset(self, source: Path, dataset_id: int, processes: int) -> None:
        """Derive one dataset from the HR images, plan, preprocess and split it, unless that was done."""
        if (self.preprocessed(dataset_id) / "splits_final.json").is_file():
            return
        if dataset_id == INTERPOLATED_ID:
            write_interpolated_dataset(source, self.raw(dataset_id))
        elif dataset_id != HR_ID:
            write_stacks_dataset(source, self.raw(dataset_id), mixed=dataset_id == MIXED_ID)
        workers = f"-np {processes} -npfp {processes}"
        self.command(f"nnUNetv2_plan_and_preprocess -d {dataset_id} -c {BASES[dataset_id]} {workers}")
        self.write_configurations(dataset_id, BASES[dataset_id])
        self.write_splits(dataset_id)

    def link_raw(self, source: Path) -> Path:
        """Return the dataset's folder among the raw ones: links to what it holds, beside which pairs have room."""
        folder = self.folder / "raw" / source.name
        if folder.is_symlink():  # pairs would be written into the data
            folder.unlink()
        folder.mkdir(exist_ok=True)
        for name in ("imagesTr", "labelsTr", "dataset.json"):
            if not (folder / name).exists():
                (folder / name).symlink_to(source / name)
        return folder

    def plan_hr(self, source: Path, arms: list[str], processes: int) -> None:
        """Plan the configurations of thick slices, with registered pairs of the training cases where an arm has them.

        All other trainings leave the pairs out.
        """
        if any(TRAININGS[name].settings.get("pair_share") for name in trainings_of(arms)):
            splits = json.loads((self.preprocessed(HR_ID) / "splits_final.json").read_text())
            for case in splits[FOLD]["train"]:
                image = source / "imagesTr" / f"{case}_0000.nii.gz"
                write_pair(image, source / "imagesTr_lr" / image.name)
        options = f"-c {HR} -n {THICK} --register -np {processes}"
        self.command(f"acnn-nnunet plan-hr {HR_ID} --factor {FACTOR} {options}")
        self.write_batches_of_two()

    def tests_of(self, arms: list[str]) -> list[str]:
        """Return the sets of stacks that these arms, and those that they begin with, are tested on."""
        return [test for test in TESTS if any(test in ARMS[arm].tests for arm in arms)]

    def write_configurations(self, dataset_id: int, base: str) -> None:
        """Add the study's configurations to the plans: the base's, half as wide, in small batches."""
        path = self.preprocessed(dataset_id) / "nnUNetPlans.json"
        plans = json.loads(path.read_text())
        architecture = json.loads(json.dumps(plans["configurations"][base]["architecture"]))
        halved = [width // 2 for width in architecture["arch_kwargs"]["features_per_stage"]]
        architecture["arch_kwargs"] |= {"features_per_stage": halved, **self.architectures.get(dataset_id, {})}
        name = SLICES if base == "2d" else HR
        entry = {"inherits_from": base, "architecture": architecture, "batch_size": BATCH_SIZES[name]}
        plans["configurations"][name] = entry
        if dataset_id == HR_ID:
            plans["configurations"][PRIOR] = {"inherits_from": HR, "batch_size": BATCH_SIZES[PRIOR]}
        path.write_text(json.dumps(plans, indent=2))

    def write_batches_of_two(self) -> None:
        """Add the configuration of stacks in batches as small as the U-Nets'."""
        path = self.preprocessed(HR_ID) / "nnUNetPlans.json"
        plans = json.loads(path.read_text())
        plans["configurations"][THICK_IN_TWOS] = {"inherits_from": THICK, "batch_size": BATCH_SIZES[HR]}
        path.write_text(json.dumps(plans, indent=2))

    def write_splits(self, dataset_id: int) -> None:
        """Give every dataset the folds that the host draws for the first one."""
        from nnunetv2.utilities.crossval_split import generate_crossval_split

        names = sorted(path.name.removesuffix(".nii.gz") for path in (self.raw(HR_ID) / "labelsTr").glob("*.nii.gz"))
        splits = generate_crossval_split(names, seed=12345, n_splits=5)
        (self.preprocessed(dataset_id) / "splits_final.json").write_text(json.dumps(splits, indent=1))

    def write_test_case(self, case: str, test: str) -> None:
        """Write a case's HR image and labels, its stack in a test, and the true labels of the stack's slices."""
        image = self.raw(HR_ID) / "imagesTr" / f"{case}_0000.nii.gz"
        label = self.raw(HR_ID) / "labelsTr" / f"{case}.nii.gz"
        for source, kind in ((image, "images"), (label, "labels")):
            target = self.test / kind / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        stack, acquisition = self.test / test / "stacks" / image.name, TESTS[test]
        gap_mm = MIXED_GAP_MM if test in MIXED_TESTS else (0.0, 0.0)
        write_stack(image, stack, acquisition=acquisition, seed=SEED_OF_TEST_STACKS, gap_mm=gap_mm)
        write_stack_labels(label, self.stack_labels(test) / label.name, factor=acquisition.factor)

    def stack_labels(self, test: str) -> Path:
        """Return the folder with the true labels of a test's thick slices."""
        return (self.test / test if test in MIXED_TESTS else self.test) / "stack_labels"

    def calibrate(self, arms: list[str], budget_s: float) -> None:
        """Measure CPU time per iteration of what these arms train, interleaved, and write how many fit the budget."""
        path = self.results / CALIBRATION
        known = json.loads(path.read_text()) if path.is_file() else {"seconds_per_iteration": {}}
        if known.get("budget_cpu_s", budget_s) != budget_s:
            sys.exit(f"{path} is for {known['budget_cpu_s']} s: remove it to measure anew, or leave --budget at that")
        names = {TRAININGS[name].iterations_of or name for name in trainings_of(arms)}
        seconds = known["seconds_per_iteration"]
        wanted = {}
        for name in sorted(names - set(seconds)):
            training = TRAININGS[name]
            wanted[name] = [training.dataset_id, self.configured(name, 0, iterations=1), training.trainer]
        if wanted:
            seconds |= self.child("measure", {"trainings": wanted, "rounds": 12, "fold": FOLD}, "calibration")
        iterations = {name: max(1, round(budget_s / NUM_EPOCHS / each)) for name, each in seconds.items()}
        self.results.mkdir(parents=True, exist_ok=True)
        content = {"budget_cpu_s": budget_s, "num_epochs": NUM_EPOCHS, "seconds_per_iteration": seconds}
        write_json(path, {**content, "iterations_per_epoch": iterations})

    def run(self, arms: list[str], seeds: list[int], *, minutes: float, jobs: int) -> None:
        """Do the runs that have no results yet, arm by arm within each seed, as long as time is left to start one."""
        started = time.monotonic()

        def run_in_time(arm: str, seed: int) -> None:
            if results_in(self.results).has(arm=arm, seed=seed):
                return
            if time.monotonic() - started > 60 * minutes:
                print(f"{minutes} minutes are over: {arm}, seed {seed} is left for later")
            else:
                self.run_arm(arm, seed)

        runs = dict.fromkeys((arm, 0 if arm in SEEDLESS else seed) for seed in seeds for arm in arms)
        with ThreadPoolExecutor(jobs) as pool:
            for each in [pool.submit(run_in_time, *run) for run in runs]:
                each.result()

    def run_arm(self, name: str, seed: int) -> None:
        """Train, predict both sets of stacks, score, and add the run to the results."""
        arm, run = ARMS[name], {"arm": name, "seed": seed, "versions": versions()}
        if arm.training is not None:
            run["training"] = self.trained(arm.training, seed)
        predictions = {test: self.predict(name, seed, test) for test in self.tests_of([name])}
        scores = pd.concat([self.score(arm, folder, test) for test, folder in predictions.items()])
        if arm.on_stacks:
            run["repeats"] = {test: count_all(folder) for test, folder in predictions.items()}
            run["true_repeats"] = {test: count_all(self.stack_labels(test)) for test in predictions}
        with self.locked("benchmark"):
            results_in(self.results).add(run, {IMAGE_SCORES if arm.image else LABEL_SCORES: scores})
        print(f"{name}, seed {seed}: added to {self.results}")

    def predict(self, name: str, seed: int, test: str) -> Path:
        """Return the folder of an arm's predictions on the HR grid, made now if it is not whole."""
        from scripts.studies.thick_slices.predictions import predict

        run, arm = f"{name}_seed{0 if name in SEEDLESS else seed}", ARMS[name]
        folder = self.predictions / run / test
        with self.locked(f"{run}_{test}"):  # another arm may begin with these predictions
            if not (folder / "done").is_file():
                shutil.rmtree(folder, ignore_errors=True)
                raw = predict(self, arm, seed, test, folder / "raw")
                if arm.on_stacks:
                    raw.rename(folder / "cropped")
                else:
                    references, suffix = ("images", "_0000") if arm.image else ("labels", "")
                    crop_folder(raw, self.test / references, folder / "cropped", suffix=suffix)
                (folder / "done").touch()
        return folder / "cropped"

    def score(self, arm: Arm, predictions: Path, test: str) -> pd.DataFrame:
        """Return the tables that `acnn-nnunet evaluate` or `evaluate-sr` writes, with columns test and table."""
        from acnn_nnunet.evaluation.images.command import TABLE_FILE
        from acnn_nnunet.evaluation.masks.table import CASES_FILE, LARGEST_COMPONENT_FILE

        evaluation = predictions.parent / "evaluation"
        shutil.rmtree(evaluation, ignore_errors=True)
        if arm.image:
            self.command(f"acnn-nnunet evaluate-sr {self.test}/images {predictions} -o {evaluation} -np 1")
            return read_scores_as_text(evaluation / TABLE_FILE, test=test)
        options = f"-djfile {self.raw(HR_ID)}/dataset.json -np 1"
        references = self.stack_labels(test) if arm.on_stacks else self.test / "labels"
        self.command(f"acnn-nnunet evaluate {references} {predictions} -o {evaluation} {options}")
        files = (CASES_FILE, LARGEST_COMPONENT_FILE)
        return pd.concat([read_scores_as_text(evaluation / name, test=test, table=name) for name in files])

    def trained(self, name: str, seed: int) -> dict:
        """Train for the calibrated number of iterations unless that was done, and return what it took."""
        training = TRAININGS[name]
        took = self.records / f"{name}_seed{seed}.json"
        with self.locked(took.stem):
            if not took.is_file():
                calibration = json.loads((self.results / CALIBRATION).read_text())
                iterations = calibration["iterations_per_epoch"][training.iterations_of or name]
                configuration = self.configured(name, seed, iterations=iterations)
                measured = self.train(training.dataset_id, configuration, training.trainer)
                content = {"name": name, "settings": COMMON_SETTINGS | training.settings, "num_epochs": NUM_EPOCHS}
                write_json(took, {**content, "iterations_per_epoch": iterations, **measured})
        return json.loads(took.read_text())

    def configured(self, name: str, seed: int, *, iterations: int) -> str:
        """Write a training's configuration by the command that a user would type, and return its name."""
        training = TRAININGS[name]
        settings = {**COMMON_SETTINGS, **NO_PAIRS, **training.settings, "seed": seed, "num_epochs": NUM_EPOCHS}
        settings |= {"num_iterations_per_epoch": iterations, "num_val_iterations_per_epoch": 1}
        settings |= self.prior_of(training)
        configuration = self.configuration_of(name, seed)
        self.configure(training.dataset_id, training.configuration, configuration, settings)
        return configuration

    def prior_of(self, training: Training) -> dict:
        """Return the settings that name a training's prior, trained now if it is not there; none without one."""
        if not training.prior:
            return {}
        named = {"prior": str(self.trained_prior(training.prior)), "grid": GRIDS[training.prior]}
        return named | {key: PRIOR_SETTINGS[key] for key in ("architecture", "code_size")}

    def configuration_of(self, training: str, seed: int) -> str:
        """Return the name of a training's configuration."""
        return f"{TRAININGS[training].configuration}_{training}_seed{seed}"

    def trained_prior(self, name: str) -> Path:
        """Return one of the priors that arms share, trained now if it is not there."""
        configuration = f"{PRIOR}_{name}"
        path = self.host_folder(HR_ID, "ShapePriorTrainer", configuration) / "checkpoint_final.pth"
        with self.locked(f"prior_{name}"):
            if not path.is_file():
                settings = {**self.prior_settings, "grid": GRIDS[name]}
                self.configure(HR_ID, PRIOR, configuration, settings)
                measured = self.train(HR_ID, configuration, "ShapePriorTrainer")
                self.results.mkdir(parents=True, exist_ok=True)
                write_json(self.results / f"prior_{name}.json", {"settings": settings, **measured})
        return path

    def train(self, dataset_id: int, configuration: str, trainer: str) -> dict:
        """Train in a process of its own, going on from a checkpoint if there is one; return the time it took."""
        resumed = (self.host_folder(dataset_id, trainer, configuration) / "checkpoint_latest.pth").is_file()
        return self.train_here(dataset_id, configuration, trainer, resumed=resumed)

    def train_here(self, dataset_id: int, configuration: str, trainer: str, *, resumed: bool) -> dict:
        """Train in a process of its own; return the time it took."""
        arguments: dict = {"dataset": dataset_id, "configuration": configuration, "trainer": trainer}
        arguments |= {"fold": FOLD, "resumed": resumed, "device": self.device}
        workers = 0 if self.device == "cpu" else LOADERS.get(trainer, int(not self.in_process))
        return self.child("train", arguments, configuration, workers=workers)

    def interpolate(self, source: Path, target: Path, method: str, *, labels: bool = False) -> None:
        """Interpolate a folder of stacks along the slices."""
        flag = " --labels" if labels else ""
        self.command(f"acnn-nnunet predict-hr -i {source} -o {target} --baseline {method} --factor {FACTOR}{flag}")

    def raw(self, dataset_id: int) -> Path:
        """Return a dataset's raw folder."""
        return self.folder / "raw" / NAMES[dataset_id]

    def preprocessed(self, dataset_id: int) -> Path:
        """Return a dataset's preprocessed folder."""
        return self.folder / "preprocessed" / NAMES[dataset_id]

    def host_folder(self, dataset_id: int, trainer: str, configuration: str) -> Path:
        """Return where the host puts a training."""
        return self.trainer_folder(NAMES[dataset_id], trainer, configuration, FOLD)
