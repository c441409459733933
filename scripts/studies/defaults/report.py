"""docs/evidence/defaults.md from the study's scores: every arm against no prior, on the seeds that both have."""

import os
import tempfile
from functools import cache
from pathlib import Path

import pandas as pd

from acnn_nnunet.evaluation.comparison.comparisons import Comparison, compare_scores
from acnn_nnunet.evaluation.comparison.scores import LARGEST_COMPONENT, NO_CLEAN_UP, read_paired_scores
from acnn_nnunet.evaluation.masks.table import CASES_FILE, LARGEST_COMPONENT_FILE
from acnn_nnunet.files.patients import CaseGroup, write_groups
from scripts.studies.defaults.arms import ARMS, STUDIES
from scripts.studies.defaults.workplace import RESULTS, SCORES
from scripts.studies.host_folders import ROOT
from scripts.studies.results import csv_text

# Every arm against the first: what `prior_weight=0` is, mirroring included. Those that do not mirror against the second
# one as well, and those with the paper's loss against it without a prior: what the prior alone brings.
_UNMIRRORED = tuple(arm for arm in ARMS if not ARMS[arm].get("mirroring", True))
BASELINES = {
    "none": tuple(ARMS),
    "none_unmirrored": _UNMIRRORED,
    "none_ce_unmirrored": tuple(arm for arm in _UNMIRRORED if arm.startswith(("none_ce", "paper"))),
}
BASELINE, PRIOR = "baseline", "prior"
SETS = {
    "clean": ("clean",),
    "corrupted": ("noise", "slab", "motion", "dropped"),
    "corrupted (filled with the mean)": ("noise", "slab_mean", "motion", "dropped_mean"),
}
METRICS = {
    "dice": "Dice",
    "hausdorff_mm": "Hausdorff",
    "hd95_mm": "HD95",
    "mean_surface_distance_mm": "mean surface distance",
}
PAGE = ROOT / "docs" / "evidence" / "defaults.md"
INTRODUCTION = """# Which prior is worth having

Made from `benchmarks/defaults/` by `python -m scripts.studies.defaults report`; `scripts/studies/defaults/arms.py`
says what an arm is.
The networks are U-Nets of half width. They were trained on few cases with coarse voxels for {iterations} iterations.
They were tested on clean images and on corrupted ones: noise, an occluded slab, slice motion, dropped slices. Scores
are means over the labels.

Each arm is compared with `none`, which is `prior_weight=0` and mirrors as nnU-Net does. Unmirrored arms are also
compared with `none_unmirrored`, and arms with the paper's cross-entropy with `none_ce_unmirrored`. Pairs share case,
corruption and seed. Intervals: 95 %, bootstrap over patients.

A dark slab or dark slices also shift the z-score of the rest of a small image. That costs a network most. Filled with
the image's mean, they hide as much and shift nothing. "Selection" cases lie in fold 0's training part and chose the
defaults. "Confirmation" cases are its held-out cases.
"""


def write_report() -> None:
    """Write docs/evidence/defaults.md."""
    iterations = {study.num_epochs * 50 for study in STUDIES.values()}
    parts = [INTRODUCTION.format(iterations=" or ".join(map(str, sorted(iterations))))]
    for name in STUDIES:
        runs = load_runs(name)
        if not runs:
            continue
        parts.append(f"## {name.capitalize()}\n\n{len(runs)} runs.\n")
        for part in ("selection", "confirmation"):
            for which in SETS:
                parts.append(f"### {part.capitalize()} cases, {which} images\n")
                for baseline in BASELINES:
                    seeds = common_seeds(runs, baseline)
                    rows = {
                        arm: compare_arms(name, runs, (baseline, arm), each, part, which) for arm, each in seeds.items()
                    }
                    if rows:
                        parts.append(f"{table(rows, seeds, baseline)}\n")
                    if rows and STUDIES[name].grouped:
                        parts.append(f"{group_table(rows, baseline)}\n")
    PAGE.write_text("\n".join(parts))
    print(PAGE)


Runs = dict[tuple[str, int], dict[tuple[str, str, str], pd.DataFrame]]


def load_runs(name: str) -> Runs:
    """Return the scores of a dataset by arm and seed, and each run's by part, kind and table."""
    scores = all_scores()
    found: Runs = {}
    for (arm, seed, *which), rows in scores[scores["dataset"] == name].groupby(
        ["arm", "seed", "part", "kind", "table"], sort=True
    ):
        found.setdefault((arm, int(seed)), {})[tuple(which)] = rows
    return found


@cache
def all_scores() -> pd.DataFrame:
    """Return the scores of all runs of the study."""
    return RESULTS.table(SCORES)


