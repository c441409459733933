"""docs/evidence/thick_slices.md from the results of the thick-slice study."""

import itertools
import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from acnn_nnunet.evaluation.comparison.comparisons import Comparison, compare_scores
from acnn_nnunet.evaluation.comparison.scores import (
    FOREGROUND,
    LARGEST_COMPONENT,
    NO_CLEAN_UP,
    PairedScores,
    read_paired_scores,
)
from acnn_nnunet.evaluation.images.scores import METRICS as IMAGE_METRICS
from acnn_nnunet.evaluation.masks.scores import METRICS
from acnn_nnunet.evaluation.masks.table import CASES_FILE, LARGEST_COMPONENT_FILE
from acnn_nnunet.evaluation.statistics import bootstrap_intervals
from acnn_nnunet.files.patients import CaseGroup, write_groups
from acnn_nnunet.files.safe_writes import write_text
from scripts.studies.resampling import mean_interval
from scripts.studies.results import csv_text
from scripts.studies.thick_slices.arms import ARMS, GRIDS, SEEDLESS
from scripts.studies.thick_slices.convergence import UNLEARNT_DICE
from scripts.studies.thick_slices.images import MOTION_MM, ROTATION_DEG, TESTS_OF_EQUAL_TIME
from scripts.studies.thick_slices.workplace import IMAGE_SCORES, LABEL_SCORES, results_in

# Metric, clean-up, title.
COLUMNS = (
    ("dice", NO_CLEAN_UP, "Dice"),
    ("hausdorff_mm", NO_CLEAN_UP, "Hausdorff, mm"),
    ("hausdorff_mm", LARGEST_COMPONENT, "of the largest component"),
    ("hd95_mm", NO_CLEAN_UP, "HD95, mm"),
    ("mean_surface_distance_mm", NO_CLEAN_UP, "mean surface distance, mm"),
)
# Arm, the arm it is measured against, and the bounds of the target: lowest Dice, highest share of Hausdorff; None where
# there is no target.
Pairs = tuple[tuple[str, str, tuple[float, float] | None], ...]
PAIRS: Pairs = (
    ("sub_pixel", "unet_interpolated", (0.0, 0.0)),
    ("sub_pixel", "unet_2d", (0.0, 0.0)),
    ("sub_pixel_motion", "unet_interpolated", (0.0, 0.0)),
    ("sub_pixel_motion", "unet_2d", (0.0, 0.0)),
    ("sub_pixel_b2", "unet_interpolated", (0.0, 0.0)),
    ("sub_pixel_motion_b2", "unet_interpolated", (0.0, 0.0)),
    ("sub_pixel_motion_b2", "unet_2d", (0.0, 0.0)),
    ("sub_pixel_motion_b2", "sub_pixel_motion", None),
    ("acnn_sub_pixel", "sub_pixel", (-0.005, 0.05)),
    ("acnn_sub_pixel_motion", "sub_pixel_motion", (-0.005, 0.05)),
    ("acnn_sub_pixel_motion_b2", "sub_pixel_motion_b2", (-0.005, 0.05)),
    ("acnn_sub_pixel_motion_b2", "unet_interpolated", (0.0, 0.0)),
    ("acnn_sub_pixel_motion_b2", "ae_seg_m_b2", None),
    ("pairs_b2", "sub_pixel_b2", None),
    ("ae_seg_b2", "sub_pixel_b2", None),
    ("ae_seg_m_b2", "sub_pixel_b2", None),
    ("acnn_sub_pixel_steps", "sub_pixel", (-0.005, 0.05)),
    ("acnn_sub_pixel_box", "sub_pixel", (-0.005, 0.05)),
    ("sub_pixel_motion", "sub_pixel", None),
    ("acnn_sub_pixel_motion", "acnn_sub_pixel", None),
    ("acnn_sub_pixel", "sub_pixel_motion", None),
    ("ae_seg", "sub_pixel", None),
    ("ae_seg_m", "sub_pixel", None),
    ("acnn_sub_pixel", "ae_seg_m", None),
    ("sr_then_unet", "sub_pixel_motion", None),
    ("acnn_sr_then_unet", "sr_then_unet", None),
    ("tl_decoding", "sub_pixel", None),
    ("labels_linear", "sub_pixel", None),
)
IMAGE_CHAIN = ("acnn_sr", "sr", "sr_cnn", "image_bspline", "image_linear")
CONVERGED_IMAGE_CHAIN = ("acnn_sr_b2", "sr_b2", "sr_cnn_b2", "image_bspline")
IMAGE_PAIRS = (
    *itertools.pairwise(IMAGE_CHAIN),
    ("acnn_sr_steps", "sr"),
    *itertools.pairwise(CONVERGED_IMAGE_CHAIN),
)
INTRODUCTION = f"""# Thick slices: what came out

Made from `benchmarks/thick_slices/` by `python -m scripts.studies.thick_slices report`.
`docs/reference/thick_slices.md` says what the commands do and `scripts/studies/thick_slices/arms.py` what an arm is.
Hippocampi, fold 0: networks of half nnU-Net's width, trained for equal CPU time on one thread (but where an arm says
otherwise), without mirroring, tested on 5 mm stacks simulated from the held-out cases' 1 mm images.
"Motion": every slice of the test stacks moved by up to {MOTION_MM:g} mm along each axis and turned by up to
{ROTATION_DEG:g}°; "still": it did not. The stacks are the same for all arms. The U-Nets on interpolated images and on
slices were trained on stacks that had moved so, once each. Scores are means over the labels. Differences are paired by
case and seed; intervals: 95 %, bootstrap over cases, each with all of its seeds: they do not tell how much a seed
decides, the last but one column does. Hard labels interpolated along one axis are those of the nearest slice, linear or
B-spline: for an odd K these rows agree.
"""


