"""What the studies share: nnU-Net's three folders in a scratch folder, and commands of one thread there."""

import contextlib
import fcntl
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Runs a command of a package whose scripts are not on the path, as where only its files were unpacked.
_ENTRY = (
    "import sys; from importlib.metadata import entry_points; sys.argv = sys.argv[1:]; "
    "sys.exit(next(iter(entry_points(group='console_scripts', name=sys.argv[0]))).load()())"
)


class HostFolders:
    """nnU-Net's raw, preprocessed and results folders of a study.

    Several jobs may work in one, threads or processes: what two of them need is done under a lock, and every child has
    a log of its own.

    Attributes:
        folder: that holds them.
        environment: of every child.
        in_process: whether children's work and this package's commands are done in this process, one of `run_all`'s
            with this environment. Each child loads torch and nnU-Net anew: of a minute's training on a GPU, a fifth.
    """

    def __init__(self, folder: Path):
        self.folder, self.in_process = folder, False
        self.environment = {
            **os.environ,
            **{f"nnUNet_{part}": str(folder / part) for part in ("raw", "preprocessed", "results")},
            "nnUNet_n_proc_DA": "1",
            # Jobs of one thread: nnUNetv2_train would take all cores for each.
            "OMP_NUM_THREADS": "1",
            # glibc would hand every large tensor back to the system, and page it in again.
            "MALLOC_MMAP_MAX_": "0",
            "MALLOC_TRIM_THRESHOLD_": str(2**33),
            "nnUNet_def_n_proc": "1",
            "nnUNet_compile": "f",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }

    def make(self) -> None:
        """Make the three folders."""
        for part in ("raw", "preprocessed", "results"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)

    def link_raw(self, source: Path) -> Path:
        """Return the dataset's folder among the raw ones, a link to where it is."""
        link = self.folder / "raw" / source.name
        if not link.exists():
            link.symlink_to(source)
        return link

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a lock of this name against every other job in these folders."""
        with open(self.folder / f"{name}.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def configure(self, dataset_id: int, base: str, name: str, settings: dict) -> None:
        """Write a configuration by the command that a user would type."""
        plain = {key: str(value).lower() if isinstance(value, bool) else value for key, value in settings.items()}
        words = " ".join(shlex.quote(f"{key}={value}") for key, value in plain.items())
        with self.locked("plans"):
            self.command(f"acnn-nnunet configure {dataset_id} -c {base} -n {name} {words}")

    def child(self, task: str, arguments: dict, name: str, *, workers: int = 0) -> dict:
        """Run a task of `training.py` in a process of its own, with its log, and return its result.

        Args:
            task: of `training.py`.
            arguments: of the task.
            name: of the log, and with the task's of the result.
            workers: that load its batches. With none it loads them: more steps a minute on a CPU than with a worker
                beside each job, and a run repeats exactly. nnU-Net's planner fails with none.
        """
        if self.in_process:
            return _run_task(task, arguments, self.folder / f"{name}.txt", workers)
        output = self.folder / f"{name}_{task}.json"
        output.unlink(missing_ok=True)
        words = [sys.executable, "-m", "scripts.studies.training", task, json.dumps(arguments), str(output)]
        self.logged(words, f"{name}.txt", nnUNet_n_proc_DA=str(workers))
        return json.loads(output.read_text())

    def command(self, line: str, *, log: str = "log.txt") -> None:
        """Run one command as a user would type it, its words in a log file of the folder."""
        program, *words = shlex.split(line)
        own = program == "acnn-nnunet"  # which need not be installed
        if own and self.in_process:
            _run_command(words, self.folder / log)
            return
        head = ["-m", "acnn_nnunet.cli"] if own else ["-c", _ENTRY, program]
        self.logged([sys.executable, *head, *words], log)

    def logged(self, words: list[str], log: str, **variables: str) -> None:
        """Run a process, its words in a log file, with further environment variables.

        Raises:
            SystemExit: if it fails; names the log.
        """
        log_file, environment = self.folder / log, {**self.environment, **variables}
        with open(log_file, "a") as file:
            file.write(f"$ {shlex.join(words)}\n")
            file.flush()
            status = subprocess.run(words, stdout=file, stderr=subprocess.STDOUT, env=environment)
        if status.returncode:
            sys.exit(f"'{shlex.join(words)}' failed with {status.returncode}: see the end of {log_file}")

    def trainer_folder(self, dataset: str, trainer: str, configuration: str, fold: int | str) -> Path:
        """Return where the host puts a training of the dataset of this folder name."""
        return self.folder / "results" / dataset / f"{trainer}__nnUNetPlans__{configuration}" / f"fold_{fold}"


def _run_task(task: str, arguments: dict, log: Path, workers: int) -> dict:
    """Do a task of `training.py` in this process."""
    os.environ["nnUNet_n_proc_DA"] = str(workers)  # read when loaders are made
    with _logged_to(log):
        from scripts.studies import training

        return getattr(training, task)(**arguments)


def _run_command(words: list[str], log: Path) -> None:
    """Run a command of this package in this process.

    Raises:
        SystemExit: if it fails; names the log.
    """
    with _logged_to(log):
        from acnn_nnunet.cli import main

        status = main(words)
    if status:
        sys.exit(f"'acnn-nnunet {shlex.join(words)}' failed with {status}: see the end of {log}")


@contextlib.contextmanager
def _logged_to(log: Path) -> Iterator[None]:
    with open(log, "a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield
