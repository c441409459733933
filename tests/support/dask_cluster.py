"""A Dask scheduler and workers on loopback: in this process for their answers, as processes to kill."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from distributed import LocalCluster

_SUPPORT, _ROOT = Path(__file__).parent, Path(__file__).parents[2]


@contextmanager
def cluster_here(*, num_workers=1, security=None):
    """Give the address of a scheduler with workers in threads of this process."""
    protocol = "tls://" if security else "tcp://"
    with LocalCluster(
        n_workers=num_workers,
        threads_per_worker=1,
        processes=False,
        dashboard_address=":0",
        protocol=protocol,
        host="127.0.0.1",
        security=security,
        silence_logs=50,
    ) as cluster:
        yield cluster.scheduler_address


class ProcessCluster:
    """A scheduler and workers, each a process that can be killed."""

    def __init__(self, folder, num_workers=2):
        self.folder, self.file = Path(folder), Path(folder) / "scheduler.json"
        paths = os.pathsep.join([str(_ROOT), str(_SUPPORT)])
        self.environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self._wait()
        self.workers = [self.add_worker() for _ in range(num_workers)]

    def add_worker(self):
        """Start a worker without a nanny that would start it again."""
        words = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
        return self._start("worker", *words, "--local-directory", str(self.folder))

    def _wait(self):
        """Wait until the scheduler file is there, to its last bracket."""
        deadline = time.monotonic() + 120
        while not (self.file.is_file() and self.file.read_text().rstrip().endswith("}")):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def stop(self):
        """End everything."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def _start(self, what, *words):
        command = [sys.executable, "-m", "distributed.cli.dask_" + what, *words, "--scheduler-file", str(self.file)]
        log = (self.folder / f"{what}.txt").open("ab")
        with log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, cwd=self.folder)