@dataclass(frozen=True)
class Run:
    """One arm with one seed.

    Attributes:
        training: what its training took; None where nothing was trained.
        labels: scores of label maps by test and table.
        images: scores of images by test.
        repeats: by test, neighbouring slices of the label maps that have foreground, and those with the same labels.
        true_repeats: the same of the reference.
    """

    training: dict | None = None
    labels: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    images: dict[str, pd.DataFrame] = field(default_factory=dict)
    repeats: dict[str, list[int]] = field(default_factory=dict)
    true_repeats: dict[str, list[int]] = field(default_factory=dict)

    def has(self, test: str) -> bool:
        """Return whether there are scores of a test."""
        return test in self.images or any(test == name for name, _ in self.labels)


Runs = dict[tuple[str, int], Run]


def write_report(results: Path, page: Path) -> None:
    """Write the page of the runs that there are."""
    runs = load_runs(results)
    failed = {run: labels for run, each in runs.items() if (labels := unlearnt(each))}
    parts = [INTRODUCTION, effort(results, runs), about_failed(failed)]
    runs = {run: each for run, each in runs.items() if run not in failed}
    for test in TESTS_OF_EQUAL_TIME:
        parts.append(f"## Labels, {test}\n\n{label_table(runs, test)}\n\n{pair_table(runs, test)}\n")
    for test in TESTS_OF_EQUAL_TIME:
        parts.append(f"## Images, {test}\n\n{image_table(runs, test)}\n\n{image_pairs(runs, test)}\n")
    write_text(page, "\n".join(parts))
    print(page)


def load_runs(results: Path) -> Runs:
    """Return the runs by arm and seed."""
    study = results_in(results)
    described = sorted(study.runs(), key=lambda run: f"{run['arm']}_seed{run['seed']}")
    runs = {}
    for run in described:
        counted = {name: run[name] for name in ("repeats", "true_repeats") if name in run}
        runs[run["arm"], run["seed"]] = Run(run.get("training"), **counted)
    labels, images = (study.table(name) for name in (LABEL_SCORES, IMAGE_SCORES))  # either may be missing
    if len(labels):
        for (arm, seed, test, table), rows in labels.groupby(["arm", "seed", "test", "table"]):
            runs[arm, int(seed)].labels[test, table] = rows
    if len(images):
        for (arm, seed, test), rows in images.groupby(["arm", "seed", "test"]):
            runs[arm, int(seed)].images[test] = rows
    return runs


