"""Kill commands at random moments and start them again: nothing may be lost, done twice or taken for whole.

    python -m scripts.benchmarks.kills --work FOLDER [--moments 20] [--only evaluate predict_hr …]

Each command runs undisturbed. Then, for every moment, it is started in a fresh output folder, its process group is
killed (`kill -9`) after a share of the undisturbed time, every other time counted from its first file on, and it is
started again with `--c`, `--continue` or `--continue_prediction`. The output must equal the undisturbed one: tables
line by line, label maps and pages byte by byte. Trainings draw other batches after a kill, so their checkpoints must
load, the epochs go on where the checkpoint stands, and the logs hold each epoch once.

Commands are forked off this process, which has loaded nnU-Net and PyTorch: start-up of seconds writes nothing.
Writes NAME.json of each command to --results after every kill; a command goes on with the moments that are left.
"""

import argparse
import importlib
import json
import math
import os
import platform
import random
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scripts.benchmarks.killed_commands import KilledCommand, commands, environment_of, is_leftover, make_data

SEED = 0
RUN_LIMIT_S = 600
TRIES, EARLIER = 8, 0.8
_MODULES = (
    "matplotlib.pyplot",
    "nnunetv2.run.run_training",
    "acnn_nnunet.trainers",
    "acnn_nnunet.cli",
    "acnn_nnunet.evaluation.command",
    "acnn_nnunet.evaluation.page",
    "acnn_nnunet.plausibility.command",
    "acnn_nnunet.sr.inference.command",
)


def main() -> None:
    """Kill the commands that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="scratch folder; its data are made once")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/kills"))
    parser.add_argument("--moments", type=int, default=20, help="kills of each command")
    parser.add_argument("--minutes", type=float, default=1e9, help="after which a command is killed no more")
    parser.add_argument("--only", nargs="+", choices=list(commands()), metavar="NAME", help=", ".join(commands()))
    arguments = parser.parse_args()
    work, results = arguments.work.resolve(), arguments.results.resolve()
    make_data(work)
    os.environ.update(environment_of(work))  # before nnU-Net is loaded: it reads them then
    for module in _MODULES:
        importlib.import_module(module)
    from acnn_nnunet.files.safe_writes import write_json

    results.mkdir(parents=True, exist_ok=True)
    for name in arguments.only or commands():
        path = results / f"{name}.json"
        kills = json.loads(path.read_text())["kills"] if path.is_file() else []
        if len(kills) < arguments.moments:
            limits = {"num_moments": arguments.moments, "minutes": arguments.minutes}
            for found in measure(name, commands()[name], work, kills, **limits):
                write_json(path, {**found, "machine": describe_machine()})
        found = json.loads(path.read_text())
        print(f"{name}: {found['moments']} moments, {found['living']} living, {found['equal']} equal", flush=True)


def measure(
    name: str,
    command: KilledCommand,
    work: Path,
    kills: Sequence[dict[str, Any]] = (),
    *,
    num_moments: int,
    minutes: float,
) -> Iterator[dict[str, Any]]:
    """Yield, after each kill, how many kills of a command left an output that ends like an undisturbed one.

    Args:
        name: of the command.
        command: what is killed.
        work: folder of the data.
        kills: those of an earlier run, of the first moments.
        num_moments: kills.
        minutes: after which no further one begins.

    Raises:
        RuntimeError: if the undisturbed run fails.
    """
    end = time.monotonic() + 60 * minutes
    kills = list(kills)
    expected, silent_s, writing_s = undisturbed(name, command, work)
    for index, share in list(enumerate(shares(num_moments, seed=f"{SEED} {name}")))[len(kills) :]:
        if time.monotonic() > end:
            break
        moment = Moment(share, silent_s + writing_s) if index % 2 else Moment(share, writing_s, from_first_file=True)
        kills.append(kill_once(command, work, expected, moment))
        print(f"{name}: {kills[-1]}", flush=True)
        yield {
            "command": list(command.lines),
            "again": list(command.again),
            "undisturbed_s": round(silent_s + writing_s, 2),
            "first_file_s": round(silent_s, 2),
            "moments": len(kills),
            "living": sum(kill["living"] for kill in kills),
            "equal": sum(not kill["differences"] for kill in kills),
            "kills": kills,
        }


def undisturbed(name: str, command: KilledCommand, work: Path) -> tuple[dict[str, Any], float, float]:
    """Return a command's undisturbed output, the seconds before its first file, and those after, of the faster of two.

    Raises:
        RuntimeError: if it fails.
    """
    times_s = []
    for _ in range(2):
        command.prepare(work)
        run = Run(command.lines, work, command.output)
        status, words = run.wait()
        times_s.append((run.first_file_s, run.ended_s - run.first_file_s))
        if status:
            raise RuntimeError(f"{name} fails undisturbed: {words[-1000:]}")
    return command.describe(work / command.output), *min(times_s, key=sum)


def shares(number: int, *, seed: str) -> list[float]:
    """Return random shares of a run's time in random order, one in each of as many equal parts of it."""
    generator = random.Random(seed)
    return generator.sample([(part + generator.random()) / number for part in range(number)], number)


