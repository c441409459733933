"""Cases on a Dask cluster. A worker that dies costs nothing but time; only a case that kills several is left out."""

import hashlib
import logging
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from acnn_nnunet.casewise.connection import ClusterError, ask_workers, check_files, connected
from acnn_nnunet.casewise.execution import Scheduler
from acnn_nnunet.casewise.processes import KILLED
from acnn_nnunet.casewise.work import Item, Result, SetUpError, Value, attempt

_VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
_BATCHES_PER_THREAD = 3
_SECONDS_PER_BATCH, _LARGEST_BATCH = 0.5, 32
_SECONDS_PER_LOOK = 1.0
_LOST = "The scheduler {} is gone: start it and its workers again, then go on with --continue."

_Batch = list[tuple[str, Any]]
_log = logging.getLogger(__name__)
_lock = threading.Lock()
_loaded: dict[str, Callable[[Any], Any]] = {}
"""The work of the run that this worker is busy with, by the run's name: a model is loaded once."""
_active: list[str] = []
"""The runs that batches under way in this worker belong to."""


def on_cluster(
    work: Callable[[Item], Value],
    cases: Mapping[str, Item],
    *,
    scheduler: Scheduler,
    place: str = "",
    must_see: Sequence[Path] = (),
) -> Iterator[Result[Value]]:
    """Yield the result of each case as it ends.

    Quick cases travel in batches. A batch whose workers die again and again is done case by case.

    Args:
        work: of a case; it and the items are pickled, and the workers see the same paths.
        cases: items by name.
        scheduler: its workers do the cases.
        place: where the results go. What an earlier run for the same place left under way ends first: two must not
            write one file.
        must_see: files that every worker has to see.

    Raises:
        ClusterError: if the scheduler cannot be reached or goes away, or a worker cannot do the work.
        WriteError, SetUpError: as the work raises them.
        ValueError: without Dask.
    """
    if not cases:
        return
    with connected(scheduler) as client:
        check_files(client, must_see)
        mark = hashlib.sha256(place.encode()).hexdigest()[:16]
        while place and any(ask_workers(client, _is_busy_with, mark).values()):
            time.sleep(_SECONDS_PER_LOOK)
        yield from _Run(client, scheduler.address, f"acnn-{mark}-{uuid4().hex}", work, cases).results()


class _Run:
    """One run over cases: what waits, what is under way, how large a batch is."""

    def __init__(
        self, client: Any, address: str, name: str, work: Callable[[Any], Any], cases: Mapping[str, Any]
    ) -> None:
        self.client, self.address, self.name = client, address, name
        self.payload = pickle.dumps(work)
        self.variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        self.cases, self.waiting = cases, deque(cases)
        self.alone: deque[tuple[str, Any]] = deque()
        self.running: dict[str, tuple[Any, _Batch]] = {}
        self.ended: SimpleQueue[str] = SimpleQueue()
        self.num_done, self.seconds = 0, 0.0
        self.threads, self.looked, self.has_warned = 0, 0.0, False

    def results(self) -> Iterator[Result[Any]]:
        """Send batches and yield what comes back."""
        while self.waiting or self.alone or self.running:
            self._send()
            try:
                future, batch = self.running.pop(self.ended.get(timeout=_SECONDS_PER_LOOK))
            except Empty:
                if self.client.status != "running":
                    raise ClusterError(_LOST.format(self.address)) from None
                continue
            yield from self._received(future, batch)

    def _send(self) -> None:
        while (self.waiting or self.alone) and len(self.running) < self._num_threads() * _BATCHES_PER_THREAD:
            if self.waiting:
                names = [self.waiting.popleft() for _ in range(min(self._batch_size(), len(self.waiting)))]
                batch = [(name, self.cases[name]) for name in names]
            else:
                batch = [self.alone.popleft()]
            key = f"{self.name}-{batch[0][0]}-{uuid4().hex}"
            words = (self.name, self.payload, self.variables, batch)
            future = self._reached(partial(self.client.submit, _do_batch, *words, key=key, pure=False))
            self.running[key] = (future, batch)
            future.add_done_callback(lambda done: self.ended.put(done.key))

    def _num_threads(self) -> int:
        """Return how many threads all workers have, at least one; workers may come and go."""
        if time.monotonic() - self.looked > _SECONDS_PER_LOOK:
            self.threads = sum(self._reached(self.client.nthreads).values())
            self.looked = time.monotonic()
            if not self.threads and not self.has_warned:
                self.has_warned = True
                _log.warning("%s has no worker yet: waiting for one.", self.address)
        return max(1, self.threads)

    def _reached(self, ask: Callable[[], Any]) -> Any:
        """Return what the scheduler answers; where it is gone, a client raises one of many errors."""
        try:
            return ask()
        except (OSError, RuntimeError, TimeoutError, CancelledError) as error:
            raise ClusterError(_LOST.format(self.address)) from error

    def _batch_size(self) -> int:
        if not self.num_done:
            return 1
        return max(1, min(_LARGEST_BATCH, int(_SECONDS_PER_BATCH * self.num_done / max(self.seconds, 1e-6))))

    def _received(self, future: Any, batch: _Batch) -> Iterator[Result[Any]]:
        from distributed.scheduler import KilledWorker

        if future.status == "finished":
            results, seconds = self._reached(future.result)
            self.num_done, self.seconds = self.num_done + len(batch), self.seconds + seconds
            yield from results
            return
        if future.status != "error":
            raise ClusterError(_LOST.format(self.address))
        error = self._reached(future.exception)
        if isinstance(error, KilledWorker):
            if len(batch) == 1:
                yield Result(batch[0][0], error=KILLED)
            else:
                self.alone.extend(batch)
            return
        if isinstance(error, ImportError):
            raise ClusterError(f"A worker cannot open the work ({error}): install acnn-nnunet there too.") from error
        raise error


def _do_batch(run: str, payload: bytes, variables: dict[str, str], batch: _Batch) -> tuple[list[Result[Any]], float]:
    """Do some cases in a worker; return their results, and how long they took."""
    work = _work_of(run, payload, variables)
    begun = time.monotonic()
    _active.append(run)
    try:
        results = [attempt(work, case, item) for case, item in batch]
    except SetUpError as error:
        raise SetUpError(f"{_own_address()}: {error}") from error
    finally:
        _active.remove(run)
    return results, time.monotonic() - begun


def _work_of(run: str, payload: bytes, variables: dict[str, str]) -> Callable[[Any], Any]:
    with _lock:
        if run not in _loaded:
            _loaded.clear()
            os.environ.update(variables)
            _loaded[run] = pickle.loads(payload)
        return _loaded[run]


def _is_busy_with(mark: str) -> bool:
    """Return whether this worker is at work for a place."""
    return any(run.startswith(f"acnn-{mark}-") for run in list(_active))


def _own_address() -> str:
    with suppress(ImportError, ValueError):
        from distributed import get_worker

        return f"the worker {get_worker().address}"
    return "a worker"
