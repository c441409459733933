"""The commands that `kills.py` kills, and the small phantom data that they work on.

Everything lies in one folder: nnU-Net's three folders, a prior and a thick-slice model trained for a moment,
predictions with errors, thick stacks. It is made once, by the commands that a user would type.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

ROOT = Path(__file__).parents[2]
DATASET_ID, DATASET = 77, "Dataset077_PhantomHeart"
NUM_CASES, FACTOR = 12, 2
SHAPE, SPACING_MM = (16, 20, 20), (7.5, 6.8, 6.8)
EPOCHS = 4
QUICK, THICK, SERIES = "3d_quick", f"3d_hr_x{FACTOR}", ("3d_series_none", "3d_series_prior")
SETTINGS = "num_iterations_per_epoch=2 num_val_iterations_per_epoch=1 save_every=1 seed=0 cpu_autocast=false"
_EPOCH_LINE = re.compile(r"\bEpoch (\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class KilledCommand:
    """A command that is killed and started again.

    Attributes:
        lines: the programs, one after another, as a shell's loop starts them.
        again: the same after the kill.
        output: the folder that they write, below the work folder.
        models: trainers whose models are there already, below nnU-Net's results.
        trainings: trainer, configuration and epochs of each training; empty for commands that train nothing.
    """

    lines: tuple[str, ...]
    again: tuple[str, ...]
    output: str = "out"
    models: tuple[str, ...] = ()
    trainings: tuple[tuple[str, str, int], ...] = ()

    def prepare(self, work: Path) -> None:
        """Empty the output folder and nnU-Net's results, except for the models that the command uses."""
        for name in {self.output, "results"}:
            shutil.rmtree(work / name, ignore_errors=True)
        for model in self.models:
            (source,) = (work / "trained" / DATASET).glob(f"{model}__*")
            shutil.copytree(source, work / "results" / DATASET / source.name)

    def describe(self, folder: Path) -> dict[str, Any]:
        """Return what an output folder holds, by name."""
        if not self.trainings:
            return describe_files(folder)
        folds = {
            f"{trainer} {name}": folder / DATASET / f"{trainer}__nnUNetPlans__{name}" / "fold_0"
            for trainer, name, _ in self.trainings
        }
        return {f"{key}: {what}": value for key, fold in folds.items() for what, value in describe_fold(fold).items()}

    def complaints(self, expected: dict[str, Any], at_kill: dict[str, Any], words: str) -> list[str]:
        """Return what is wrong with the files that a kill left, or with the epochs of the second start.

        Args:
            expected: description of the undisturbed output.
            at_kill: description of the output as the kill left it.
            words: output of the second start.
        """
        if not self.trainings:
            return half_written(expected, at_kill)
        wanted = [epoch for training in self.trainings for epoch in epochs_left(*training, at_kill)]
        found = epochs_in(words)
        return [] if found == wanted else [f"the second start ran epochs {found}, not {wanted}"]


def commands() -> dict[str, KilledCommand]:
    """Return the commands by name."""
    labels = f"raw/{DATASET}/labelsTr"
    evaluate = f"acnn-nnunet evaluate {labels} predictions -o out -np 2"
    predict = f"acnn-nnunet predict-hr -i stacks -o out -d {DATASET_ID} -c {THICK} -tr SubPixelSegTrainer -f 0"
    predict += " -device cpu"
    plausibility = f"acnn-nnunet plausibility predictions -o out -d {DATASET_ID} -c {QUICK} -f 0 --calibrate {labels}"
    plausibility += " -device cpu"
    train = f"nnUNetv2_train {DATASET_ID} {{}} 0 -tr {{}} -device cpu".format
    prior, acnn = train(QUICK, "ShapePriorTrainer"), train(QUICK, "ACNNTrainer")
    series = tuple(f"{train(name, 'ACNNTrainer')} --c" for name in SERIES)
    ours = ("ShapePriorTrainer",)
    return {
        "evaluate": KilledCommand((evaluate,), (f"{evaluate} --continue",)),
        "predict_hr": KilledCommand((predict,), (f"{predict} --continue_prediction",), models=("SubPixelSegTrainer",)),
        "plausibility": KilledCommand((plausibility,), (f"{plausibility} --continue",), models=ours),
        "prior": KilledCommand(
            (prior,), (f"{prior} --c",), "results", trainings=(("ShapePriorTrainer", QUICK, EPOCHS),)
        ),
        "acnn": KilledCommand(
            (acnn,), (f"{acnn} --c",), "results", models=ours, trainings=(("ACNNTrainer", QUICK, EPOCHS),)
        ),
        "series": KilledCommand(
            series, series, "results", models=ours, trainings=tuple(("ACNNTrainer", name, 2) for name in SERIES)
        ),
    }


