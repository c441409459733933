"""Commands under watch, and a Dask scheduler and workers on loopback, for the benchmark of cohorts."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from distributed import Client

from scripts.benchmarks.killed_commands import environment_of


@dataclass
class Watch:
    """What a command and all around it took: peak memory by polling, processor time at the end.

    Attributes:
        peak_driver_mib: of the command's own process.
        peak_all_mib: of the command, its processes, the scheduler and the workers together.
        cpu_s: processor time of all of them.
        wall_s: time by the clock.
        cases_s: from the first case that the command wrote down to the last; 0 where nobody looked.
        exit_code: of the command.
        load: of the machine at the start.
        others_cpu_s: processor time of everything else on the machine meanwhile; a time by the clock wants it small.
    """

    peak_driver_mib: float = 0.0
    peak_all_mib: float = 0.0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    cases_s: float = 0.0
    exit_code: int = 0
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    others_cpu_s: float = 0.0

    def per_case_ms(self, num_cases: int) -> float:
        """Return processor milliseconds per case."""
        return 1000 * self.cpu_s / num_cases


class Cluster:
    """A scheduler and workers on loopback, that can be killed one by one; `pinned` ones have a core each."""

    def __init__(self, work: Path, num_workers: int = 2, *, pinned: bool = False) -> None:
        self.work, self.file = work, work / "scheduler.json"
        self.file.unlink(missing_ok=True)
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        while not (self.file.is_file() and self.file.read_text().rstrip().endswith("}")):
            time.sleep(0.1)
        self.workers = [self.add_worker(core if pinned else None) for core in range(num_workers)]
        with Client(scheduler_file=str(self.file), set_as_default=False) as client:
            client.wait_for_workers(num_workers)  # a command meets a cluster that is up

    def add_worker(self, core: int | None = None) -> subprocess.Popen:
        """Start a worker of one thread, on one core or any."""
        words = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
        worker = self._start("worker", *words, "--local-directory", str(self.work))
        if core is not None:
            os.sched_setaffinity(worker.pid, {core})  # before its threads start, which inherit it
        return worker

    def stop(self) -> None:
        """End what is still there."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def _start(self, what: str, *words: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *words, "--scheduler-file", str(self.file)]
        with open(self.work / f"{what}.txt", "ab") as log:
            return subprocess.Popen(command, env=environment(self.work), stdout=log, stderr=log, cwd=self.work)


@contextmanager
def cluster(work: Path, num_workers: int = 2, *, pinned: bool = False):
    """Give a cluster, and end it."""
    made = Cluster(work, num_workers, pinned=pinned)
    try:
        yield made
    finally:
        made.stop()


def environment(work: Path) -> dict[str, str]:
    """Return the variables that every process here gets; Dask's profiler is off, as docs/guide/cluster.md says."""
    return {**os.environ, **environment_of(work), "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false"}


def start(work: Path, words: list[str]) -> subprocess.Popen:
    """Start a command, its words in log.txt."""
    with open(work / "log.txt", "ab") as log:
        command = [sys.executable, "-m", "acnn_nnunet.cli", *words]
        return subprocess.Popen(command, cwd=work, env=environment(work), stdout=log, stderr=log)


def watch(process: subprocess.Popen, beside: Cluster | None = None, journal: Path | None = None) -> Watch:
    """Wait for a command and return what it and the cluster took; its journal tells when the cases were done."""
    found, begun, busy_before = Watch(), time.monotonic(), busy_s()
    others = [] if beside is None else [psutil.Process(each.pid) for each in (beside.scheduler, *beside.workers)]
    before = sum(cpu_of(each) for each in others)
    driver = psutil.Process(process.pid)
    seen: dict[int, float] = {}
    grown: dict[int, float] = {}
    while process.poll() is None:
        try:
            own = driver.memory_info().rss / 2**20
            children = driver.children(recursive=True)
            found.peak_driver_mib = max(found.peak_driver_mib, own)
            rest = [each.memory_info().rss / 2**20 for each in (*children, *others)]
            found.peak_all_mib = max(found.peak_all_mib, own + sum(rest))
            seen |= {each.pid: cpu_of(each) for each in (driver, *children)}
        except psutil.Error:
            pass
        if journal is not None and journal.is_file():
            grown.setdefault(journal.stat().st_size, time.monotonic())
        time.sleep(0.2)
    found.cases_s = cases_s(grown)
    found.wall_s = time.monotonic() - begun
    found.cpu_s = sum(seen.values()) + sum(cpu_of(each) for each in others) - before
    found.others_cpu_s = busy_s() - busy_before - found.cpu_s
    found.exit_code = process.returncode
    return found


def cases_s(grown: dict[int, float]) -> float:
    """Return the time between a journal's first case and its last, of when it was first seen at each size.

    Its first size, with the header alone, does not count.
    """
    moments = [moment for size, moment in sorted(grown.items()) if size][1:]
    return moments[-1] - moments[0] if moments else 0.0


def busy_s() -> float:
    """Return the processor seconds of the whole machine since it started, with those that its host took from it."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice


def cpu_of(process: psutil.Process) -> float:
    """Return the processor seconds of a process."""
    times = process.cpu_times()
    return times.user + times.system
