"""Cases in several processes of this machine. A worker that dies costs the case that killed it, and no other."""

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_all_start_methods, get_context, parent_process
from typing import Any

from acnn_nnunet.casewise.work import Item, Result, Value, attempt

# A fork server starts clean, with none of this process's threads; where there is none, every worker starts afresh.
_START_METHOD = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
# Cases handed to the pool at a time, so that thousands of them cost no memory.
_IN_FLIGHT_PER_WORKER = 4
_DEATHS_ALONE = 2
KILLED = "its process was killed, also when it ran alone, most likely for want of memory"

_do: Callable[[str, Any], Result[Any]]
"""The work of this worker process."""


def prepare_workers(modules: Sequence[str]) -> None:
    """Let the workers' parent load modules while this process still looks at the folders."""
    if _START_METHOD == "forkserver":
        from multiprocessing import forkserver

        get_context(_START_METHOD).set_forkserver_preload([__name__, *modules])
        forkserver.ensure_running()


def in_processes(
    work: Callable[[Item], Value], cases: Mapping[str, Item], *, num_processes: int
) -> Iterator[Result[Value]]:
    """Yield the result of each case as it ends.

    The cases that were under way when a worker died are done again, one at a time: that shows which of them kills it.
    A worker may be killed for another's sake, so only a case that kills two when it runs alone is left out.

    Args:
        work: of a case; it and the items are pickled, the work once for each worker.
        cases: items by name.
        num_processes: cases at a time.
    """
    waiting = deque(cases)
    until_broken = partial(_until_broken, work, cases)
    while waiting:
        lost: deque[str] = deque()
        num_workers = min(num_processes, len(waiting))
        yield from until_broken(waiting, lost, num_workers, in_flight=num_workers * _IN_FLIGHT_PER_WORKER)
        deaths: Counter[str] = Counter()
        while lost:
            died: deque[str] = deque()
            yield from until_broken(lost, died, 1, in_flight=1)
            for case in died:
                deaths[case] += 1
                if deaths[case] < _DEATHS_ALONE:
                    lost.append(case)
                else:
                    yield Result(case, error=KILLED)


def _until_broken(
    work: Callable[[Item], Value],
    cases: Mapping[str, Item],
    waiting: deque[str],
    lost: deque[str],
    num_workers: int,
    *,
    in_flight: int,
) -> Iterator[Result[Value]]:
    """Yield results until no case is waiting, or a worker dies: what was under way is then added to `lost`."""
    running: dict[Future[Result[Value]], str] = {}
    context = get_context(_START_METHOD)
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_begin, initargs=(work,)) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < in_flight:
                    running[pool.submit(_do_case, waiting[0], cases[waiting[0]])] = waiting[0]
                    waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    del running[future]
                    yield result
        except BrokenProcessPool:
            whole = [future for future in running if future.done() and future.exception() is None]
            lost.extend(case for future, case in running.items() if future not in whole)
            yield from (future.result() for future in whole)
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(work: Callable[[Item], Value]) -> None:
    """Take the work into this worker, and end with the command when that is killed: it would wait for ever."""
    global _do

    def wait_for_the_end() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    _do = partial(attempt, work)
    threading.Thread(target=wait_for_the_end, daemon=True).start()


def _do_case(case: str, item: Any) -> Result[Any]:
    return _do(case, item)
