"""`acnn-nnunet demo`: the whole job on a generated phantom heart, by the commands that a user would type."""

import base64
import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
from tqdm import tqdm

from acnn_nnunet import __version__
from acnn_nnunet.demo.phantom import DEMO_SPACING_MM, GROUPS, LABELS, write_dataset
from acnn_nnunet.files.safe_writes import write_text
from acnn_nnunet.pages.page import render_page

DATASET_ID = 999
CONFIGURATION = "3d_fullres_demo"
CONFIGURATION_WITHOUT_PRIOR = "3d_fullres_demo_noprior"
SEED = 0
SETTINGS = {
    "num_epochs": 8,
    "prior_num_epochs": 12,
    "num_iterations_per_epoch": 15,
    "num_val_iterations_per_epoch": 2,
    "seed": SEED,
}
NUM_TRAIN, NUM_TEST = 18, 6
PICTURE, PAGE = "demo.png", "demo.html"

_MARKER = "acnn_demo.json"
_NNUNET_FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
_OUTPUT_FOLDERS = ("predictions", "evaluations", "comparison", "prior_report", "logs")
_ARMS = {"with_prior": CONFIGURATION, "without_prior": CONFIGURATION_WITHOUT_PRIOR}


@dataclass(frozen=True)
class Step:
    """One command of the demo: what it is for, its log's name in `logs/`, and the line a user would type."""

    purpose: str
    log_name: str
    command: str


def run_demo(output: Path, *, device: str) -> str:
    """Generate phantoms, train with and without a shape prior, predict, evaluate and compare, and make a page of it.

    Everything lies in `output`, nnU-Net's three folders included; a former demo there is replaced. The commands' own
    words go to `output/logs`, one file a step.

    Args:
        output: folder to write; new, empty, or of a former demo.
        device: as in `nnUNetv2_train`.

    Returns:
        A table of Dice per label with and without the prior, and where the page lies.

    Raises:
        ValueError: if `output` holds something else than a former demo.
        RuntimeError: if a command fails; says which and where its log is.
    """
    output = Path(output).absolute()
    started = time.monotonic()
    _prepare_folder(output)
    environment = _environment(output)
    _say(f"A demo of acnn-nnunet on {device}. To type the commands yourself:")
    for name in _NNUNET_FOLDERS:
        _say(f"export {name}={environment[name]}")
    dataset = write_dataset(output / "nnUNet_raw", DATASET_ID, num_train=NUM_TRAIN, num_test=NUM_TEST, seed=SEED)
    _say(f"{NUM_TRAIN} phantom hearts to train on and {NUM_TEST} to test: {dataset}")
    steps = plan_steps(output, dataset, device=device)
    _run_steps(steps, output / "logs", environment)

    summaries = {arm: _evaluations(output, arm) / "summary.json" for arm in _ARMS}
    picture = _draw_predictions(output / PICTURE, dataset, output)
    page = _write_page(output, steps, picture)
    minutes = (time.monotonic() - started) / 60
    return (
        f"\n{dice_table(without_prior=summaries['without_prior'], with_prior=summaries['with_prior'])}\n"
        f"{NUM_TEST} generated cases, one seed, {SETTINGS['num_epochs'] * SETTINGS['num_iterations_per_epoch']} "
        "training iterations: it shows that the commands work, not what a prior is worth.\n\n"
        f"Pictures, paired plots and the prior's report: {page}\n"
        f"The demo took {minutes:.1f} min; delete {output} when done."
    )


