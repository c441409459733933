"""Write docs/evidence/cohorts.md from what `cohorts.py` measured.

python -m scripts.benchmarks.cohorts_page
"""

import json
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "benchmarks" / "cohorts", ROOT / "docs" / "evidence" / "cohorts.md"
STEPS = ("scale", "throughput", "executors", "kills", "broken", "drivers", "pages")
MEMORY, COST, SPEEDUP, DASK = 1.1, 0.1, 1.8, 1.15
"""Targets: most of a memory's growth, of a cost's change, least speed-up, most time on Dask against local processes."""

_INTRODUCTION = """# Tens of thousands of cases

{verdict}

| measure | target | measured | |
|---|---|---|---|
"""
_ENDING = """
Memory is the sum over the command, Dask's scheduler and both workers at its peak, looked at five times a second. Cost
is the processor time of all of them. A case's own cost leaves out the start of the processes: it is the slope between
200 and 2,000 cases against the slope between 2,000 and 20,000. The label maps are generated hearts of 16×20×20
voxels, so small that the tables and the page at the end, which one process writes, weigh much. (Large maps have
16×200×200 voxels.) Times by the clock are the quickest of several runs, each with the start of the command; runs that
other programs disturbed do not count. Dask's workers are registered before the command starts, as in a cluster that is
up. (At an earlier commit they registered while it ran: 1.20 to 1.27 times as long as local processes.) From the first
case to the last, a second worker brings what it should if each has a core of its own, as under Slurm with
`--cpus-per-task=1`. On any core it brings less: the library of distances hands each row to a thread of its own, and the
system moves these threads between cores. The whole command also starts, reads the folders and writes tables and page,
in one process. This takes 3 s, and the more cases, the less it weighs.

The memory of a command's own process is measured where all cases are done already and it goes on with `--continue`: a
dozen cases are repeated under many names. Of pages, the slower of two loads counts. The damage: {kinds}.

{notes}

Measured on {cpu}, {cores} cores, Python {python}, Dask {distributed}, by `python -m scripts.benchmarks.cohorts`; the
results lie in `benchmarks/cohorts/`. This page is written by `python -m scripts.benchmarks.cohorts_page`.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(read_results(RESULTS)), encoding="utf-8")


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what was measured, by step."""
    files = {step: folder / f"{step}.json" for step in STEPS}
    return {step: json.loads(file.read_text(encoding="utf-8")) for step, file in files.items() if file.is_file()}


def render(results: dict[str, dict[str, Any]]) -> str:
    """Return the page; a step that was not measured is said to be missing."""
    rows = [row for step, found in results.items() for row in _ROWS[step](found)]
    missed = [row[0] for row in rows if not row[3]]
    verdict = f"{len(rows) - len(missed)} of {len(rows)} targets are reached."
    if missed:
        verdict += f" Missed: {'; '.join(missed)}."
    if absent := [step for step in STEPS if step not in results]:
        verdict += f" Not measured: {', '.join(absent)}."
    lines = [f"| {what} | {target} | {found} | {_mark(reached)} |" for what, target, found, reached in rows]
    machine = next(iter(results.values()))["machine"]
    kinds = ", ".join(name.replace("_", " ") for name in results.get("broken", {}).get("reasons", {})) or "not measured"
    notes = "\n".join(found["note"] for found in results.values() if "note" in found) or "Nothing else ran meanwhile."
    ending = _ENDING.format(kinds=kinds, notes=notes, **machine)
    return _INTRODUCTION.format(verdict=verdict) + "\n".join(lines) + "\n" + ending


_Row = tuple[str, str, str, bool]
_WHERE = {"_pinned": ", a core for each", "": ", on any core"}
_SPEEDUPS = (("speedup_of_cases", "cases_s", "first case to last"), ("speedup", "wall_s", "whole command"))


