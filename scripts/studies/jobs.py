"""Jobs of a study in processes that live on: each loads torch and nnU-Net once, and does one job after the other."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

Call = tuple[Callable[..., Any], tuple[Any, ...]]


def run_all(calls: Iterable[Call], *, environment: Mapping[str, str], ends: float, processes: int) -> None:
    """Run calls in order, several at a time; what would begin after `ends` is left for later, with a word.

    Args:
        calls: functions and their arguments, which pickle.
        environment: of all jobs; nnU-Net reads its folders when it is imported, glibc its settings when it starts.
        ends: as `time.time()` counts.
        processes: at a time.

    Raises:
        SystemExit: after all others, if a job failed; each has said why.
    """
    with _environment(environment), ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        names: dict[Future, str] = {}
        for function, arguments in calls:
            names[pool.submit(_in_time, ends, function, arguments)] = f"{function.__name__}{arguments}"
        failed = []
        for each in as_completed(names):
            error = each.exception()
            if error is not None:
                failed.append(names[each])
                print(f"{names[each]} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    if failed:
        sys.exit(f"{len(failed)} of {len(names)} jobs failed: {', '.join(failed)}")


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process's environment, which its children inherit, and put back what was there."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _in_time(ends: float, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    if time.time() > ends:
        print(f"the time is over: {function.__name__}{arguments} is left for later", flush=True)
        return
    function(*arguments)