def make_data(work: Path) -> None:
    """Make what the commands work on; done once in a work folder."""
    if (work / "ready").exists():
        return
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    _write_dataset(work)
    plan = f"nnUNetv2_plan_and_preprocess -d {DATASET_ID} -c 3d_fullres -npfp 1 -np 1"
    type_line(plan, work, nnUNet_n_proc_DA="1")  # the planner fails with 0
    _shrink_networks(work)
    configure = f"acnn-nnunet configure {DATASET_ID} -c"
    epochs = f"num_epochs={EPOCHS} prior_num_epochs={EPOCHS}"
    type_line(f"{configure} 3d_fullres -n {QUICK} {SETTINGS} {epochs} code_size=6", work)
    prior = f"results/{DATASET}/ShapePriorTrainer__nnUNetPlans__{QUICK}/fold_0/checkpoint_final.pth"
    type_line(f"nnUNetv2_train {DATASET_ID} {QUICK} 0 -tr ShapePriorTrainer -device cpu", work)
    type_line(f"{configure} {QUICK} -n {SERIES[0]} num_epochs=2 prior_weight=0", work)
    type_line(f"{configure} {QUICK} -n {SERIES[1]} num_epochs=2 prior={shlex.quote(str(work / prior))}", work)
    type_line(f"acnn-nnunet plan-hr {DATASET_ID} --factor {FACTOR} -c 3d_fullres -n {THICK}_base", work)
    type_line(f"{configure} {THICK}_base -n {THICK} {SETTINGS} num_epochs=1", work)
    type_line(f"nnUNetv2_train {DATASET_ID} {THICK} 0 -tr SubPixelSegTrainer -device cpu", work)
    type_line(f"acnn-nnunet degrade -i raw/{DATASET}/imagesTr -o stacks --factor {FACTOR}", work)
    (work / "results").rename(work / "trained")
    (work / "ready").touch()


def environment_of(work: Path) -> dict[str, str]:
    """Return the variables of nnU-Net and of one thread."""
    folders = {f"nnUNet_{part}": str(work / part) for part in ("raw", "preprocessed", "results")}
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "nnUNet_n_proc_DA": "0", "nnUNet_def_n_proc": "1"}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**folders, **threads, "nnUNet_compile": "f", "MPLBACKEND": "agg", "PYTHONPATH": path}


def type_line(line: str, work: Path, **variables: str) -> None:
    """Run a command in the work folder, its words in log.txt there."""
    program, *words = shlex.split(line)
    head = [sys.executable, "-m", "acnn_nnunet.cli"]
    if program != "acnn-nnunet":
        head = [str(Path(sys.executable).with_name(program))]
    environment = {**os.environ, **environment_of(work), **variables}
    with open(work / "log.txt", "a") as log:
        log.write(f"$ {line}\n")
        log.flush()
        done = subprocess.run([*head, *words], cwd=work, env=environment, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"'{line}' failed with {done.returncode}: see the end of {work / 'log.txt'}")


def result_files(folder: Path) -> list[Path]:
    """Return the files that bear a result's name, not that of an unfinished one."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not is_leftover(path)]


def is_leftover(path: Path) -> bool:
    """Return whether a file or its folder bears the name of something unfinished, or is a probe."""
    return ".partial" in f"{path.parent.name}/{path.name}" or path.name.startswith(".writable_")


def half_written(expected: dict[str, Any], at_kill: dict[str, Any]) -> list[str]:
    """Return the files at a kill that bear a result's name and are not the result; journals may be short."""
    finished = {name: content for name, content in at_kill.items() if not name.endswith(".jsonl")}
    return [f"{name} was half-written at the kill" for name in finished if finished[name] != expected.get(name)]


