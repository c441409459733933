"""Sections of the page beside its comparisons: what was tried, label maps that keep the rules, and a stock model."""

import csv
from collections.abc import Collection
from pathlib import Path

import pandas as pd

SELECTION_FILE, GUARANTEE_FILE, STOCK_FILE = "selection.csv", "guarantee.csv", "stock.csv"
_SELECTION = """## What was tried

Choices were made on selection cases, which no figure above is of: the first 16 hippocampi and the hearts of 8 patients,
network `none_unmirrored`, seed 0. Each cell is Dice / Hausdorff distance in mm, the mean over cases and labels. "0.75
thick" takes thick differences whole and 0.75 of the thin ones, in every prediction; "as usual" is a quarter of the thin
ones. `SURE` is the probability from which on an anatomy takes away what is predicted.
"""
_GUARANTEE = """## Label maps that keep the rules

Hearts of the confirmation cases, refined and then repaired with `--guarantee acdc` (the sixteen criteria for short-axis
hearts). Broken slices break at least one criterion. "Left" are hearts whose repair would change more than the default
limit of 20 % of the anatomy, and predictions that fit no prior. Seconds are of the repair alone, on one core, decoding
included. With the limit lifted (`--most-changed 1`), the 62 label maps of seeds 0 to 2 that were left with broken
slices keep all rules too: 542 broken slices become 0, but Dice falls from 0.570 to 0.470 and the Hausdorff distance
rises from 65 to 104 mm (`guarantee_lifted.csv`), so the limit stays.
"""
_MAPS = ("predicted", "refined", "guaranteed")
_STOCK = """## A stock model, end to end

A finished `nnUNetTrainer` checkpoint (arm `none` of the study of defaults, seed 0, mirroring at prediction as stock
nnU-Net does) predicted the confirmation's hippocampi with `nnUNetv2_predict --save_probabilities`. `acnn-nnunet refine`
and `evaluate` did the rest, as the guide has it. Clean images, and images with a quarter of their slices dropped.
"""


def stock_section(folder: Path) -> str:
    """Return the section of the stock model; empty where it was not measured."""
    path = folder / STOCK_FILE
    if not path.is_file():
        return ""
    table = pd.read_csv(path)
    lines = [_STOCK, "| images | | cases | Dice | Hausdorff, mm |", "|---" * 5 + "|"]
    for (kind, what), own in table.groupby(["kind", "what"], sort=False):
        lines.append(f"| {kind} | {what} | {len(own)} | {own['dice'].mean():.4f} | {own['hausdorff_mm'].mean():.2f} |")
    return "\n".join([*lines, ""])


def selection_section(folder: Path) -> str:
    """Return the section of what was tried; empty where nothing was recorded."""
    path = folder / SELECTION_FILE
    if not path.is_file():
        return ""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [_SELECTION]
    for dataset in sorted({row["dataset"] for row in rows}):
        own = [row for row in rows if row["dataset"] == dataset]
        kinds = list(dict.fromkeys(row["kind"] for row in own))
        lines += [f"| {dataset} | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
        for tried in dict.fromkeys(row["tried"] for row in own):
            found = {row["kind"]: row for row in own if row["tried"] == tried}
            cells = [
                f"{float(found[kind]['dice']):.4f} / {float(found[kind]['hausdorff_mm']):.2f}" if kind in found else "–"
                for kind in kinds
            ]
            lines.append(f"| {tried} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def of_all_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of images that every seed has."""
    seeds = scores.groupby(["kind", "case"])["seed"].transform("nunique")
    return scores[seeds == scores["seed"].nunique()]


def guarantee_section(folder: Path, *, without: Collection[tuple[str, str]] = ()) -> str:
    """Return the section of the guarantee without networks and seeds that failed; empty where it was not measured."""
    path = folder / GUARANTEE_FILE
    if not path.is_file():
        return ""
    table = pd.read_csv(path)
    table = table[[(row.network, str(row.seed)) not in without for row in table.itertuples()]]
    table = pd.concat([of_all_seeds(own) for _, own in table.groupby("network", sort=False)])
    lines = [
        _GUARANTEE,
        "| | seeds | hearts | slices | broken, predicted | broken, refined | broken, guaranteed | left | "
        "Dice, predicted | Dice, refined | Dice, guaranteed | Hausdorff, predicted | Hausdorff, refined | "
        "Hausdorff, guaranteed | s per case, median | s per case, largest |",
        "|---" * 16 + "|",
    ]
    for (network, kind), own in table.groupby(["network", "kind"], sort=False):
        counts = [own["seed"].nunique(), len(own)]
        counts += [int(own[name].sum()) for name in ("slices", *(f"broken_{each}" for each in _MAPS), "left")]
        dice = [f"{own[f'dice_{each}'].mean():.4f}" for each in _MAPS]
        hausdorff = [f"{own[f'hausdorff_{each}'].mean():.2f}" for each in _MAPS]
        seconds = [f"{own['seconds'].median():.2f}", f"{own['seconds'].max():.2f}"]
        lines.append(f"| {' | '.join([f'{network}, {kind}', *map(str, counts), *dice, *hausdorff, *seconds])} |")
    broken = table[table["broken_guaranteed"] > 0]
    left = f"{int(broken['left'].sum())} are left by refining or by the repair, and named"
    lines += ["", f"{len(table) - len(broken)} of {len(table)} label maps keep all rules; {left}."]
    return "\n".join([*lines, ""])
