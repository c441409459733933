"""Every prediction of `acnn-nnunet plausibility`, and what the journal says of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.journal import Entries, Journal
from acnn_nnunet.casewise.recorded import CaseWork, record_cases
from acnn_nnunet.casewise.work import PerWorker
from acnn_nnunet.plausibility.calibration import Calibration
from acnn_nnunet.plausibility.scores import Prediction, Scorer
from acnn_nnunet.plausibility.table import EXCLUDED, PlausibilityRow, order_of

_AT_A_TIME = 500  # rows that are judged together


def score_cases(
    scorer: PerWorker[Scorer], found: Mapping[str, Prediction], journal: Journal, *, execution: Execution = HERE
) -> None:
    """Score the cases that the journal does not hold yet, or whose files have changed, each written down as it ends.

    Raises:
        WriteError: if the journal cannot be written.
        SetUpError, ClusterError: as `record_cases`.
    """
    work = CaseWork(partial(_recorded_score, scorer), _files_of)
    record_cases(work, found, journal, execution=execution, description="plausibility")


def rows_of(entries: Iterable[dict[str, Any]]) -> list[PlausibilityRow]:
    """Return the row of each prediction from the journal's entries."""
    return [
        PlausibilityRow.from_plain(entry["row"])
        if entry["error"] is None
        else PlausibilityRow(entry["case"], EXCLUDED, reason=entry["error"])
        for entry in entries
    ]


class JudgedRows:
    """The row of each prediction, judged, in the order of looking at them.

    They are read from the journal each time they are iterated over: a cohort's rows may be larger than the memory.
    """

    def __init__(self, entries: Entries, calibration: Calibration | None) -> None:
        self._calibration = calibration
        keys = sorted((*order_of(row), place) for place, row in enumerate(self._judged(entries)))
        self._entries = entries.in_order([key[-1] for key in keys])

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[PlausibilityRow]:
        return self._judged(self._entries)

    def _judged(self, entries: Entries) -> Iterator[PlausibilityRow]:
        waiting = iter(entries)
        while rows := rows_of(islice(waiting, _AT_A_TIME)):
            yield from rows if self._calibration is None else self._calibration.judged(rows)


def _files_of(prediction: Prediction) -> Sequence[Path]:
    return prediction.files


def _recorded_score(scorer: PerWorker[Scorer], files: Prediction) -> dict[str, Any]:
    row, kept = scorer().score(files)
    return {"row": row.as_plain(), "slice": None if kept is None else kept.as_plain()}
