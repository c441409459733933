"""Every prediction of `acnn-nnunet plausibility`, and what the journal says of it."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.journal import Journal
from acnn_nnunet.casewise.recorded import CaseWork, record_cases
from acnn_nnunet.casewise.work import PerWorker
from acnn_nnunet.plausibility.scores import Prediction, Scorer
from acnn_nnunet.plausibility.table import EXCLUDED, PlausibilityRow


def score_cases(
    scorer: PerWorker[Scorer], found: dict[str, Prediction], journal: Journal, *, execution: Execution = HERE
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


def _files_of(prediction: Prediction) -> Sequence[Path]:
    return prediction.files


def _recorded_score(scorer: PerWorker[Scorer], files: Prediction) -> dict[str, Any]:
    row, kept = scorer().score(files)
    return {"row": row.as_plain(), "slice": None if kept is None else kept.as_plain()}