def plan_steps(output: Path, dataset: Path, *, device: str) -> list[Step]:
    """Return the commands of the demo in order."""
    settings = " ".join(f"{key}={value}" for key, value in SETTINGS.items())
    configure, train = f"acnn-nnunet configure {DATASET_ID}", f"nnUNetv2_train {DATASET_ID}"
    steps = [
        Step(
            "plan and preprocess",
            "plan_and_preprocess",
            f"nnUNetv2_plan_and_preprocess -d {DATASET_ID} -c 3d_fullres -npfp 2 -np 2",
        ),
        Step(
            "a short configuration",
            "configure",
            f"{configure} -c 3d_fullres -n {CONFIGURATION} {settings}",
        ),
        Step(
            "the same without a prior",
            "configure_without_prior",
            f"{configure} -c {CONFIGURATION} -n {CONFIGURATION_WITHOUT_PRIOR} prior_weight=0",
        ),
        Step(
            "learn the shape prior",
            "train_prior",
            f"{train} {CONFIGURATION} 0 -tr ShapePriorTrainer -device {device}",
        ),
        Step(
            "is the prior worth using?",
            "prior_report",
            f"acnn-nnunet prior-report {DATASET_ID} {CONFIGURATION} 0 -o {_quoted(output, 'prior_report')} "
            f"-device {device}",
        ),
    ]
    images, labels = (shlex.quote(str(dataset / name)) for name in ("imagesTs", "labelsTs"))
    for arm, configuration in _ARMS.items():
        words = arm.replace("_", " ")
        predictions = _predictions(output, arm)
        quoted = shlex.quote(str(predictions))
        steps += [
            Step(
                f"train {words}",
                f"train_{arm}",
                f"{train} {configuration} 0 -tr ACNNTrainer -device {device}",
            ),
            Step(
                f"predict {words}",
                f"predict_{arm}",
                f"nnUNetv2_predict -d {DATASET_ID} -c {configuration} -f 0 -tr ACNNTrainer -i {images} -o {quoted} "
                f"-device {device} -npp 1 -nps 1",
            ),
            Step(
                f"evaluate {words}",
                f"evaluate_{arm}",
                f"acnn-nnunet evaluate {labels} {quoted} -o {_quoted(output, 'evaluations', arm)} -np 2",
            ),
        ]
    arms = " ".join(f"{arm}={_quoted(output, 'evaluations', arm)}" for arm in reversed(_ARMS))
    steps.append(
        Step("compare", "compare", f"acnn-nnunet compare {arms} -o {_quoted(output, 'comparison')}"),
    )
    return steps


def run_step(step: Step, log: Path, environment: dict[str, str], *, while_waiting: Callable[[], None]) -> None:
    """Run one command with its output in `log`, calling `while_waiting` about once a second.

    Raises:
        RuntimeError: if the command cannot be found or fails; names the step, the log and its last line.
    """
    program, *words = shlex.split(step.command)
    with open(log, "w") as file:
        process = subprocess.Popen(
            [find_program(program), *words], stdout=file, stderr=subprocess.STDOUT, env=environment
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(timeout=1)
                except subprocess.TimeoutExpired:
                    while_waiting()
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise RuntimeError(
            f"the step '{step.purpose}' failed ({program} ended with {process.returncode}; the last line of {log}: "
            f"{lines[-1] if lines else 'it is empty'})"
        )


def find_program(name: str) -> str:
    """Return the path of an entry point: beside this interpreter first, so that a venv need not be activated."""
    folders = (str(Path(sys.executable).parent), sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath))
    path = shutil.which(name, path=os.pathsep.join(folders))
    if path is None:
        raise RuntimeError(f"the command {name} is neither beside {sys.executable} nor on PATH; run: pip install .")
    return path


def dice_table(*, without_prior: Path, with_prior: Path) -> str:
    """Return a table of the mean Dice per label from two of nnU-Net's `summary.json` files."""
    columns = [json.loads(Path(path).read_text())["mean"] for path in (without_prior, with_prior)]
    lines = [f"{'mean Dice':<10}{'without prior':>15}{'with prior':>15}"]
    for name, value in LABELS.items():
        if name != "background":
            lines.append(f"{name:<10}" + "".join(f"{column[str(value)]['Dice']:>15.3f}" for column in columns))
    return "\n".join(lines)


