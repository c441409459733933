"""nnU-Net's three folders over a few real cases, and its real commands run on them as subprocesses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import acnn_nnunet
from acnn_nnunet.nnunet.programs import find_program
from acnn_nnunet.nnunet.startup import SHIM_FOLDER

DATASET = "Dataset004_Hippocampus"
PLANS = "nnUNetPlans"
CONFIGURATION = "3d_fullres_quick"
DERIVED = "3d_fullres_quick2"
"""Inherits from CONFIGURATION, with nothing changed."""
SETTINGS = (
    "num_epochs=3",
    "prior_num_epochs=3",  # one for each stage of the prior
    "num_iterations_per_epoch=4",
    "num_val_iterations_per_epoch=2",
    "save_every=1",
    "prior_weight=0.2",
    "seed=0",
)
SMALL_PATCH = [24, 32, 24]
SMALL_NETWORK = {
    "features_per_stage": [4, 8, 8, 8],
    "n_conv_per_stage": [1, 1, 1, 1],
    "n_conv_per_stage_decoder": [1, 1, 1],
}
TIMEOUT_S = 1800


@dataclass(frozen=True)
class Finished:
    """A command that has ended: exit code, and what it printed, stderr in between as on a terminal."""

    returncode: int
    output: str

    @property
    def last_line(self) -> str:
        return [line for line in self.output.splitlines() if line.strip()][-1]


@dataclass(frozen=True)
class Workspace:
    """The three folders that nnU-Net's variables name; a test that spoils one of them replaces it first."""

    raw: Path
    preprocessed: Path
    results: Path

    @property
    def plans_file(self) -> Path:
        return self.preprocessed / DATASET / f"{PLANS}.json"

    def model_folder(self, trainer: str, configuration: str = CONFIGURATION) -> Path:
        return self.results / DATASET / f"{trainer}__{PLANS}__{configuration}"

    def fold_folder(self, trainer: str, configuration: str = CONFIGURATION, fold: int | str = 0) -> Path:
        return self.model_folder(trainer, configuration) / f"fold_{fold}"

    def environment(self) -> dict[str, str]:
        """Return the variables of a shell with nnU-Net's three set.

        This package may be installed beside this interpreter, or only be importable here: both serve.
        """
        return {
            **os.environ,
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.results),
            "nnUNet_n_proc_DA": "0",
            "nnUNet_def_n_proc": "1",
            "nnUNet_extTrainer": SHIM_FOLDER,
            "PYTHONPATH": str(Path(acnn_nnunet.__file__).parents[1]),
            "PYTHONUNBUFFERED": "1",  # as on a terminal: what is printed last stands last
        }

    def start(self, *words, **variables) -> subprocess.Popen:
        """Start one of nnU-Net's commands, or `acnn-nnunet`, in a process group of its own."""
        program, *arguments = map(str, words)
        command = [sys.executable, "-m", "acnn_nnunet.cli"] if program == "acnn-nnunet" else [find_program(program)]
        return subprocess.Popen(
            [*command, *arguments],
            env={**self.environment(), **variables},
            cwd=self.raw,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words, **variables) -> Finished:
        with self.start(*words, **variables) as process:
            try:
                output, _ = process.communicate(timeout=TIMEOUT_S)
            except BaseException:
                kill(process)
                raise
        return Finished(process.returncode, output)

    def succeed(self, *words, **variables) -> str:
        finished = self.run(*words, **variables)
        assert finished.returncode == 0, finished.output
        return finished.output

    def refuse(self, *words, **variables) -> str:
        """Run a command that must fail, and return its last line."""
        finished = self.run(*words, **variables)
        assert finished.returncode != 0, finished.output
        return finished.last_line

    def train(self, trainer: str, *flags, configuration: str = CONFIGURATION, fold: int | str = 0) -> tuple:
        """Return the words of `nnUNetv2_train`."""
        return ("nnUNetv2_train", 4, configuration, fold, "-tr", trainer, "-device", "cpu", *flags)

    def configure(self, name: str, *settings: str, base: str = CONFIGURATION) -> None:
        self.succeed("acnn-nnunet", "configure", 4, "-c", base, "-n", name, *settings)

    def with_results(self, results: Path) -> "Workspace":
        """Return this workspace with another, empty results folder."""
        (results / DATASET).mkdir(parents=True)
        return replace(self, results=results)

    def with_preprocessed(self, preprocessed: Path) -> "Workspace":
        """Return this workspace with plans and splits of its own over the same preprocessed cases."""
        source, target = self.preprocessed / DATASET, preprocessed / DATASET
        target.mkdir(parents=True)
        for entry in source.iterdir():
            if entry.suffix == ".json":
                shutil.copyfile(entry, target / entry.name)
            else:
                (target / entry.name).symlink_to(entry)
        return replace(self, preprocessed=preprocessed)

    def link_prior(self, source: "Workspace", *, fold: int = 0, as_fold: int = 0) -> None:
        """Let the prior of a fold lie in this workspace's results."""
        target = self.fold_folder("ShapePriorTrainer", fold=as_fold)
        target.mkdir(parents=True)
        prior = source.fold_folder("ShapePriorTrainer", fold=fold) / "checkpoint_final.pth"
        (target / "checkpoint_final.pth").symlink_to(prior)


def link_cases(source: Path, target: Path, *, training: int, test: int) -> None:
    """Write a raw dataset of links to the first cases of another one."""
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (source / "labelsTr").glob("*.nii.gz"))
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (target / folder).mkdir(parents=True)
    for case in cases[:training]:
        (target / "imagesTr" / f"{case}_0000.nii.gz").symlink_to(source / "imagesTr" / f"{case}_0000.nii.gz")
        (target / "labelsTr" / f"{case}.nii.gz").symlink_to(source / "labelsTr" / f"{case}.nii.gz")
    for case in cases[training : training + test]:
        (target / "imagesTs" / f"{case}_0000.nii.gz").symlink_to(source / "imagesTr" / f"{case}_0000.nii.gz")
    dataset = json.loads((source / "dataset.json").read_text())
    (target / "dataset.json").write_text(json.dumps({**dataset, "numTraining": training}))


def shrink_plans(plans_file: Path) -> None:
    """Make network and patch of 3d_fullres so small that a training step takes well under 0.2 s."""
    plans = json.loads(plans_file.read_text())
    configuration = plans["configurations"]["3d_fullres"]
    configuration.update(batch_size=2, patch_size=SMALL_PATCH)
    configuration["architecture"]["arch_kwargs"].update(SMALL_NETWORK)
    plans_file.write_text(json.dumps(plans))


def edit_json(path: Path, edit: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def kill_once(process: subprocess.Popen, exists: Path) -> str:
    """Kill a command and its children with SIGKILL as soon as a file exists; return what it had printed."""
    deadline = time.monotonic() + TIMEOUT_S
    while not exists.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"{exists} never came"
        time.sleep(0.005)
    kill(process)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output
    return output


def kill(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
