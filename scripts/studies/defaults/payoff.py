"""When does a prior pay? Its gain over the same loss without it, by number of training cases and of steps."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from scripts.studies.defaults.arms import BASELINES, CLEAN, STEPS, STUDIES, STUDY_KINDS, TORCHIO_KINDS
from scripts.studies.defaults.differences import Difference, compare
from scripts.studies.defaults.images import CONFIRMATION
from scripts.studies.host_folders import ROOT

FIGURE = ROOT / "docs" / "figures" / "when_a_prior_pays.svg"
BAD = (*STUDY_KINDS, *TORCHIO_KINDS)
PRIOR_ARMS = {
    "roi_0.3_decoded_unmirrored": "hybrid prior, nnU-Net's loss",
    "hybrid_pc_unmirrored": "hybrid prior, per-class loss",
    "paper_unmirrored": "paper's prior, per-class loss",
}
Point = tuple[str, str, int, int]  # dataset, arm, training cases, times the steps


class Gain(NamedTuple):
    """A prior against its baseline at one point.

    Attributes:
        clean: Dice on clean images.
        bad: Dice on bad images.
        distance: Hausdorff distance on bad images.
        adjusted: Dice on clean images, the logits of both arms adjusted; None where that was not run.
    """

    clean: Difference
    bad: Difference
    distance: Difference
    adjusted: Difference | None


def payoff_points(images: pd.DataFrame) -> dict[Point, Gain]:
    """Return the measured points."""
    confirmed, points = images[images["part"] == CONFIRMATION], {}
    for name, study in STUDIES.items():
        rows = confirmed[confirmed["dataset"] == name]
        ends = {"": (study.num_train, 1)}
        ends |= {f"_n{size}": (size, 1) for size in study.sizes} | {
            f"_x{steps}": (study.num_train, steps) for steps in STEPS
        }
        for arm in PRIOR_ARMS:
            for end, (size, steps) in ends.items():
                pair = f"{arm}{end}", f"{BASELINES[arm]}{end}"
                clean, bad = (rows[rows["kind"].isin(kinds)] for kinds in ((CLEAN,), BAD))
                if found := compare(clean, *pair, "dice"):
                    adjusted = compare(clean, *(f"{each}_adjusted" for each in pair), "dice")
                    of_bad = (compare(bad, *pair, score) for score in ("dice", "hausdorff_mm"))
                    points[name, arm, size, steps] = Gain(found, *of_bad, adjusted)
    return points


def payoff_section(images: pd.DataFrame) -> str:
    """Return the section with its table, and draw its figure where there is a point."""
    points = payoff_points(images)
    wanted = len(PRIOR_ARMS) * sum(1 + len(study.sizes) + len(STEPS) for study in STUDIES.values())
    lines = [
        "## When does a prior pay?\n",
        f"Gain over the same loss, cases and steps without a prior. {len(points)} of {wanted} points are measured; the "
        "others need a GPU: `pack`, then `run --lines --device cuda` (CONTRIBUTING).\n",
    ]
    if not points:
        return "\n".join(lines)
    draw(points, FIGURE)
    lines += [
        f"![Gain of the prior by training cases and steps](../figures/{FIGURE.name})\n",
        "| dataset | prior | training cases | steps | seeds | Dice, clean | Dice, bad kinds | Hausdorff, bad kinds"
        " | Dice, clean, both logits adjusted (seeds) |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (name, arm, size, steps), gain in points.items():
        low, high = gain.distance.share_interval
        distance = f"{100 * gain.distance.share:+.0f} % [{100 * low:+.0f}, {100 * high:+.0f}]"
        adjusted = f"{_dice(gain.adjusted)} ({len(gain.adjusted.seeds)})" if gain.adjusted else ""
        cells = [_dice(gain.clean), _dice(gain.bad), distance, adjusted]
        seeds = len(gain.clean.seeds)
        lines.append(f"| {name} | {PRIOR_ARMS[arm]} | {size} | {steps}× | {seeds} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _dice(found: Difference) -> str:
    return f"{found.mean:+.3f} [{found.interval[0]:+.3f}, {found.interval[1]:+.3f}]"


def draw(points: dict[Point, Gain], path: Path) -> None:
    """Draw the Dice gain on clean images: a row per dataset, by training cases on the left, by steps on the right."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    studies = {name: study for name, study in STUDIES.items() if any(point[0] == name for point in points)}
    figure = Figure(figsize=(8, 0.6 + 2.7 * len(studies)), layout="constrained")
    axes = figure.subplots(len(studies), 2, sharey="row", squeeze=False)
    for row, (name, study) in enumerate(studies.items()):
        for column, (title, values) in enumerate(
            (("training cases", (*study.sizes, study.num_train)), ("steps, times the study's", (1, *STEPS)))
        ):
            axis = axes[row, column]
            for number, (arm, words) in enumerate(PRIOR_ARMS.items()):
                line = sorted(
                    (point[2 + column], gain.clean)
                    for point, gain in points.items()
                    if point[:2] == (name, arm) and point[3 - column] == (study.num_train if column else 1)
                )
                if line:
                    at = [value * 1.04 ** (number - 1) for value, _ in line]  # apart, where points coincide
                    gains = [found.mean for _, found in line]
                    ends = [[abs(found.mean - found.interval[end]) for _, found in line] for end in (0, 1)]
                    axis.errorbar(at, gains, yerr=ends, fmt="o-", capsize=3, label=words)
            axis.axhline(0, color="0.6", linewidth=1)
            axis.set_xscale("log")
            axis.set_xticks(sorted(values), [str(value) for value in sorted(values)], minor=False)
            axis.minorticks_off()
            axis.set_xlim(0.8 * min(values), 1.25 * max(values))
            axis.set(xlabel=title, title=name if name != "acdc" else "hearts (ACDC)")
        axes[row, 0].set_ylabel("Dice gain, clean images")
    handles = {
        label: handle for axis in axes.flat for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": "acnn", "svg.fonttype": "none"}):  # the same file for the same points
        figure.savefig(path, metadata={"Date": None})
