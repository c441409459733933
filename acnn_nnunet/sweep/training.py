"""One training of a sweep: a stock nnUNetv2_train, gone on with once if it fails."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

from nnunetv2.paths import nnUNet_results

from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.nnunet.programs import find_program
from acnn_nnunet.sweep.gpus import lock, own_gpu
from acnn_nnunet.sweep.plan import TrainingRun

DONE_FILES = ("checkpoint_final.pth", "validation/summary.json")
SETTINGS_FILE = ".sweep.json"
_EPOCH = re.compile(r"Epoch (\d+)\s*$", re.MULTILINE)


def model_folder(run: TrainingRun) -> Path:
    """Return where nnU-Net keeps the folds of a run's model."""
    name = f"{run.trainer}__{run.plans_identifier}__{run.configuration}"
    return Path(nnUNet_results.require()) / run.dataset / name


def fold_folder(run: TrainingRun) -> Path:
    """Return where nnU-Net trains a run."""
    return model_folder(run) / f"fold_{run.fold}"


def is_done(run: TrainingRun) -> bool:
    """Return whether a run is trained and validated."""
    return all((fold_folder(run) / name).is_file() for name in DONE_FILES)


def check_settings(run: TrainingRun) -> None:
    """Raise ValueError if a sweep has trained the run's fold with other settings."""
    folder = fold_folder(run)
    if not (folder / SETTINGS_FILE).is_file() or not _has_checkpoint(folder):
        return
    before = json.loads((folder / SETTINGS_FILE).read_text())
    if sorted(before) != sorted(run.settings):
        raise ValueError(
            f"{folder} was trained with {' '.join(before) or 'the defaults'}, and now the setting is "
            f"{' '.join(run.settings) or 'the defaults'}: give the setting another name, or delete that folder."
        )


def train(logs: Path, run: TrainingRun) -> dict[str, Any]:
    """Train a run to its end, from its checkpoint if it has one; if that fails, go on once with `--c`.

    Args:
        logs: folder of the logs.
        run: what is trained.

    Returns:
        `starts` of nnUNetv2_train, and its mean validation `dice`.

    Raises:
        ValueError: if it failed twice, with the end of its log; if there is no GPU, another process trains it, or a
            sweep trained it with other settings.
    """
    folder = fold_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    starts = 0
    with open(folder / ".sweep.lock", "w") as own:
        if not lock(own.fileno()):
            raise ValueError(f"{folder} is being trained by another process: wait for it, then go on with --continue.")
        check_settings(run)
        if not _has_checkpoint(folder):
            write_json(folder / SETTINGS_FILE, run.settings)
        while not is_done(run):
            if starts == 2:
                raise ValueError(f"`{run.command}` failed twice; {logs / run.name}.txt ends: {_end_of(logs, run)}")
            _start(run, logs, (own.fileno(),), go_on=starts > 0 or _has_checkpoint(folder))
            starts += 1
    summary = json.loads((folder / DONE_FILES[1]).read_text())
    return {"starts": starts, "dice": summary.get("foreground_mean", {}).get("Dice")}


def epoch_of(run: TrainingRun) -> int | None:
    """Return the epoch that a run says it is in, or None before the first."""
    logs = sorted(fold_folder(run).glob("training_log_*.txt"), key=lambda path: path.stat().st_mtime)
    if not logs:
        return None
    with open(logs[-1], "rb") as file:
        file.seek(max(0, logs[-1].stat().st_size - 20_000))
        epochs = _EPOCH.findall(file.read().decode("utf-8", errors="replace"))
    return int(epochs[-1]) if epochs else None


def _has_checkpoint(folder: Path) -> bool:
    return any(folder.glob("checkpoint_*.pth"))


def _start(run: TrainingRun, logs: Path, files: tuple[int, ...], *, go_on: bool) -> int:
    program, *words = shlex.split(run.command)
    command = [find_program(program), *words, *(["--c"] if go_on else [])]
    with own_gpu(run.device) as (variables, gpu), open(logs / f"{run.name}.txt", "ab") as log:
        log.write(f"$ {shlex.join(command)}\n".encode())
        log.flush()
        # The locks live as long as the training does, even where the process that started it is killed.
        return subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **variables}, pass_fds=(*files, *gpu)
        ).returncode


def _end_of(logs: Path, run: TrainingRun) -> str:
    lines = (logs / f"{run.name}.txt").read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "with nothing")[:300]