def epochs_in(words: str) -> list[int]:
    """Return the epochs that a training says it begins, in order."""
    return [int(number) for number in _EPOCH_LINE.findall(words)]


def epochs_left(trainer: str, configuration: str, epochs: int, at_kill: dict[str, Any]) -> range:
    """Return the epochs that nnU-Net's `--c` has to run, by the checkpoints that a kill left."""
    for name in ("final", "latest", "best"):
        if (epoch := at_kill.get(f"{trainer} {configuration}: checkpoint_{name} epoch")) is not None:
            return range(epoch, epochs)
    return range(epochs)


def describe_files(folder: Path) -> dict[str, Any]:
    """Return the content of each result file: the sorted lines of tables, the cases of journals, bytes of all else."""
    return {str(path.relative_to(folder)): _content(path) for path in result_files(folder)}


def describe_fold(fold: Path) -> dict[str, Any]:
    """Return what a training came to: epochs and lengths of the logs, the cases validated.

    Raises:
        RuntimeError, ValueError: if a checkpoint or log is not whole.
    """
    import torch

    found: dict[str, Any] = {}
    for file in sorted(fold.glob("checkpoint_*.pth")):
        checkpoint = torch.load(file, map_location="cpu", weights_only=False)
        found[f"{file.stem} epoch"] = checkpoint["current_epoch"]
        if file.stem == "checkpoint_final":
            found["log"] = {key: len(values) for key, values in checkpoint["logging"].items()}
    if (log := fold / "acnn_log.json").is_file():
        found["acnn_log"] = {key: len(values) for key, values in json.loads(log.read_text()).items()}
    if (run := fold / "acnn_run.json").is_file():
        found["acnn_run"] = run.read_bytes()
    validation = fold / "validation"
    if (summary := validation / "summary.json").is_file():
        cases = json.loads(summary.read_text())["metric_per_case"]
        found["scored"] = sorted(Path(case["prediction_file"]).name for case in cases)
    found["validated"] = [path.name for path in result_files(validation)]
    return found


def _content(path: Path) -> Any:
    if path.suffix == ".jsonl":
        entries = [_entry(line) for line in path.read_bytes().split(b"\n")]
        return sorted(entry["case"] for entry in entries if "case" in entry)
    content = path.read_bytes()
    return sorted(content.splitlines(keepends=True)) if path.suffix == ".csv" else content


def _entry(line: bytes) -> dict[str, Any]:
    try:
        return json.loads(line)
    except ValueError:  # an empty line, or one that the kill cut short
        return {}


def _write_dataset(work: Path) -> None:
    """Write phantom hearts, and predictions of them with errors."""
    from acnn_nnunet.demo.phantom import write_dataset

    dataset = write_dataset(
        work / "raw", DATASET_ID, num_train=NUM_CASES, num_test=0, seed=0, shape=SHAPE, spacing_mm=SPACING_MM
    )
    (work / "predictions").mkdir()
    for index, path in enumerate(sorted((dataset / "labelsTr").glob("*.nii.gz"))):
        image = SimpleITK.ReadImage(str(path))
        values = np.roll(SimpleITK.GetArrayFromImage(image), index % 3, axis=2)
        if index % 4 == 3:
            values[:, :10] = 0
        prediction = SimpleITK.GetImageFromArray(values)
        prediction.CopyInformation(image)
        SimpleITK.WriteImage(prediction, str(work / "predictions" / path.name), True)


def _shrink_networks(work: Path) -> None:
    plans_file = work / "preprocessed" / DATASET / "nnUNetPlans.json"
    plans = json.loads(plans_file.read_text())
    for configuration in plans["configurations"].values():
        if "architecture" in configuration:
            arguments = configuration["architecture"]["arch_kwargs"]
            arguments["features_per_stage"] = [4, *[8] * (arguments["n_stages"] - 1)]
            configuration["batch_size"] = 2
    plans_file.write_text(json.dumps(plans))