def unlearnt(run: Run) -> list[str]:
    """Return the labels that a trained run has not learnt: a mean Dice below the limit with every set of stacks."""
    means = [
        pd.to_numeric(rows["dice"]).fillna(0).groupby(rows["label"]).mean()
        for (_, table), rows in run.labels.items()
        if table == CASES_FILE
    ]
    if run.training is None or not means:
        return []
    best = pd.concat(means, axis=1).max(axis=1)
    return sorted(map(str, best.index[best < UNLEARNT_DICE]))


def about_failed(failed: dict[tuple[str, int], list[str]]) -> str:
    """Return the paragraph on trainings that did not learn a label."""
    if not failed:
        return ""
    named = "; ".join(f"`{arm}` seed {seed} (label {', '.join(labels)})" for (arm, seed), labels in failed.items())
    return (
        f"Trainings that did not learn a label (mean Dice below {UNLEARNT_DICE}) are in no table below, since a failed "
        f"baseline is no win: {named}.\n"
    )


def effort(results: Path, runs: Runs) -> str:
    """Return a table of what every training took."""
    lines = ["| training | parameters | iterations | CPU time, s |", "| --- | ---: | ---: | ---: |"]
    taken: dict[str, list[dict]] = {}
    for run in runs.values():
        if run.training is not None:
            taken.setdefault(run.training["name"], []).append(run.training)
    for name, each in taken.items():
        seconds = [training["cpu_s"] for training in each if not training["resumed"]]
        spread = f"{min(seconds):.0f} to {max(seconds):.0f}" if seconds else "resumed"
        iterations = each[0]["num_epochs"] * each[0]["iterations_per_epoch"]
        lines.append(f"| {name} | {each[0]['parameters']:,} | {iterations} | {spread} |")
    for name, grid in GRIDS.items():
        if (prior := results / f"prior_{name}.json").is_file():
            found = json.loads(prior.read_text())
            lines.append(f"| prior, `grid={grid}` | {found['parameters']:,} | | {found['cpu_s']:.0f} |")
    return "## Training\n\n" + "\n".join(lines) + "\n"


def label_table(runs: Runs, test: str) -> str:
    """Return a table of every arm's own scores: mean ± standard deviation over cases and seeds."""
    lines = header("arm", "seeds", *(title for *_, title in COLUMNS))
    for arm in ARMS:
        if ARMS[arm].image or not (seeds := seeds_of(runs, arm, test)):
            continue
        rows = compare_arms(runs, arm, arm, seeds, test)
        cells = []
        for metric, clean_up, _ in COLUMNS:
            row, digits = find(rows, metric, "baseline", clean_up), digits_of(metric)
            cells.append(f"{row.mean:.{digits}f} ± {row.sd:.{digits}f}")
        lines.append("| " + " | ".join([ARMS[arm].title, str(len(seeds)), *cells]) + " |")
    return "\n".join(lines)


def pair_table(runs: Runs, test: str, pairs: Pairs = PAIRS, *, over_seeds: bool = False) -> str:
    """Return a table of paired differences, with the targets' verdicts.

    Args:
        runs: of the study.
        test: set of stacks.
        pairs: arms, and the targets' bounds.
        over_seeds: whether intervals cover other seeds too, not only other patients.
    """
    titles = (f"{title}, difference" for *_, title in COLUMNS)
    lines = header("arm − other", "seeds", *titles, "Dice, difference seed by seed", "target")
    for arm, other, target in pairs:
        if not (seeds := common_seeds(runs, arm, other, test)):
            continue
        rows = compare_arms(runs, arm, other, seeds, test, over_seeds=over_seeds)
        cells = []
        for metric, clean_up, _ in COLUMNS:
            cells.append(describe(*(find(rows, metric, each, clean_up) for each in ("arm", "baseline"))))
        means = ([mean_dice(runs, each, seed, test) for seed in seeds] for each in (arm, other))
        cells.append(", ".join(f"{mine - theirs:+.3f}" for mine, theirs in zip(*means, strict=True)))
        met = "" if target is None else verdict(rows, *target)
        lines.append("| " + " | ".join([f"`{arm}` − `{other}`", str(len(seeds)), *cells, met]) + " |")
    return "\n".join(lines)


