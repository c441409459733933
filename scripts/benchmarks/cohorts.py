"""Tens of thousands of cases: memory, cost per case, speed-up, the price of Dask, kills and broken inputs.

    python -m scripts.benchmarks.cohorts all --work FOLDER [--results benchmarks/cohorts] [--maps 20000] [--few 2000]
    python -m scripts.benchmarks.cohorts scale|throughput|executors|kills|broken|drivers|pages --work FOLDER

`scale`: `evaluate` and `codes` on FEW and on MAPS label maps, two workers on loopback: peak memory of the command and
of everything together, processor seconds (of command, scheduler and workers) per case; neither minds other programs
much. `throughput`: one Dask worker against two, on small maps and on maps of 16×200×200 voxels. `executors`: two
local processes against two Dask workers. `kills`: SIGKILL of a worker, the driver or the scheduler at random moments,
then `--continue`. `broken`: 1 % of the inputs broken in eight ways. `drivers`: memory of the other commands' own
processes. `pages`: how long pages of MAPS cases take to open. The maps are phantom hearts of 16×20×20 voxels
under many names; a small prior is trained on them once. Each step writes one JSON file; what is there is not measured
again. A step that was stopped goes on: each of its runs is kept under FOLDER/measured (delete that folder to measure
anew).
Times by the clock want an idle machine: runs are repeated, the quickest counts, and `others_cpu_s` says what else ran.
"""

import argparse
import json
import os
import platform
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import SimpleITK

from acnn_nnunet.files.safe_writes import write_json
from scripts.benchmarks.broken_files import BREAKS
from scripts.benchmarks.cohort_drivers import drivers, pages  # noqa: F401 - steps, by their names
from scripts.benchmarks.cohort_processes import Cluster, cluster, start, watch
from scripts.benchmarks.killed_commands import DATASET, QUICK, ROOT, make_data

RESULTS = ROOT / "benchmarks" / "cohorts"
STEPS = ("scale", "throughput", "executors", "kills", "broken", "drivers", "pages")
PRIOR = f"trained/{DATASET}/ShapePriorTrainer__nnUNetPlans__{QUICK}/fold_0/checkpoint_final.pth"
_ENTRY = re.compile(rb'\{"case": "([^"]*)".*\}')  # a case's line in a journal, to its end
VICTIMS = ("worker", "driver", "scheduler")
LABELS = ["-l", "1", "2", "3"]
_SPEEDUPS = {"speedup": "wall", "speedup_of_cases": "cases"}


def maps_of(work: Path, num_maps: int, *, kind: str = "small") -> tuple[Path, Path]:
    """Return folders of references and predictions with so many cases, links to a few files."""
    ending = f"{num_maps}" if kind == "small" else f"{kind}_{num_maps}"
    folders = work / f"gt_{ending}", work / f"pred_{ending}"
    sources = work / "raw" / DATASET / "labelsTr", work / "predictions"
    for folder, source in zip(folders, sources, strict=True):
        if folder.is_dir():
            continue
        folder.mkdir()
        files = sorted((source if kind == "small" else enlarged(source, work / kind)).glob("*.nii.gz"))
        for number in range(num_maps):
            os.link(files[number % len(files)], folder / f"case_{number:06d}.nii.gz")
    return folders


def enlarged(source: Path, folder: Path) -> Path:
    """Write label maps with ten times as many pixels along both axes of a slice, and return their folder."""
    target = folder / source.name
    target.mkdir(parents=True, exist_ok=True)
    for path in source.glob("*.nii.gz"):
        small = SimpleITK.ReadImage(str(path))
        large = SimpleITK.Expand(small, [10, 10, 1], SimpleITK.sitkNearestNeighbor)
        SimpleITK.WriteImage(SimpleITK.Cast(large, SimpleITK.sitkUInt8), str(target / path.name))
    return target


def evaluate_words(work: Path, num_maps: int, output: Path, *, kind: str = "small") -> list[str]:
    """Return the words of `evaluate`."""
    gt, pred = maps_of(work, num_maps, kind=kind)
    return ["evaluate", str(gt), str(pred), "-o", str(output), *LABELS]


def codes_words(work: Path, num_maps: int, output: Path) -> list[str]:
    """Return the words of `codes`."""
    return [
        "codes",
        str(maps_of(work, num_maps)[0]),
        "-o",
        str(output.with_suffix(".csv")),
        "--prior",
        str(work / PRIOR),
    ]


COMMANDS: dict[str, Callable[[Path, int, Path], list[str]]] = {"evaluate": evaluate_words, "codes": codes_words}


