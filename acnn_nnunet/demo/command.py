"""`acnn-nnunet demo`: the whole job on a generated phantom heart, by the commands that a user would type."""

import json
import os
import shlex
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from acnn_nnunet.demo.page import PAGE, PICTURE, dice_table, draw_predictions, write_page
from acnn_nnunet.demo.phantom import write_dataset
from acnn_nnunet.demo.steps import DATASET_ID, ITERATIONS, LOADER_WORKERS, SETTINGS, Step, plan_steps, run_step

_MARKER = "acnn_demo.json"
_NNUNET_FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
_OUTPUT_FOLDERS = ("predictions", "evaluations", "comparison", "prior_report", "logs")


@dataclass(frozen=True)
class DemoOptions:
    """How the demo is run.

    Attributes:
        device: as in `nnUNetv2_train`.
        num_train: generated hearts to train on.
        num_test: generated hearts to predict.
    """

    device: str = "cpu"
    num_train: int = 18
    num_test: int = 6


def run_demo(output: Path, options: DemoOptions) -> str:
    """Generate phantoms, train with and without a shape prior, predict, evaluate and compare, and make a page of it.

    Everything lies in `output`, nnU-Net's three folders included; a former demo there is replaced. The commands' own
    output goes to `output/logs`, one file per step.

    Returns:
        A table of Dice per label with and without the prior, and where the page lies.

    Raises:
        ValueError: if `output` holds something else than a former demo.
        RuntimeError: if a command fails; says which and where its log is.
    """
    output = Path(output).absolute()
    started = time.monotonic()
    _prepare_folder(output)
    folders = {name: str(output / name) for name in _NNUNET_FOLDERS}
    _say(f"A demo of acnn-nnunet on {options.device}. To type the commands yourself:")
    for name, value in {**folders, **LOADER_WORKERS}.items():
        _say(f"export {name}={shlex.quote(value)}")
    dataset = write_dataset(
        output / "nnUNet_raw",
        DATASET_ID,
        num_train=options.num_train,
        num_test=options.num_test,
        seed=SETTINGS["seed"],
    )
    _say(f"{options.num_train} phantom hearts to train on and {options.num_test} to test: {dataset}")
    steps = plan_steps(output, dataset, device=options.device)
    # Few workers, and no service called.
    quiet = {"nnUNet_def_n_proc": "2", "nnUNet_compile": "f", "nnUNet_wandb_enabled": "0"}
    _run_steps(steps, output / "logs", {**os.environ, **folders, **LOADER_WORKERS, **quiet})

    draw_predictions(dataset, output)
    page = write_page(output, steps, num_test=options.num_test)
    summaries = {arm: output / "evaluations" / arm / "summary.json" for arm in ("without_prior", "with_prior")}
    return (
        f"\n{dice_table(**summaries)}\n"
        f"{options.num_test} generated cases, one seed, {ITERATIONS} training iterations; both arms are trained alike, "
        "but for the prior. It shows that the commands work, not what a prior is worth.\n\n"
        f"Pictures, paired plots and the prior's report: {page}\n"
        f"The demo took {(time.monotonic() - started) / 60:.1f} min; delete {output} when done."
    )


def _prepare_folder(output: Path) -> None:
    """Make the folder, and remove the files of a former demo there, but no others."""
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