def verdict(rows: list[Comparison], lowest_dice: float, highest_share: float) -> str:
    """Return whether Dice's interval lies above and Hausdorff's below their bounds."""
    dice, hausdorff = find(rows, "dice", "arm"), find(rows, "hausdorff_mm", "arm")
    bound_mm = highest_share * (find(rows, "hausdorff_mm", "baseline").mean or 0)
    assert dice.ci_low is not None
    assert hausdorff.ci_high is not None
    reached = {"Dice": dice.ci_low > lowest_dice, "Hausdorff": hausdorff.ci_high < bound_mm}
    return ", ".join(f"{name} {'met' if good else 'missed'}" for name, good in reached.items())


def describe(row: Comparison, baseline: Comparison) -> str:
    """Return "−0.31 [−0.50, −0.12] (−9 %)"; the share is of the other arm's mean, for distances."""
    digits = digits_of(row.metric)
    text = f"{row.mean_difference:+.{digits}f} [{row.ci_low:+.{digits}f}, {row.ci_high:+.{digits}f}]"
    if row.metric == "dice" or not baseline.mean:
        return text
    return f"{text} ({100 * row.mean_difference / baseline.mean:+.0f} %)"


def compare_arms(
    runs: Runs, arm: str, other: str, seeds: list[int], test: str, *, over_seeds: bool = False
) -> list[Comparison]:
    """Return the package's paired statistics of an arm against another, a pair a case and seed.

    With `over_seeds`, intervals of the mean of the labels cover other seeds too.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folders = {title: Path(scratch) / title for title in ("baseline", "arm")}
        for folder, name in zip(folders.values(), (other, arm), strict=True):
            folder.mkdir()
            (folder / "summary.json").write_text("{}")
            for file in (CASES_FILE, LARGEST_COMPONENT_FILE):
                (folder / file).write_text(merge(runs, name, seeds, test, file))
        cases = sorted(set(pd.read_csv(folders["baseline"] / CASES_FILE, usecols=["case"])["case"]))
        groups = Path(scratch) / "groups.csv"
        write_groups(groups, [CaseGroup(case, case.split("__")[0], "", "") for case in cases])
        scores = read_paired_scores(folders, groups=groups)
    rows = compare_scores(scores)
    return [_with_seeds(row, scores) if over_seeds and row.arm == "arm" else row for row in rows]


def _with_seeds(row: Comparison, scores: PairedScores) -> Comparison:
    """Return a row over all cases and the mean of the labels with the interval over patients and seeds."""
    if (row.stratum, row.label) != ("all", FOREGROUND):
        return row
    values = scores.values[row.clean_up][:, :, scores.labels.index(FOREGROUND), METRICS.index(row.metric)]
    (patients, seeds) = zip(*(case.split("__") for case in scores.cases), strict=True)
    differences = np.full((len(set(seeds)), len(set(patients))), np.nan)
    differences[np.unique(seeds, return_inverse=True)[1], np.unique(patients, return_inverse=True)[1]] = (
        values[scores.arms.index("arm")] - values[scores.arms.index("baseline")]
    )
    low, high = mean_interval(differences)
    return replace(row, ci_low=low, ci_high=high)


def mean_dice(runs: Runs, arm: str, seed: int, test: str) -> float:
    """Return a run's mean Dice over cases and labels."""
    return float(pd.to_numeric(run_of(runs, arm, seed).labels[test, CASES_FILE]["dice"]).mean())


def merge(runs: Runs, arm: str, seeds: list[int], test: str, file: str) -> str:
    """Return one table of an arm's runs, each case named after its seed too."""
    parts = [
        run_of(runs, arm, seed).labels[test, file].assign(case=lambda rows, end=f"__{seed}": rows["case"] + end)
        for seed in seeds
    ]
    return csv_text(pd.concat(parts), without=["arm", "seed", "test", "table"])


def image_table(runs: Runs, test: str) -> str:
    """Return a table of image quality: mean ± standard deviation over cases and seeds."""
    lines = header("arm", "seeds", *IMAGE_METRICS.values())
    for arm in ARMS:
        if not ARMS[arm].image or not (seeds := seeds_of(runs, arm, test)):
            continue
        values = {metric: image_values(runs, arm, seeds, test, metric) for metric in IMAGE_METRICS}
        cells = [f"{np.nanmean(each):.4g} ± {np.nanstd(each, ddof=1):.2g}" for each in values.values()]
        lines.append("| " + " | ".join([ARMS[arm].title, str(len(seeds)), *cells]) + " |")
    return "\n".join(lines)