def scale(work: Path, sizes: argparse.Namespace) -> dict[str, Any]:
    """Measure both commands on few and on many maps, on a cluster."""
    found: dict[str, Any] = {}
    start, few, many = sizes.few // 10, sizes.few, sizes.maps
    for name, words in COMMANDS.items():
        taken = {
            size: remembered(work, f"scale_{name}_{size}", partial(_watched_run, work, name, words, size))
            for size in (start, few, many)
        }
        # Every process starts and loads its libraries once: only the cases beyond the first few tell their cost.
        among_few, among_many = (
            (taken[b]["cpu_s"] - taken[a]["cpu_s"]) / (b - a) * 1000 for a, b in ((start, few), (few, many))
        )
        found[name] = {
            "sizes": {str(size): values for size, values in taken.items()},
            "memory_of_all_ratio": taken[many]["peak_all_mib"] / taken[few]["peak_all_mib"],
            "memory_of_driver_ratio": taken[many]["peak_driver_mib"] / taken[few]["peak_driver_mib"],
            "cpu_ms_per_case_among_few": among_few,
            "cpu_ms_per_case_among_many": among_many,
            "cost_per_case_ratio": among_many / among_few,
        }
    return {**found, "targets": {"memory ratios": "≤ 1.10", "cost per case": "within 10 %"}}


def _watched_run(work: Path, name: str, words: Callable[[Path, int, Path], list[str]], size: int) -> dict[str, Any]:
    with cluster(work) as made:
        output = fresh(work / f"out_{name}_{size}")
        watched = watch(start(work, [*words(work, size, output), "--scheduler", str(made.file)]), made)
    return {**vars(watched), "cpu_ms_per_case": watched.per_case_ms(size)}


def remembered(work: Path, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a run's numbers: those that are kept in the work folder, or measured now and kept."""
    file = work / "measured" / f"{name}.json"
    if not file.is_file():
        found = measure()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, found)
    return json.loads(file.read_text(encoding="utf-8"))


def throughput(work: Path, sizes: argparse.Namespace) -> dict[str, Any]:
    """Measure two workers against one, on a cluster: small maps, and maps of a clinical size.

    On a core of its own each, as Slurm gives it, and on any core: the library of distances has threads of its own.
    """
    found: dict[str, Any] = {}
    for (kind, num_maps), pinned in product((("small", sizes.few), ("large", sizes.large)), (True, False)):
        name, taken = f"{kind}_pinned" if pinned else kind, {}
        for workers in (1, 2):
            measure = partial(_timed, work, num_maps, workers, kind=kind, pinned=pinned)
            taken[workers] = best_of(work, f"throughput_{name}_{workers}", measure, sizes.repeats)
        speedups = {key: taken[1][f"{of}_s"] / taken[2][f"{of}_s"] for key, of in _SPEEDUPS.items()}
        found[name] = {"maps": num_maps, "workers": {str(n): each for n, each in taken.items()}, **speedups}
    return {**found, "target": "≥ 1.8"}


def executors(work: Path, sizes: argparse.Namespace) -> dict[str, Any]:
    """Measure two Dask workers against two local processes."""
    local = best_of(work, "executors_local", partial(_timed, work, sizes.few, 0), sizes.repeats)
    dask = best_of(work, "throughput_small_2", partial(_timed, work, sizes.few, 2), sizes.repeats)
    return {
        "local": local,
        "dask": dask,
        "time_ratio": dask["wall_s"] / local["wall_s"],
        "cpu_ratio": dask["cpu_s"] / local["cpu_s"],
        "target": "time ratio ≤ 1.15",
    }


def best_of(work: Path, name: str, measure: Callable[[], dict[str, Any]], repeats: int) -> dict[str, Any]:
    """Return the quickest of several runs, which is the least disturbed one, with the times of all."""
    runs = [remembered(work, f"{name}_{number}", measure) for number in range(repeats)]
    return {**min(runs, key=lambda run: run["wall_s"]), "wall_s_of_all": [run["wall_s"] for run in runs]}


def _timed(work: Path, num_maps: int, num_workers: int, *, kind: str = "small", pinned: bool = False) -> dict[str, Any]:
    """Evaluate with so many Dask workers, or with two local processes for 0."""
    output = fresh(work / "out_t")
    words, journal = evaluate_words(work, num_maps, output, kind=kind), output / "parts" / "part_0_of_1.jsonl"
    if not num_workers:
        return vars(watch(start(work, [*words, "-np", "2"]), journal=journal))
    with cluster(work, num_workers, pinned=pinned) as made:
        return vars(watch(start(work, [*words, "--scheduler", str(made.file)]), made, journal))


def kills(work: Path, sizes: argparse.Namespace) -> dict[str, Any]:
    """Kill something at random moments, go on, and compare with an undisturbed run."""
    rng = random.Random(0)
    undisturbed = fresh(work / "out_k")
    with cluster(work) as made:
        taken = watch(
            start(work, [*evaluate_words(work, sizes.killed_maps, undisturbed), "--scheduler", str(made.file)])
        )
    expected = tables_of(undisturbed)
    found: dict[str, Any] = {"undisturbed_s": taken.wall_s, "maps": sizes.killed_maps}
    for what, count in zip(VICTIMS, sizes.kills, strict=True):
        moments = [rng.uniform(0.05, 0.95) * taken.wall_s for _ in range(count)]
        trials = []
        for number, moment in enumerate(moments):
            trial = partial(kill_once, work, what, moment, expected, sizes.killed_maps)
            trials.append(remembered(work, f"kill_{what}_{sizes.killed_maps}_{number}", trial))
            outcome = "equal" if trials[-1]["equal"] else "DIFFERENT"
            print(f"{what} killed at {trials[-1]['moment_s']} s: {outcome}", flush=True)
        equal = sum(trial["equal"] for trial in trials)
        found[what] = {"moments": count, "equal": equal, "trials": trials}
    return {**found, "target": "every case exactly once, tables equal byte for byte"}


