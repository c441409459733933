"""The live table of a sweep: on a terminal in place, elsewhere a line whenever a run changes."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from acnn_nnunet.files.tables import write_rows
from acnn_nnunet.sweep.plan import TrainingRun
from acnn_nnunet.sweep.training import epoch_of, is_done

COLUMNS = {"arm": str, "fold": int, "state": str, "epoch": int, "error": str}
TABLE_FILE = "sweep.csv"
WAITING, TRAINING, DONE, FAILED = "waiting", "training", "done", "failed"
_SECONDS_PER_LOOK = 5.0


class LiveTable:
    """Shows how far each run is, and keeps `sweep.csv`.

    Args:
        runs: of the sweep.
        folder: that the table is written to.
    """

    def __init__(self, runs: Sequence[TrainingRun], folder: Path) -> None:
        self._runs, self._path = runs, Path(folder) / TABLE_FILE
        self._errors: dict[str, str] = {}
        self._shown: list[str] = []
        self._begun = {run.name: epoch_of(run) for run in runs}  # of a sweep that was stopped
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "LiveTable":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.show()

    def fail(self, name: str, error: str) -> None:
        """Take in that a run failed."""
        self._errors[name] = error

    def rows(self) -> list[tuple[str, int, str, int | None, str]]:
        """Return arm, fold, state, epoch and error of each run."""
        return [(run.arm, run.fold, *self._state(run)) for run in self._runs]

    def show(self) -> None:
        """Write the table, and show it."""
        rows = self.rows()
        write_rows(self._path, COLUMNS, rows)
        lines = [
            f"{arm:28} fold {fold}  {state:9} {'' if epoch is None else f'epoch {epoch}'}"
            for arm, fold, state, epoch, _ in rows
        ]
        if sys.stderr.isatty():
            back = f"\x1b[{len(self._shown)}F\x1b[0J" if self._shown else ""
            sys.stderr.write(back + "\n".join(lines) + "\n")
        else:
            changed = [line for number, line in enumerate(lines) if line not in self._shown[number : number + 1]]
            sys.stderr.writelines(f"{line}\n" for line in changed)
        sys.stderr.flush()
        self._shown = lines

    def _state(self, run: TrainingRun) -> tuple[str, int | None, str]:
        if run.name in self._errors:
            return FAILED, epoch_of(run), self._errors[run.name]
        if is_done(run):
            return DONE, epoch_of(run), ""
        epoch = epoch_of(run)
        return (WAITING if epoch == self._begun[run.name] else TRAINING), epoch, ""

    def _watch(self) -> None:
        while not self._end.wait(_SECONDS_PER_LOOK):
            self.show()