def table(comparisons: dict[str, list[Comparison]], seeds: dict[str, list[int]], baseline: str) -> str:
    """Return a Markdown table: the baseline's own means, then one row an arm, differences with their intervals."""
    header = ["arm", "seeds", *(f"{title}, difference" for title in METRICS.values()), "Hausdorff, largest component"]
    shown = [*((metric, NO_CLEAN_UP) for metric in METRICS), ("hausdorff_mm", LARGEST_COMPONENT)]
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    for arm, rows in comparisons.items():
        pairs = [(find(rows, *each, PRIOR), find(rows, *each, BASELINE)) for each in shown]
        cells = [f"{own.mean:.3f}" if arm == baseline else describe(other, own) for other, own in pairs]
        lines.append(f"| {arm} | {len(seeds[arm])} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def group_table(comparisons: dict[str, list[Comparison]], baseline: str) -> str:
    """Return a Markdown table of every arm by group: does a prior of all hearts "heal" the sick ones?"""
    lines = [
        f"| arm | group | Dice, {baseline} | Dice, difference | Hausdorff, difference |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for arm, rows in comparisons.items():
        if arm == baseline:
            continue
        for group in sorted({row.stratum for row in rows} - {"all"}):
            cells = [f"{find(rows, 'dice', NO_CLEAN_UP, BASELINE, stratum=group).mean:.3f}"]
            for metric in ("dice", "hausdorff_mm"):
                pair = [find(rows, metric, NO_CLEAN_UP, each, stratum=group) for each in (PRIOR, BASELINE)]
                cells.append(describe(*pair))
            lines.append(f"| {arm} | {group} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def common_seeds(runs: Runs, baseline: str) -> dict[str, list[int]]:
    """Return the arms that a baseline is for, with the seeds that both have, where there are any."""
    seeds = {
        arm: sorted(seed for each, seed in runs if each == arm and (baseline, seed) in runs)
        for arm in BASELINES[baseline]
    }
    return {arm: each for arm, each in seeds.items() if each}


def describe(row: Comparison, baseline: Comparison) -> str:
    """Return "−0.31 [−0.50, −0.12] (−9 %)"; the share is of the baseline's mean."""
    digits = 2 if row.metric.endswith("_mm") else 3
    text = f"{row.mean_difference:+.{digits}f}"
    if row.ci_low is not None and row.ci_high is not None:  # a group of a single patient has no interval
        text += f" [{row.ci_low:+.{digits}f}, {row.ci_high:+.{digits}f}]"
    return f"{text} ({100 * row.mean_difference / baseline.mean:+.0f} %)" if digits == 2 else text


def find(rows: list[Comparison], metric: str, clean_up: str, arm: str, *, stratum: str = "all") -> Comparison:
    """Return the row over all cases, or a group's, and the mean of the labels."""
    return next(
        row
        for row in rows
        if (row.stratum, row.label, row.metric, row.clean_up, row.arm) == (stratum, "foreground", metric, clean_up, arm)
    )


def compare_arms(
    name: str, runs: Runs, arms: tuple[str, str], seeds: list[int], part: str, which: str
) -> list[Comparison]:
    """Return the paired statistics of the second arm against the first, a pair a case, corruption and seed."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = {}
        for title, each in zip((BASELINE, PRIOR), arms, strict=True):
            folders[title] = Path(scratch) / title
            folders[title].mkdir()
            (folders[title] / "summary.json").write_text("{}")
            for file in (CASES_FILE, LARGEST_COMPONENT_FILE):
                merged = merge({seed: runs[each, seed] for seed in seeds}, part, which, file)
                (folders[title] / file).write_text(merged)
        groups = Path(scratch) / "groups.csv"
        write_groups(groups, grouped(name, folders[BASELINE] / CASES_FILE))
        return compare_scores(read_paired_scores(folders, groups=groups))


def merge(runs: dict[int, dict[tuple[str, str, str], pd.DataFrame]], part: str, which: str, file: str) -> str:
    """Return one table of several runs, by seed, and corruptions, each case named after both."""
    parts = [
        run[part, kind, file].assign(case=lambda rows, end=f"__{kind}__{seed}": rows["case"] + end)
        for seed, run in runs.items()
        for kind in SETS[which]
    ]
    return csv_text(pd.concat(parts), without=[*RESULTS.keys, "part", "kind", "table"])


def grouped(name: str, cases_csv: Path) -> list[CaseGroup]:
    """Return the table of patients and groups for the cases of a merged table; groups are read where the data lie."""
    data = Path(os.environ.get("ACNN_DATA", ROOT.parent / "shared" / "data"))
    names = sorted(set(pd.read_csv(cases_csv, usecols=["case"])["case"]))
    rows = []
    for each in names:
        case = each.split("__")[0]
        patient = case.rsplit("_", 1)[0] if STUDIES[name].grouped else case
        info = data / "acdc" / "training" / patient / "Info.cfg"
        lines = info.read_text().splitlines() if info.is_file() else []
        group = next((line.split(":")[1].strip() for line in lines if line.startswith("Group")), "")
        rows.append(CaseGroup(each, patient, "", group))
    return rows