def kill_once(work: Path, what: str, moment_s: float, expected: dict[str, bytes], num_maps: int) -> dict[str, Any]:
    """Kill one process at a moment, go on until all is done, and return what came of it."""
    output = fresh(work / "out_k1")
    made = Cluster(work)
    words = evaluate_words(work, num_maps, output)
    driver = start(work, [*words, "--scheduler", str(made.file)])
    try:
        time.sleep(moment_s)
        victim = {"worker": made.workers[0], "driver": driver, "scheduler": made.scheduler}[what]
        ended_before = driver.poll() is not None
        done = len(cases_in(output))
        victim.send_signal(signal.SIGKILL)
        first = driver.wait(timeout=600)
        if what == "scheduler":
            made.stop()
            made = Cluster(work)
        again = 0
        if first != 0:
            again = start(work, [*words, "--scheduler", str(made.file), "--continue"]).wait(timeout=600)
    finally:
        made.stop()
    entries = len(cases_in(output))
    return {
        "moment_s": round(moment_s, 2),
        "cases_at_kill": done,
        "ended_before": ended_before,
        "exit_codes": [first, again],
        "entries": entries,
        "equal": tables_of(output) == expected and entries == num_maps,
    }


def cases_in(output: Path) -> list[str]:
    """Return the cases that a run has written down, as often as it has."""
    journal = output / "parts" / "part_0_of_1.jsonl"
    lines = journal.read_bytes().split(b"\n") if journal.is_file() else []
    return [match[1].decode() for line in lines if (match := _ENTRY.fullmatch(line))]


def tables_of(output: Path) -> dict[str, bytes]:
    """Return the content of a run's tables."""
    names = ("cases.csv", "cases_largest_component.csv", "status.csv", "summary.json")
    return {name: (output / name).read_bytes() for name in names if (output / name).is_file()}


def broken(work: Path, sizes: argparse.Namespace) -> dict[str, Any]:
    """Break 1 % of the inputs in eight ways, and see that each costs itself."""
    folders = tuple(work / f"broken_{side}" for side in ("gt", "pred"))
    for folder, source in zip(folders, maps_of(work, sizes.few), strict=True):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
    names = random.Random(1).sample(sorted(path.name for path in folders[1].iterdir()), sizes.few // 100)
    for number, name in enumerate(names):
        BREAKS[number % len(BREAKS)](folders[1] / name)
    output = fresh(work / "out_b")
    with cluster(work) as made:
        words = ["evaluate", *map(str, folders), "-o", str(output), *LABELS, "--scheduler", str(made.file)]
        taken = watch(start(work, words), made)
    rows = [line.split(",", 2) for line in (output / "status.csv").read_text().splitlines()[1:]]
    failed = {f"{case}.nii.gz": reason for case, status, reason in rows if status == "failed"}
    return {
        "cases": sizes.few,
        "broken": len(names),
        "failed_rows": len(failed),
        "failed_are_the_broken": set(failed) == set(names),
        "each_has_a_reason": all(failed.values()),
        "done": sum(status == "done" for _, status, _ in rows),
        "exit_code": taken.exit_code,
        "reasons": {BREAKS[number].__name__: failed.get(names[number], "")[-160:] for number in range(len(BREAKS))},
        "target": "all others done, one row and reason per failure, exit code 1",
    }


def fresh(output: Path) -> Path:
    """Remove an output of before, and return its path."""
    for path in (output, output.with_suffix(".csv"), output.with_suffix(".csv.run")):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return output


def describe_machine() -> dict[str, Any]:
    """Return what the commands ran on, with what, and how busy it was."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return {
        "cpu": next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown"),
        "cores": os.cpu_count(),
        "load_at_the_end": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{package: version(package) for package in ("distributed", "torch", "nnunetv2", "acnn-nnunet")},
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> None:
    """Measure the steps that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["all", *STEPS])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and outputs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--maps", type=int, default=20_000)
    parser.add_argument("--few", type=int, default=2_000)
    parser.add_argument("--large", type=int, default=1000, help="maps of a clinical size for `throughput`")
    parser.add_argument("--repeats", type=int, default=3, help="of runs whose time by the clock counts; the best does")
    parser.add_argument("--killed-maps", type=int, default=400, help="of a run that is killed")
    parser.add_argument(
        "--kills", type=int, nargs=3, default=(20, 10, 5), help="of a worker, the driver, the scheduler"
    )
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    make_data(work)
    for step in STEPS if arguments.step == "all" else (arguments.step,):
        file = arguments.results / f"{step}.json"
        if file.is_file():
            print(f"{file} is there")
            continue
        found = globals()[step](work, arguments)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"machine": describe_machine(), **found})
        print(f"{file} written")


if __name__ == "__main__":
    main()
