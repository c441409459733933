"""What the packs of studies share: code and a script in one folder, for a machine without a network; results back."""

import shutil
import stat
import sys
from pathlib import Path

from scripts.studies.host_folders import ROOT
from scripts.studies.results import StudyResults

LARGEST_MB = 60
CODE = ("acnn_nnunet", "scripts", "packaging", "pyproject.toml", "README.md", "LICENSE")


def finish_pack(folder: Path, script: str) -> None:
    """Add the code and `run.sh` to a pack, and say how large it is.

    Raises:
        SystemExit: if it is larger than 60 MB.
    """
    for part in CODE:
        source, target = ROOT / part, folder / "code" / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    path = folder / "run.sh"
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    size = size_mb(folder)
    print(f"{folder}: {size:.1f} MB; {path} says what it needs.")
    if size > LARGEST_MB:
        sys.exit(f"The pack has {size:.1f} MB, more than {LARGEST_MB}: pack one dataset, or fewer --sizes.")


def merge_runs(brought: StudyResults, into: StudyResults, tables: tuple[str, ...]) -> None:
    """Add the runs of another machine's results, and their scores in these tables; known runs stay as they are."""
    scores = {name: brought.table(name).drop(columns="iou", errors="ignore") for name in tables}
    for run in brought.runs():
        keys = {key: run[key] for key in into.keys}
        if into.has(**keys):
            print(f"{keys} is known: left as it is.")
            continue
        values = [str(value) for value in keys.values()]
        own = {name: table[table[list(keys)].eq(values).all(axis=1)] for name, table in scores.items()}
        into.add(run, {name: rows.drop(columns=list(keys)) for name, rows in own.items() if len(rows)})
        print(f"{keys}: added.")


def size_mb(folder: Path) -> float:
    """Return the size of all files of a folder, in millions of bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
