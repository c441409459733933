"""Memory of each command's own process, and its page, on few and on many cases that are done already.

Each command does a dozen cases. Their journal entries, inputs and outputs are then repeated under many names, and the
command goes on with `--continue`: all that it does then is what one process does for all cases.
"""

import argparse
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.journal import Journal
from scripts.benchmarks.cohort_processes import start, watch
from scripts.benchmarks.killed_commands import DATASET, DATASET_ID, FACTOR, THICK

_MODEL = f"-d {DATASET_ID} -c {THICK} -tr SubPixelSegTrainer -f 0 -device cpu"


@dataclass(frozen=True)
class Driven:
    """A command, and what it reads.

    Attributes:
        words: of the command, `{name}` for a folder.
        folders: where each folder's files come from, below the work folder; the first one's names are the cases.
    """

    words: str
    folders: dict[str, str]


_MAPS = {"pred": "predictions", "gt": f"raw/{DATASET}/labelsTr"}
COMMANDS = {
    "evaluate-sr": Driven("evaluate-sr {a} {b}", {"a": "stacks", "b": "stacks"}),
    "plausibility": Driven("plausibility {pred} --members {gt} {pred}", _MAPS),
    "refine": Driven("refine {pred} --guarantee acdc", {"pred": "predictions"}),
    "degrade": Driven(f"degrade -i {{i}} --factor {FACTOR}", {"i": f"raw/{DATASET}/imagesTr"}),
    "predict-hr": Driven(f"predict-hr -i {{i}} {_MODEL}", {"i": "stacks"}),
}


def drivers(work: Path, sizes: argparse.Namespace) -> dict[str, Any]:
    """Measure the memory of each command's own process on FEW and on MANY cases."""
    shutil.copytree(work / "trained", work / "results", dirs_exist_ok=True)
    found: dict[str, Any] = {}
    for name, command in COMMANDS.items():
        measured = {}
        for size in (sizes.few, sizes.maps):
            words, output = repeated(work, command, size)
            taken = watch(start(work, [*words, "--continue"]))
            rows = len((output / "status.csv").read_text(encoding="utf-8").splitlines()) - 1
            measured[str(size)] = {
                "peak_driver_mib": taken.peak_driver_mib,
                "cpu_s": taken.cpu_s,
                "wall_s": taken.wall_s,
                "rows": rows,
                "page_kb": (output / page).stat().st_size // 1000 if (page := page_in(output)) else None,
            }
            print(f"{name}, {size} cases: {taken.peak_driver_mib:.0f} MiB", flush=True)
        few, many = measured.values()
        found[name] = {"sizes": measured, "memory_ratio": many["peak_driver_mib"] / few["peak_driver_mib"]}
    return {"commands": found, "target": "≤ +10 %"}


def pages(work: Path, sizes: argparse.Namespace) -> dict[str, Any]:
    """Measure how long pages of MANY cases take to open; `scale` and `drivers` wrote them."""
    outputs = {"evaluate": work / f"out_evaluate_{sizes.maps}"}
    outputs |= {name: _output(work, command, sizes.maps) for name, command in COMMANDS.items()}
    found = {}
    with browser() as opened:
        for name, output in outputs.items():
            if page := page_in(output):
                times = [load_s(opened, output / page) for _ in range(3)]
                kilobytes = (output / page).stat().st_size // 1000
                found[name] = {"load_s": max(times[1:]), "kb": kilobytes, "load_s_of_all": times}
    return {"pages": found, "what": "seconds to the load event in headless Chromium, the slower of two loads"}


def repeated(work: Path, command: Driven, size: int) -> tuple[list[str], Path]:
    """Do a dozen cases, repeat them to so many, and return the words of the command and its output folder."""
    words, output = _prepared(work, command, None)
    if not (output / "status.csv").is_file() and start(work, words).wait():
        raise RuntimeError(f"{' '.join(words)} failed: see the end of {work / 'log.txt'}")
    many_words, many = _prepared(work, command, size)
    _repeat(output, many, dict(zip(words, many_words, strict=True)), size)
    return many_words, many


def load_s(opened: Any, page: Path) -> float:
    """Return the seconds until a page is loaded."""
    tab = opened.new_page()
    begun = time.monotonic()
    tab.goto(page.absolute().as_uri())
    taken = time.monotonic() - begun
    tab.close()
    return round(taken, 2)


def page_in(output: Path) -> str | None:
    """Return the name of a run's page, if it has one."""
    return next((name for name in ("report.html", "refined.html") if (output / name).is_file()), None)


@contextmanager
def browser() -> Iterator[Any]:
    """Give Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield opened
        opened.close()


def _output(work: Path, command: Driven, size: int | None) -> Path:
    return work / "drivers" / f"out_{command.words.split()[0]}_{size or 'few'}"


def _prepared(work: Path, command: Driven, size: int | None) -> tuple[list[str], Path]:
    """Return the words of a command on a dozen cases, or on so many, and its output folder; link the inputs."""
    name, output = command.words.split()[0], _output(work, command, size)
    places = {}
    for key, source in command.folders.items():
        places[key] = work / "drivers" / f"{name}_{key}_{size or 'few'}"
        if not places[key].is_dir():
            places[key].mkdir(parents=True)
            _link(sorted((work / source).glob("*.nii.gz")), places[key], size)
            shutil.copy(work / "raw" / DATASET / "dataset.json", places[key])
    words = command.words.format(**places).split()
    return [*words, "-o", str(output), "-np", "1"], output


def _link(files: list[Path], folder: Path, size: int | None) -> None:
    for number in range(size or len(files)):
        file = files[number % len(files)]
        os.link(file, folder / (file.name if size is None else _renamed(file.name, number)))


def _renamed(name: str, number: int) -> str:
    """Return the name of a case, or of one of its files, with another case in front of channel and ending."""
    return re.sub(r"^[^.]*?(?=(_\d{4})?(\.|$))", f"case_{number:06d}", name, count=1)


def _repeat(output: Path, many: Path, places: dict[str, str], size: int) -> None:
    """Write the journal of a dozen cases as that of many, and link the files that were written for them."""
    shutil.rmtree(many, ignore_errors=True)
    many.mkdir()
    journal, target = (Journal.of_part(each, num_parts=1, part_id=0) for each in (output, many))
    header, entries = json.dumps(journal.header()), list(journal.entries())
    for before, after in places.items():
        header = header.replace(json.dumps(before), json.dumps(after))
    cases = [_renamed(entries[number % len(entries)]["case"], number) for number in range(size)]
    target.start({**json.loads(header), "cases": cases})
    with open(target.path, "a", encoding="utf-8") as file:
        for number, name in enumerate(cases):
            entry = entries[number % len(entries)]
            file.write("\n" + json.dumps(entry).replace(json.dumps(entry["case"]), json.dumps(name)) + "\n")
            for written in output.glob(f"{entry['case']}*"):
                os.link(written, many / _renamed(written.name, number))
