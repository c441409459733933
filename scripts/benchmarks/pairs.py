"""Measure how well the registration of pairs recovers a known rigid motion, on real hippocampi and hearts.

    python -m scripts.benchmarks.pairs --data ../shared/data [--cases 12] [--results benchmarks/pairs]
    python -m scripts.benchmarks.pairs --page                     # writes docs/evidence/pairs.md

A real volume is moved by a drawn rigid motion (cubic B-spline), becomes a stack of thick slices (Gaussian profile,
noise of 5 % of its standard deviation), and is registered against the volume at rest. So voxels of stack and volume
do not lie on common positions. Hippocampi have voxels of 1 mm and factor 5; hearts are those of ACDC with slices of
5 mm, and factor 2. Runs that the table holds are not repeated.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.files.safe_writes import write_text
from acnn_nnunet.files.tables import write_table
from acnn_nnunet.files.volumes import Volume, read_volume
from acnn_nnunet.sr.degradation.acquisition import Acquisition
from acnn_nnunet.sr.pairs.grids import RigidMotion, affine_of
from acnn_nnunet.sr.pairs.registration import register
from scripts.studies.thick_slices.images import moved_stack

ROOT = Path(__file__).parents[2]
RESULTS, PAGE, TABLE = ROOT / "benchmarks" / "pairs", ROOT / "docs" / "evidence" / "pairs.md", "registration.csv"
LIMITS = {"small": (2.0, 2.0), "medium": (4.0, 6.0), "large": (8.0, 12.0)}  # mm and degrees, per axis
NOISE, AXIS, HEART_SLICE_MM = 0.05, 0, 5.0
TARGET_MM, TARGET_DEG = 0.2, 0.2


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="shared/data")
    parser.add_argument("--cases", type=int, default=12, help="per data set")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="write the page from the table")
    arguments = parser.parse_args()
    table = arguments.results / TABLE
    rows = list(csv.DictReader(table.open())) if table.is_file() else []
    if arguments.page:
        write_text(PAGE, page_of(rows))
        return
    arguments.results.mkdir(parents=True, exist_ok=True)
    done = {(row["data"], row["case"], row["motion"]) for row in rows}
    for data, case, factor, volume in volumes(arguments.data, arguments.cases):
        for motion, limits in LIMITS.items():
            if (data, case, motion) not in done:
                rows.append(measure(volume, factor, limits, {"data": data, "case": case, "motion": motion}))
                write_table(table, {name: [row[name] for row in rows] for name in rows[0]})
                print(*rows[-1].values(), flush=True)


def volumes(data: Path, count: int) -> Iterator[tuple[str, str, int, Volume]]:
    """Yield name of the data, case, factor and volume."""
    for path in sorted((data / "nnUNet_raw" / "Dataset004_Hippocampus" / "imagesTr").glob("*.nii.gz"))[:count]:
        yield "hippocampus", path.name.removesuffix("_0000.nii.gz"), 5, read_volume(path, dtype=np.float32)
    found = 0
    for path in sorted((data / "acdc" / "training").glob("*/*_frame01.nii.gz")):
        volume = read_volume(path, dtype=np.float32)
        if volume.geometry.spacing_mm[AXIS] == HEART_SLICE_MM and found < count:
            found += 1
            yield "heart", path.name.removesuffix("_frame01.nii.gz"), 2, volume


def measure(volume: Volume, factor: int, limits: tuple[float, float], names: dict[str, str]) -> dict[str, Any]:
    """Return a row of the table."""
    seed = abs(int.from_bytes("".join(names.values()).encode()[-7:], "big"))
    acquisition = Acquisition(factor, noise=NOISE)
    stack, true = moved_stack(volume, acquisition, limits, axis=AXIS, seed=seed, name=names["case"])
    started = time.perf_counter()
    found = register(stack, volume, axis=AXIS, thickness_mm=stack.geometry.spacing_mm[AXIS])
    seconds = time.perf_counter() - started
    before, after = (error(each, true, stack) for each in (RigidMotion(), found.motion))
    content = {"before_mm": before[0], "before_deg": before[1], "after_mm": after[0], "after_deg": after[1]}
    numbers = {name: f"{value:.4f}" for name, value in {**content, "seconds": seconds}.items()}
    return {**names, **numbers, "remark": found.remark}


def error(found: RigidMotion, true: RigidMotion, stack: Volume) -> tuple[float, float]:
    """Return the distance of both images of the stack's centre in mm, and the angle between both turns in degrees."""
    middle = (affine_of(stack.geometry) @ [*((n - 1) / 2 for n in stack.geometry.size), 1.0])[:3].tolist()
    places = [np.asarray(each.transform.TransformPoint(middle)) for each in (found, true)]
    turns = [np.reshape(each.transform.GetMatrix(), (3, 3)) for each in (found, true)]
    cosine = (np.trace(turns[0] @ turns[1].T) - 1) / 2
    return float(np.linalg.norm(places[0] - places[1])), float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def page_of(rows: list[dict[str, str]]) -> str:
    """Return the Markdown page."""
    lines = [
        "# Registration of pairs",
        "",
        "How far `plan-hr --register` misses a known rigid motion. Real volumes are moved, become thick slices with",
        "5 % noise, and are registered against the volume at rest. Errors at the stack's centre: median, worst.",
        f"Target: {TARGET_MM:g} mm and {TARGET_DEG:g}°. Written by `python -m scripts.benchmarks.pairs --page`.",
        "",
        "| data | motion up to, per axis | stacks | before, mm | before, ° | median, mm | median, ° | worst, mm "
        "| worst, ° | within the target |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for data in dict.fromkeys(row["data"] for row in rows):
        for motion, (mm, degrees) in LIMITS.items():
            some = [row for row in rows if (row["data"], row["motion"]) == (data, motion)]
            values = {
                name: np.array([float(row[name]) for row in some]) for name in some[0] if name[-3:] in ("_mm", "deg")
            }
            good = (values["after_mm"] <= TARGET_MM) & (values["after_deg"] <= TARGET_DEG)
            cells = [np.median(values["before_mm"]), np.median(values["before_deg"])]
            cells += [np.median(values["after_mm"]), np.median(values["after_deg"])]
            cells += [values["after_mm"].max(), values["after_deg"].max()]
            shown = " | ".join(f"{cell:.2f}" for cell in cells)
            lines.append(f"| {data} | {mm:g} mm, {degrees:g}° | {len(some)} | {shown} | {good.sum()} of {len(some)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