@dataclass(frozen=True)
class Moment:
    """A moment of a run.

    Attributes:
        share: of the time.
        of_s: that time, of an undisturbed run.
        from_first_file: count from the first file in the output on, so that kills meet the writing.
    """

    share: float
    of_s: float
    from_first_file: bool = False


def kill_once(command: KilledCommand, work: Path, expected: dict[str, Any], moment: Moment) -> dict[str, Any]:
    """Kill a command at a moment, start it again, and return what differs from the undisturbed output.

    A run that has ended before its moment is tried again with an earlier one.
    """
    output = work / command.output
    for _ in range(TRIES):
        command.prepare(work)
        run = Run(command.lines, work, command.output)
        if living := run.kill(moment):
            break
        moment = replace(moment, share=EARLIER * moment.share)
    files = [path for path in output.rglob("*") if path.is_file()] if output.is_dir() else []
    result = {
        "share": round(moment.share, 4),
        "from": "first file" if moment.from_first_file else "start",
        "living": living,
        "new_files_at_kill": len(files) - run.files_before,
        "unfinished_at_kill": sum(map(is_leftover, files)),
    }
    try:
        at_kill = command.describe(output)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        return {**result, "differences": [f"at the kill: {' '.join(str(error).split())[:300]}"]}
    status, words = Run(command.again, work, command.output).wait()
    if status:
        last = (words.strip().splitlines() or ["no word"])[-1]
        return {**result, "differences": [f"the second start ended with {status}: {last}"]}
    found = command.complaints(expected, at_kill, words) + differences(expected, command.describe(output))
    return {**result, "differences": found}


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return a sentence for each entry that is lost, too much or another one."""
    lost = [f"{name} is lost" for name in expected if name not in found]
    more = [f"{name} is too much" for name in found if name not in expected]
    other = [f"{name} differs" for name in expected if name in found and found[name] != expected[name]]
    return lost + more + other


class Run:
    """Commands, one after another, in a process group of their own that was forked off this process.

    Args:
        lines: the commands.
        work: the folder that they run in; their words go to `words.txt` there.
        output: the folder that they write, below it.

    Attributes:
        first_file_s: when a file of theirs was first seen in the output; when they ended, if none was.
        ended_s: when they ended.
        files_before: files in the output before.
    """

    def __init__(self, lines: tuple[str, ...], work: Path, output: str):
        self.words, self.output = work / "words.txt", work / output
        self.files_before = self._count_files()
        self.first_file_s = self.ended_s = math.inf
        self.start = time.monotonic()
        self.process_id = os.fork()
        if self.process_id == 0:
            status = 1
            try:
                os.setpgid(0, 0)
                os.chdir(work)
                file = os.open(self.words, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(file, 1)
                os.dup2(file, 2)
                status = _run_lines(lines)
            finally:
                os._exit(status)

    def wait(self) -> tuple[int, str]:
        """Return the exit status and the words."""
        ended = self._ended_before(lambda: RUN_LIMIT_S)
        if not ended:
            self._kill_group()
        return self.status if ended else 124, self.words.read_text(errors="replace")

    def kill(self, moment: Moment) -> bool:
        """Kill the group at a moment and return whether it was at work."""

        def after_s() -> float:
            return moment.share * moment.of_s + (self.first_file_s if moment.from_first_file else 0)

        ended = self._ended_before(after_s)
        if not ended:
            self._kill_group()
        return not ended

    def _ended_before(self, limit_s: Callable[[], float]) -> bool:
        """Wait for the end or for a time, and return whether the end came."""
        while True:
            passed_s = time.monotonic() - self.start
            process_id, status = os.waitpid(self.process_id, os.WNOHANG)
            if self.first_file_s == math.inf and (process_id or self._count_files() > self.files_before):
                self.first_file_s = passed_s
            if process_id:
                self.status, self.ended_s = os.waitstatus_to_exitcode(status), passed_s
                return True
            if passed_s >= limit_s():
                return False
            time.sleep(0.003)

    def _count_files(self) -> int:
        return sum(len(files) for _, _, files in os.walk(self.output))

    def _kill_group(self) -> None:
        try:
            os.killpg(self.process_id, signal.SIGKILL)
        except ProcessLookupError:  # it has no group of its own yet
            os.kill(self.process_id, signal.SIGKILL)
        os.waitpid(self.process_id, 0)
        # Grandchildren die with the group, a moment later.
        while _group_lives(self.process_id):
            time.sleep(0.01)


def _group_lives(group: int) -> bool:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group_of = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(group_of) == group and state != "Z":
            return True
    return False


def _run_lines(lines: tuple[str, ...]) -> int:
    """Run each line in a child of its own, until one fails."""
    for line in lines:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = _run_line(line)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            return status
    return 0


def _run_line(line: str) -> int:
    import traceback

    from nnunetv2.run.run_training import run_training_entry

    from acnn_nnunet.cli import main as acnn_nnunet

    sys.argv = shlex.split(line)
    try:
        if sys.argv[0] == "acnn-nnunet":
            return acnn_nnunet()
        run_training_entry()
        return 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1


def describe_machine() -> dict[str, Any]:
    """Return what the commands ran on and with."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    return {
        "cpu": next((line.split(":")[1].strip() for line in cpuinfo if "model name" in line), "unknown"),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", "nnunetv2", "acnn-nnunet")},
        "date": time.strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    main()
