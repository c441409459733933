"""Results of a study in the repository: one compressed table of all scores, and what each run was."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from acnn_nnunet import __version__
from acnn_nnunet.files.safe_writes import replace_atomically, write_json

RUNS_FILE = "runs.json"
SIGNIFICANT_DIGITS = 7
EXACT = ("hausdorff_mm", "mae")  # of these the last digit that a report shows hangs on how they are rounded
PACKAGES = ("nnunetv2", "torch", "batchgeneratorsv2")  # their versions can change a result
_COMPRESSION: dict[str, Any] = {"method": "xz", "preset": 9}


@dataclass(frozen=True)
class StudyResults:
    """The folder `benchmarks/<study>/`.

    Attributes:
        folder: holds `runs.json` and the tables `<name>.csv.xz`.
        keys: entries of a run that tell it from the others; they are columns of each table.
    """

    folder: Path
    keys: tuple[str, ...]

    def runs(self) -> list[dict[str, Any]]:
        """Return what each run was, in the order in which they were added."""
        path = self.folder / RUNS_FILE
        return json.loads(path.read_text()) if path.is_file() else []

    def has(self, **run: Any) -> bool:
        """Return whether the run with these keys was added."""
        return any(all(each.get(key) == value for key, value in run.items()) for each in self.runs())

    def table(self, name: str) -> pd.DataFrame:
        """Return a table, each cell as the text that was written; without rows if there is none."""
        path = self._path(name)
        if not path.is_file():
            return pd.DataFrame(columns=list(self.keys))
        table = pd.read_csv(path, dtype=str, keep_default_na=False, compression="xz")
        if "dice" in table:
            table.insert(table.columns.get_loc("dice") + 1, "iou", table["dice"].map(iou_of_dice))
        return table

    def add(self, run: dict[str, Any], tables: dict[str, pd.DataFrame]) -> None:
        """Add a run and its scores, as `add_all` does."""
        self.add_all([(run, tables)])

    def add_all(self, runs: Sequence[tuple[dict[str, Any], dict[str, pd.DataFrame]]]) -> None:
        """Add runs and their scores; scores that a killed `add` left behind are replaced.

        Args:
            runs: of each its keys, and what else is worth knowing; and its scores by table name, in text; numbers are
                cut to seven significant digits, but for `EXACT`; IoU is left out: Dice says the same.

        Raises:
            OSError: if a file cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        added: dict[str, list[pd.DataFrame]] = {}
        for run, tables in runs:
            for name, scores in tables.items():
                rows = scores.drop(columns="iou", errors="ignore").apply(
                    lambda column: column if column.name in EXACT else column.map(shortened)
                )
                for position, key in enumerate(self.keys):
                    rows.insert(position, key, str(run[key]))
                added.setdefault(name, []).append(rows)
        new = {self._keys_of(run) for run, _ in runs}
        for name, parts in added.items():
            known = self.table(name).drop(columns="iou", errors="ignore")
            kept = known[[key not in new for key in known[list(self.keys)].itertuples(index=False, name=None)]]
            self._write(name, pd.concat([kept, *parts] if len(kept) else parts).fillna(""))
        others = [each for each in self.runs() if self._keys_of(each) not in new]
        if runs:
            write_json(self.folder / RUNS_FILE, [*others, *(run for run, _ in runs)])

    def _keys_of(self, run: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(run[key]) for key in self.keys)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.csv.xz"

    def _write(self, name: str, table: pd.DataFrame) -> None:
        replace_atomically(
            self._path(name), lambda partial: table.to_csv(partial, index=False, compression=_COMPRESSION)
        )


def iou_of_dice(dice: str) -> str:
    """Return the IoU that goes with a Dice score, both as text; empty where there is none."""
    return f"{float(dice) / (2 - float(dice)):.{SIGNIFICANT_DIGITS}g}" if dice else ""


def read_scores_as_text(path: Path, **more: str) -> pd.DataFrame:
    """Return a CSV table, each cell as its text, behind further columns of one value each."""
    scores = pd.read_csv(path, dtype=str, keep_default_na=False)
    for position, (name, value) in enumerate(more.items()):
        scores.insert(position, name, value)
    return scores


def csv_text(scores: pd.DataFrame, *, without: Sequence[str]) -> str:
    """Return the CSV text of scores without some columns."""
    buffer = io.StringIO()
    scores.drop(columns=list(without)).to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide what a training does."""
    return {"acnn-nnunet": __version__, **{name: version(name) for name in PACKAGES}}


def shortened(cell: str) -> str:
    """Return a cell; a number with decimals is rounded to seven significant digits."""
    if "." not in cell:
        return cell
    try:
        return f"{float(cell):.{SIGNIFICANT_DIGITS}g}"
    except ValueError:
        return cell
