"""Our files in a training folder: entries in nnU-Net's checkpoints, and a log beside its own."""

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from acnn_nnunet.files.safe_writes import plain, write_json


def add_to_checkpoint(path: str, extras: dict[str, Any]) -> None:
    """Add entries to a host checkpoint and reduce it to tensors and plain values, loadable with `weights_only=True`."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    torch.save(plain({**checkpoint, **extras}), path)


def read_checkpoint_errors(path: str | os.PathLike[str], load: Callable[[], Any]) -> Any:
    """Return what `load` returns; a file that is truncated or no checkpoint becomes one sentence.

    Raises:
        ValueError: naming the path and the remedy.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no checkpoint at {path}.")
    try:
        with open(path, "rb") as file:
            torch.load(file, map_location="meta", weights_only=False, mmap=False)
    except MemoryError:
        raise
    except Exception as error:  # pickle, zip and torch each have their own
        raise ValueError(
            f"The checkpoint {path} is truncated or no checkpoint ({' '.join(str(error).split())[:200]}): "
            f"move it away, and --c goes on from the next best one beside it or starts anew."
        ) from error
    return load()


@contextlib.contextmanager
def checkpoint_file(checkpoint: dict[str, Any]) -> Iterator[str]:
    """Lend a file with the content of a checkpoint, for as long as the context lasts.

    nnU-Net 2.8.1 says that `load_checkpoint` takes a dictionary, and fails with one: it only assigns what it reads from
    a file.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "checkpoint.pth")
        torch.save(checkpoint, path)
        yield path


class EpochLog:
    """Values per epoch: a JSON list per quantity, and its picture.

    Args:
        folder: the fold's output folder; holds `acnn_log.json` and `acnn_progress.png`.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / "acnn_log.json"
        self.picture = Path(folder) / "acnn_progress.png"
        self.values: dict[str, list[float]] = {}

    def resume(self, epoch: int) -> None:
        """Read what was logged before `epoch`; a run killed after its checkpoint repeats the epochs since."""
        if epoch > 0 and self.path.is_file():
            logged = json.loads(self.path.read_text())
            self.values = {
                name: [math.nan if value is None else value for value in values[:epoch]]
                for name, values in logged.items()
            }

    def log(self, epoch: int, **values: float) -> None:
        """Store the values of an epoch and write the file, where NaN is null."""
        for name, value in values.items():
            series = self.values.setdefault(name, [])
            series.extend([float("nan")] * (epoch - len(series)))
            series[epoch:] = [float(value)]
        write_json(
            self.path,
            {name: [None if math.isnan(value) else value for value in series] for name, series in self.values.items()},
        )

    def plot(self) -> None:
        """Draw every quantity over the epochs into `acnn_progress.png`."""
        import matplotlib.pyplot as plt

        with plt.style.context("default"):  # nnU-Net's own plot enlarges the letters of all later ones
            figure, axes = plt.subplots(len(self.values), 1, figsize=(8, 2.2 * len(self.values)), squeeze=False)
            for axis, (name, series) in zip(axes[:, 0], self.values.items(), strict=True):
                axis.plot(series, linewidth=1.5)
                axis.set_title(name.replace("_", " "), fontsize="medium", loc="left")
            axes[-1, 0].set_xlabel("epoch")
            figure.tight_layout()
            figure.savefig(self.picture)
            plt.close(figure)


def run_our_command(words: Sequence[str | Path]) -> str:
    """Run `acnn-nnunet WORDS` as a user would, in a process of its own, and return what it prints.

    Raises:
        RuntimeError: with its last words, if it fails or is not installed.
    """
    beside = str(Path(sys.executable).parent)
    program = shutil.which("acnn-nnunet", path=beside) or shutil.which("acnn-nnunet")
    if program is None:
        raise RuntimeError("acnn-nnunet is not installed in this environment: pip install acnn-nnunet.")
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"acnn-nnunet {words[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout.strip()
