"""`acnn-nnunet evaluate`: every case of a folder against its reference, in parallel, resumable, in parts."""

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_all_start_methods, get_context, parent_process
from pathlib import Path
from typing import Any

from tqdm import tqdm

from acnn_nnunet.casewise.journal import Journal
from acnn_nnunet.evaluation.masks.case_scores import score_case
from acnn_nnunet.evaluation.plan import EvaluationPlan
from acnn_nnunet.nnunet.label_files import LabelFileReader, LabelMap
from acnn_nnunet.nnunet.labels import label_key

# A fork server starts clean, with none of this process's threads; where there is none, every worker starts anew.
_START_METHOD = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
_PRELOADED = [__name__, "nnunetv2.imageio.reader_writer_registry", "nibabel"]
# Cases handed to the pool at a time, so that thousands of them cost no memory.
_IN_FLIGHT_PER_WORKER = 4


def prepare_workers() -> None:
    """Let the workers' parent load its modules while this process still looks at the folders."""
    if _START_METHOD == "forkserver":
        from multiprocessing import forkserver

        get_context(_START_METHOD).set_forkserver_preload(_PRELOADED)
        forkserver.ensure_running()


def evaluate_cases(plan: EvaluationPlan, journal: Journal, cases: list[str], *, num_processes: int) -> None:
    """Score the cases that the journal does not hold yet, each written down as it ends.

    A case whose files have changed since, or that failed, is scored again. A file that cannot be used costs its own
    case only: the entry then holds the reason.

    Raises:
        RuntimeError: if a worker process dies; what was scored before stays in the journal.
        OSError: if the journal cannot be written.
    """
    done = {entry["case"] for entry in finished_entries(plan, journal)}
    open_cases = [case for case in cases if case not in done]
    with tqdm(total=len(cases), initial=len(cases) - len(open_cases), unit="case", disable=None) as bar:
        for entry in _entries(partial(evaluate_case, plan), open_cases, num_processes):
            journal.append(entry)
            bar.update()


def finished_entries(plan: EvaluationPlan, journal: Journal) -> list[dict[str, Any]]:
    """Return the last entry of each case of a journal that is no failure and whose files have not changed since."""
    entries = {entry["case"]: entry for entry in journal.read()[1]}
    return [
        entry for entry in entries.values() if entry["error"] is None and entry["stamp"] == _stamp(plan, entry["case"])
    ]


def evaluate_case(plan: EvaluationPlan, case: str) -> dict[str, Any]:
    """Score one case.

    Returns:
        The journal's entry: `case`, `stamp` of its files, `error` (None, or why it is left out), `missing` (no
        prediction) and `labels`, with the scores of each by its key.
    """
    entry: dict[str, Any] = {"case": case, "stamp": _stamp(plan, case), "error": None, "missing": False, "labels": {}}
    try:
        reader = LabelFileReader(plan.reader_name)
        reference = reader.read(plan.reference_file(case))
        _refuse_unknown_labels(plan, reference, plan.reference_file(case), is_reference=True)
        prediction = _read_prediction(plan, case, reader, reference)
        scores = score_case(
            reference,
            prediction,
            plan.labels.foreground,
            ignore=plan.labels.ignore,
            tolerance_mm=plan.tolerance_mm,
        )
    except (ValueError, OSError, MemoryError) as error:
        return {**entry, "error": str(error) or "not enough memory: use a smaller -np"}
    entry["missing"] = prediction is None
    entry["labels"] = {label_key(label): dataclasses.asdict(value) for label, value in scores.items()}
    return entry


def _read_prediction(plan: EvaluationPlan, case: str, reader: LabelFileReader, reference: LabelMap) -> LabelMap | None:
    path = plan.prediction_file(case)
    if not path.is_file():
        return None
    prediction = reader.read(path)
    differences = prediction.geometry.differences(reference.geometry)
    if differences:
        raise ValueError(f"{path} is not on its reference's grid: {'; '.join(differences)} (prediction, reference).")
    _refuse_unknown_labels(plan, prediction, path, is_reference=False)
    return prediction


def _refuse_unknown_labels(plan: EvaluationPlan, label_map: LabelMap, path: Path, *, is_reference: bool) -> None:
    if not plan.labels.exhaustive:
        return
    present = {value for value, box in enumerate(label_map.boxes, start=1) if box is not None}
    unknown = present - plan.labels.values - ({plan.labels.ignore} if is_reference else set())
    if unknown:
        raise ValueError(
            f"{path} holds the labels {_listed(unknown)}, which the dataset does not have (it has "
            f"{_listed(plan.labels.values)})."
        )


def _listed(labels: set[int], limit: int = 20) -> str:
    return ", ".join(map(str, sorted(labels)[:limit])) + (", …" if len(labels) > limit else "")


def _entries(
    evaluate: Callable[[str], dict[str, Any]], cases: list[str], num_processes: int
) -> Iterator[dict[str, Any]]:
    if num_processes == 1 or len(cases) < 2:
        yield from map(evaluate, cases)
        return
    prepare_workers()
    num_workers = min(num_processes, len(cases))
    remaining = iter(cases)
    running: set[Future] = set()
    with ProcessPoolExecutor(num_workers, mp_context=get_context(_START_METHOD), initializer=_end_with_parent) as pool:
        try:
            while True:
                for case in remaining:
                    running.add(pool.submit(evaluate, case))
                    if len(running) >= _IN_FLIGHT_PER_WORKER * num_workers:
                        break
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "A worker process died, most likely for want of memory: go on with --continue and a smaller -np."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """End this worker when the command is killed: it would wait for its next case for ever."""

    def wait_for_the_end() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait_for_the_end, daemon=True).start()


def _stamp(plan: EvaluationPlan, case: str) -> list[list[int] | None]:
    """Size and time of change of both files of a case; None for one that is missing."""
    stamps: list[list[int] | None] = []
    for path in (plan.reference_file(case), plan.prediction_file(case)):
        stat = path.stat() if path.is_file() else None
        stamps.append(None if stat is None else [stat.st_size, stat.st_mtime_ns])
    return stamps
