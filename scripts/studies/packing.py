"""What the packs of studies share: code and a script in one folder, for a machine without a network; results back."""

import shutil
import stat
import sys
from pathlib import Path
from typing import Any

from scripts.studies.host_folders import ROOT
from scripts.studies.results import StudyResults

LARGEST_MB = 60
CODE = ("acnn_nnunet", "scripts", "packaging", "pyproject.toml", "README.md", "LICENSE")

# Of a script on that machine, `here` being its folder.
MPS = """# Under CUDA's multi-process service small trainings share the GPU; without it they take turns.
if command -v nvidia-cuda-mps-control >/dev/null; then
  export CUDA_MPS_PIPE_DIRECTORY=$here/mps CUDA_MPS_LOG_DIRECTORY=$here/mps
  mkdir -p "$here/mps"
  nvidia-cuda-mps-control -d || true
  if ! timeout 60 python -c 'import torch; torch.ones(1, device="cuda")'; then
    unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
  fi
fi"""


def finish_pack(folder: Path, script: str) -> None:
    """Add the code and `run.sh` to a pack, and say how large it is.

    Raises:
        SystemExit: if it is larger than 60 MB.
    """
    copy_code(folder)
    path = write_script(folder, script)
    size = size_mb(folder)
    print(f"{folder}: {size:.1f} MB; {path} says what it needs.")
    if size > LARGEST_MB:
        sys.exit(f"The pack has {size:.1f} MB, more than {LARGEST_MB}: pack one dataset, or fewer --sizes.")


def copy_code(folder: Path) -> None:
    """Copy the code that a study needs to a pack."""
    for part in CODE:
        source, target = ROOT / part, folder / "code" / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)


def write_script(folder: Path, script: str) -> Path:
    """Write a pack's `run.sh`, and return where it is."""
    path = folder / "run.sh"
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def merge_runs(brought: StudyResults, into: StudyResults, tables: tuple[str, ...]) -> None:
    """Add the runs of another machine's results, and their scores in these tables.

    A known run stays as it is, unless the other one was trained for more epochs.
    """
    scores = {name: brought.table(name).drop(columns="iou", errors="ignore") for name in tables}
    epochs = {tuple(run[key] for key in into.keys): _epochs(run) for run in into.runs()}
    for run in brought.runs():
        keys = {key: run[key] for key in into.keys}
        known = tuple(keys.values()) in epochs
        if known and _epochs(run) <= epochs[tuple(keys.values())]:
            print(f"{keys} is known: left as it is.")
            continue
        values = [str(value) for value in keys.values()]
        own = {name: table[table[list(keys)].eq(values).all(axis=1)] for name, table in scores.items()}
        into.add(run, {name: rows.drop(columns=list(keys)) for name, rows in own.items() if len(rows)})
        print(f"{keys}: {'replaced by a longer training' if known else 'added'}.")


def _epochs(run: dict[str, Any]) -> int:
    """Return for how many epochs a run was trained; 0 where the study says it elsewhere, or trains nothing."""
    return run.get("training", {}).get("num_epochs", 0)


def size_mb(folder: Path) -> float:
    """Return the size of all files of a folder, in millions of bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
