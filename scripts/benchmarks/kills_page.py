"""Write docs/evidence/kills.md from what `kills.py` measured.

python -m scripts.benchmarks.kills_page
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "benchmarks" / "kills", ROOT / "docs" / "evidence" / "kills.md"
NAMES = {
    "evaluate": "`evaluate`, two processes, `--continue`",
    "predict_hr": "`predict-hr`, `--continue_prediction`",
    "plausibility": "`plausibility --calibrate`, started again",
    "prior": "`ShapePriorTrainer`, `--c`",
    "acnn": "`ACNNTrainer`, `--c`",
    "series": "two trainings in a series, `--c`",
}
_INTRODUCTION = """# Runs that are killed

{verdict}

Each command was killed (`kill -9`, its whole process group) at random moments of its run and started again.
{moments}

The final output must equal an undisturbed run's: tables line by line, label maps and pages byte by byte. A training
draws other batches after a kill, so its checkpoints must load, its epochs go on where the checkpoint stands, and its
logs hold each epoch once.

| command | kills | of these while a file was there | output as undisturbed | undisturbed run, s |
|---|---|---|---|---|
"""
_ENDING = """
The data are {num_cases} generated hearts, the trainings have 2 to 4 short epochs. Two cores were shared with other
work (load {low:g} to {high:g}), which stretches the times. Measured by `python -m scripts.benchmarks.kills`; the
results lie in `benchmarks/kills/`. This page is written by `python -m scripts.benchmarks.kills_page`.
"""
WANTED = 20


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(read_results(RESULTS)), encoding="utf-8")


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what was measured, by command, in the order of the page."""
    files = {name: folder / f"{name}.json" for name in NAMES}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.is_file()}


def render(results: dict[str, dict[str, Any]]) -> str:
    """Return the page. Runs that ended before their moment were not killed: they count nowhere."""
    from scripts.benchmarks.killed_commands import NUM_CASES

    rows, lost, total = [], 0, 0
    for name, found in results.items():
        kills = [kill for kill in found["kills"] if kill["living"]]
        equal = sum(not kill["differences"] for kill in kills)
        # The first version of the program counted the files that were there before, too.
        with_files = sum(kill.get("new_files_at_kill", kill.get("files_at_kill", 0)) > 0 for kill in kills)
        rows.append(f"| {NAMES[name]} | {len(kills)} | {with_files} | {equal} | {found['undisturbed_s']:.0f} |")
        lost, total = lost + len(kills) - equal, total + len(kills)
    verdict = f"{lost} of {total} kills did harm."
    if not lost:
        verdict = f"No result was lost, none came twice, in {total} kills."
    if few := [_short(name) for name, found in results.items() if found["living"] < WANTED]:
        verdict += f" Fewer than {WANTED} kills so far: {', '.join(few)}."
    moments = "Half of the moments count from the start, half from the first file in the output."
    if early := [_short(name) for name, found in results.items() if "from" not in found["kills"][0]]:
        moments += f" All count from the start for {', '.join(early)}."
    loads = [found["machine"]["load"] for found in results.values()]
    ending = _ENDING.format(num_cases=NUM_CASES, low=min(loads), high=max(loads))
    return _INTRODUCTION.format(verdict=verdict, moments=moments) + "\n".join(rows) + "\n" + ending


def _short(name: str) -> str:
    return NAMES[name].split(",")[0]


if __name__ == "__main__":
    main()