def _scale(found: dict[str, Any]) -> list[_Row]:
    rows = []
    for name in ("evaluate", "codes"):
        measured = found[name]
        sizes = sorted(measured["sizes"], key=int)
        few, many = (measured["sizes"][size] for size in sizes[-2:])
        growth = (
            f"{few['peak_all_mib']:.0f} → {many['peak_all_mib']:.0f} MiB ({measured['memory_of_all_ratio'] - 1:+.1%})"
        )
        cost = f"{measured['cpu_ms_per_case_among_few']:.1f} → {measured['cpu_ms_per_case_among_many']:.1f} ms"
        change = measured["cost_per_case_ratio"] - 1
        what = f"`{name}`, {int(sizes[-2]):,} → {int(sizes[-1]):,} cases, two Dask workers"
        rows.append((f"{what}: peak memory", "≤ +10 %", growth, measured["memory_of_all_ratio"] <= MEMORY))
        rows.append((f"{what}: cost per case", "within 10 %", f"{cost} ({change:+.1%})", abs(change) <= COST))
    return rows


def _throughput(found: dict[str, Any]) -> list[_Row]:
    rows = []
    for kind, where in product(("small", "large"), _WHERE):
        if (name := f"{kind}{where}") in found:
            for key, time, more in _SPEEDUPS:
                if key not in found[name]:
                    continue
                one, two = (found[name]["workers"][number][time] for number in ("1", "2"))
                maps = f"{found[name]['maps']:,} {kind} maps"
                what = f"`evaluate`, two workers against one{_WHERE[where]}, {maps}, {more}"
                speedup = found[name][key]
                rows.append((what, "≥ 1.8", f"{one:.1f} s → {two:.1f} s: {speedup:.2f}", speedup >= SPEEDUP))
    return rows


def _executors(found: dict[str, Any]) -> list[_Row]:
    local, dask, ratio = found["local"]["wall_s"], found["dask"]["wall_s"], found["time_ratio"]
    what = "`evaluate`, two Dask workers against two local processes, 2,000 small maps"
    return [(what, "≤ 1.15 of the time", f"{local:.1f} s → {dask:.1f} s: {ratio:.2f}", ratio <= DASK)]


def _kills(found: dict[str, Any]) -> list[_Row]:
    rows = []
    for what in ("worker", "driver", "scheduler"):
        equal, moments = found[what]["equal"], found[what]["moments"]
        name = f"{what} killed at random moments, then `--continue` ({found['maps']} cases)"
        rows.append((name, "each case once, tables equal", f"{equal} of {moments} equal", equal == moments))
    return rows


def _broken(found: dict[str, Any]) -> list[_Row]:
    whole = found["failed_are_the_broken"] and found["each_has_a_reason"] and found["exit_code"] == 1
    others = found["cases"] - found["broken"]
    done = f"{found['done']} of {others} others done, {found['failed_rows']} rows with a reason"
    what = f"{found['broken']} of {found['cases']} inputs broken in eight ways"
    reached = whole and found["done"] == others
    return [(what, "all others done, exit code 1", f"{done}, exit code {found['exit_code']}", reached)]


def _drivers(found: dict[str, Any]) -> list[_Row]:
    rows = []
    for name, measured in found["commands"].items():
        (few, before), (many, after) = measured["sizes"].items()
        growth = f"{before['peak_driver_mib']:.0f} → {after['peak_driver_mib']:.0f} MiB"
        ratio = measured["memory_ratio"]
        what = f"`{name}`, {int(few):,} → {int(many):,} cases: peak memory of the command's own process"
        rows.append((what, "≤ +10 %", f"{growth} ({ratio - 1:+.1%})", ratio <= MEMORY))
    return rows


def _pages(found: dict[str, Any]) -> list[_Row]:
    return [
        (f"page of `{name}`, 20,000 cases", "opens in 1 s", f"{page['load_s']:.2f} s", page["load_s"] <= 1)
        for name, page in found["pages"].items()
    ]


_ROWS = {
    "scale": _scale,
    "throughput": _throughput,
    "executors": _executors,
    "kills": _kills,
    "broken": _broken,
    "drivers": _drivers,
    "pages": _pages,
}


def _mark(reached: bool) -> str:
    return "reached" if reached else "**missed**"


if __name__ == "__main__":
    main()