def image_pairs(runs: Runs, test: str, *, over_seeds: bool = False) -> str:
    """Return a table of the target's chain, each arm against the next one, and one more; paired by case and seed."""
    lines = header("arm − other", "seeds", *(f"{title}, difference" for title in IMAGE_METRICS.values()))
    for arm, other in IMAGE_PAIRS:
        if not (seeds := common_seeds(runs, arm, other, test)):
            continue
        measured = [
            image_difference(runs, arm, other, seeds, test, metric, over_seeds=over_seeds) for metric in IMAGE_METRICS
        ]
        cells = [f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]" for mean, low, high in measured]
        lines.append("| " + " | ".join([f"`{arm}` − `{other}`", str(len(seeds)), *cells]) + " |")
    return "\n".join(lines)


def image_difference(
    runs: Runs, arm: str, other: str, seeds: list[int], test: str, metric: str, *, over_seeds: bool = False
) -> tuple[float, float, float]:
    """Return the mean difference of two arms and its interval, paired by case and seed."""
    cases = {tuple(_cases_of(runs, each, seed, test)) for each in (arm, other) for seed in seeds}
    if len(cases) > 1:
        raise ValueError(f"{arm} and {other} were not tested on the same images of {test}, with every seed.")
    both = [image_values(runs, each, seeds, test, metric) for each in (arm, other)]
    if over_seeds:
        return float(np.nanmean(both[0] - both[1])), *mean_interval(both[0] - both[1])
    difference = (both[0] - both[1]).reshape(-1, 1)
    units = np.tile(np.arange(both[0].shape[1]), len(seeds))
    low, high = bootstrap_intervals(difference, units)[0]
    return float(np.nanmean(difference)), float(low), float(high)


def image_values(runs: Runs, arm: str, seeds: list[int], test: str, metric: str) -> np.ndarray:
    """Return a metric (seeds, cases); NaN where it does not apply."""
    tables = [run_of(runs, arm, seed).images[test].sort_values("case") for seed in seeds]
    return np.array([pd.to_numeric(table[metric]) for table in tables], dtype=float)


def _cases_of(runs: Runs, arm: str, seed: int, test: str) -> list[str]:
    return sorted(run_of(runs, arm, seed).images[test]["case"])


def run_of(runs: Runs, arm: str, seed: int) -> Run:
    """Return a run; an arm without a seed has one run for all."""
    return runs[arm, 0 if arm in SEEDLESS else seed]


def seeds_of(runs: Runs, arm: str, test: str) -> list[int]:
    """Return the seeds that an arm was run with, and tested in this test."""
    return sorted(seed for (name, seed), run in runs.items() if name == arm and run.has(test))


def common_seeds(runs: Runs, arm: str, other: str, test: str) -> list[int]:
    """Return the seeds that two arms have both; an arm without a seed has those of the other."""
    mine, theirs = set(seeds_of(runs, arm, test)), set(seeds_of(runs, other, test))
    if not mine or not theirs:
        return []
    if arm in SEEDLESS or other in SEEDLESS:
        return sorted(mine if other in SEEDLESS else theirs)
    return sorted(mine & theirs)


def find(rows: list[Comparison], metric: str, arm: str, clean_up: str = NO_CLEAN_UP) -> Comparison:
    """Return the row over all cases and the mean of the labels."""
    wanted = ("all", "foreground", metric, clean_up, arm)
    return next(row for row in rows if (row.stratum, row.label, row.metric, row.clean_up, row.arm) == wanted)


def header(*titles: str) -> list[str]:
    """Return the first two lines of a Markdown table."""
    return ["| " + " | ".join(titles) + " |", "| --- |" + " ---: |" * (len(titles) - 1)]


def digits_of(metric: str) -> int:
    """Return how many decimals a metric is shown with."""
    return 3 if metric == "dice" else 2