def draw_slices(
    path: Path,
    rows: Sequence[tuple[str, Sequence[tuple[np.ndarray, np.ndarray | None]]]],
    *,
    column_titles: Sequence[str],
    title: str,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
) -> Path:
    """Draw a grid of slices with labels laid over them and save it as a PNG.

    Args:
        path: file to write.
        rows: for each row its name and its panels, each an image `(Y, X)` and a label map `(Y, X)` or None.
        column_titles: one for each panel of a row.
        title: what the picture shows.
        spacing_mm: in-plane voxel size `(y, x)`.
    """
    # pyplot would take a display where there is one; a Figure of its own never does.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colours = {"RV": "#3b82f6", "MYO": "#f59e0b", "LV": "#ef4444"}
    figure = Figure(figsize=(1.7 * len(column_titles) + 0.4, 1.7 * len(rows) + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(column_titles), squeeze=False)
    for row_axes, (row_name, panels) in zip(axes, rows, strict=True):
        for axis, (image, label) in zip(row_axes, panels, strict=True):
            axis.imshow(
                image, cmap="gray", vmin=0, vmax=1.3, interpolation="nearest", aspect=spacing_mm[0] / spacing_mm[1]
            )
            if label is not None:
                axis.imshow(
                    np.ma.masked_equal(label, 0),
                    cmap=ListedColormap(list(colours.values())),
                    vmin=1,
                    vmax=3,
                    alpha=0.65,
                    interpolation="nearest",
                    aspect=spacing_mm[0] / spacing_mm[1],
                )
            axis.set(xticks=[], yticks=[])
        row_axes[0].set_ylabel(row_name, fontsize=8)
    for axis, column_title in zip(axes[0], column_titles, strict=True):
        axis.set_title(column_title, fontsize=9)
    figure.suptitle(title, fontsize=10)
    handles = [Patch(color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(path, dpi=100)
    return path


def _prepare_folder(output: Path) -> None:
    """Make the folder; of what a former demo left there, remove what the demo wrote and nothing else."""
    marker = output / _MARKER
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; name a folder for the demo with -o")
    if output.exists() and any(output.iterdir()) and not marker.exists():
        raise ValueError(f"{output} is not empty and no demo wrote it; name another folder with -o")
    for name in (*_NNUNET_FOLDERS, *_OUTPUT_FOLDERS):
        if (output / name).exists():
            shutil.rmtree(output / name)
    for name in (PICTURE, PAGE):
        (output / name).unlink(missing_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps({"written_by": "acnn-nnunet demo", "dataset_id": DATASET_ID, **SETTINGS}) + "\n")
    for name in (*_NNUNET_FOLDERS, "predictions", "evaluations", "logs"):
        (output / name).mkdir()


def _environment(output: Path) -> dict[str, str]:
    """The user's environment with nnU-Net's folders moved into the demo's, few workers, and no service called."""
    return {
        **os.environ,
        **{name: str(output / name) for name in _NNUNET_FOLDERS},
        "nnUNet_n_proc_DA": "2",
        "nnUNet_def_n_proc": "2",
        "nnUNet_compile": "f",
        "nnUNet_wandb_enabled": "0",
    }


def _run_steps(steps: Sequence[Step], logs: Path, environment: dict[str, str]) -> None:
    """Run the steps one after the other under a progress bar, saying each command as the user would type it."""
    with tqdm(total=len(steps), unit="step", disable=None, bar_format="{desc} {bar} {n}/{total} {elapsed}") as bar:
        for number, step in enumerate(steps, start=1):
            bar.set_description(step.purpose)
            _say(f"\n[{number}/{len(steps)}] {step.purpose}\n$ {step.command}")
            started = time.monotonic()
            run_step(step, logs / f"{number:02d}_{step.log_name}.log", environment, while_waiting=bar.refresh)
            _say(f"  done in {time.monotonic() - started:.0f} s")
            bar.update()


def _say(line: str) -> None:
    """Show progress to the user: the only place from which this module prints."""
    tqdm.write(line)


def _predictions(output: Path, arm: str) -> Path:
    return output / "predictions" / arm


def _evaluations(output: Path, arm: str) -> Path:
    return output / "evaluations" / arm


def _quoted(output: Path, *names: str) -> str:
    return shlex.quote(str(output.joinpath(*names)))


def _write_page(output: Path, steps: Sequence[Step], picture: Path) -> Path:
    """Write one self-contained page: the picture, the commands, and the pages that they wrote, each in a frame."""
    pages = {
        "Without and with the prior, case by case": output / "comparison" / "report.html",
        "The prior": output / "prior_report" / "report.html",
        **{f"Evaluation {arm.replace('_', ' ')}": _evaluations(output, arm) / "report.html" for arm in _ARMS},
    }
    page = render_page(
        "demo.html",
        version=__version__,
        num_test=NUM_TEST,
        num_iterations=SETTINGS["num_epochs"] * SETTINGS["num_iterations_per_epoch"],
        picture="data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode("ascii"),
        steps=steps,
        pages=[(title, path.read_text(encoding="utf-8")) for title, path in pages.items()],
    )
    write_text(output / PAGE, page)
    return output / PAGE


def _draw_predictions(path: Path, dataset: Path, output: Path) -> Path:
    """Draw the middle slice of one test case of each group: image, truth, and what both networks say."""
    with open(dataset / "groups.csv", newline="") as file:
        cases = [row for row in csv.DictReader(file) if row["case"].startswith("phantom_ts")][: len(GROUPS)]
    rows = []
    for row in cases:
        case = row["case"]
        image = _read(dataset / "imagesTs" / f"{case}_0000.nii.gz")
        truth = _read(dataset / "labelsTs" / f"{case}.nii.gz")
        middle = int(np.median(np.flatnonzero(truth.any(axis=(1, 2)))))
        predictions = [_read(_predictions(output, arm) / f"{case}.nii.gz") for arm in ("without_prior", "with_prior")]
        panels = [(image[middle], label) for label in (None, *(each[middle] for each in (truth, *predictions)))]
        rows.append((f"{case}\n{row['group']}", panels))
    return draw_slices(
        path,
        rows,
        column_titles=("image", "truth", "ACNNTrainer,\nprior_weight=0", "ACNNTrainer,\nwith prior"),
        title="acnn-nnunet demo: generated test hearts, middle slice",
        spacing_mm=DEMO_SPACING_MM[1:],
    )


def _read(path: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
