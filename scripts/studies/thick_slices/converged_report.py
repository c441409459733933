"""docs/evidence/thick_slices_converged.md: the arms at convergence, and what became of the issue's targets."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from acnn_nnunet.evaluation.masks.table import CASES_FILE
from acnn_nnunet.files.safe_writes import write_text
from scripts.studies.thick_slices.arms import ADJUSTED, ARMS, MIXED_FACTORS, MIXED_TESTS
from scripts.studies.thick_slices.converged import IN_PLANE_ARM, LOSSES, OUTSIDE_ARM
from scripts.studies.thick_slices.report import (
    Runs,
    common_seeds,
    compare_arms,
    find,
    header,
    image_difference,
    image_pairs,
    image_table,
    label_table,
    load_runs,
    mean_dice,
    pair_table,
    run_of,
)
from scripts.studies.thick_slices.resampled_repeats import FILE

ACNN, MAUG, UNET = "acnn_sub_pixel_motion_b2", "sub_pixel_motion_b2", "unet_interpolated"
PAIRS = (
    (ACNN, MAUG, None),
    (ACNN, UNET, None),
    (OUTSIDE_ARM, MAUG, None),
    (OUTSIDE_ARM, UNET, None),
    (OUTSIDE_ARM, ACNN, None),
    (MAUG, UNET, None),
    (MAUG, "sub_pixel_b2", None),
    (IN_PLANE_ARM, MAUG, None),
    (MAUG, "unet_2d", None),
    ("ae_seg_b2", "sub_pixel_b2", None),
    ("ae_seg_m_b2", "sub_pixel_b2", None),
    (ACNN, "ae_seg_m_b2", None),
    *((f"{arm}_adjusted", arm, None) for arm in ADJUSTED),
    (f"{ACNN}_adjusted", f"{MAUG}_adjusted", None),
    (f"{ACNN}_adjusted", f"{UNET}_adjusted", None),
    (f"{OUTSIDE_ARM}_adjusted", f"{MAUG}_adjusted", None),
)
# Turned in space, as nnU-Net does, and in the plane of their slices alone, as pairs are.
IN_SPACE, IN_PLANE = "sub_pixel_b2", "in_plane_b2"
OF_REAL_PAIRS = (("pairs_b2", IN_SPACE, None), ("pairs_b2", IN_PLANE, None), (IN_PLANE, IN_SPACE, None))
LEAST_HAUSDORFF_GAIN, MOST_MIXED_LOSS = 0.07, 0.005
FEWEST_SEEDS = 3  # with which a target is judged
INTRODUCTION = """# Thick slices at convergence

Made by `python -m scripts.studies.thick_slices report --protocol converged`. Hippocampi, fold 0, slices that moved,
half of nnU-Net's width, U-Nets with one convolution more (2D: wider) for as many parameters, batches of two. All
trainings have equally many steps but SR-CNN, whose step takes a CPU's core 32 s where that of SR takes half a second:
it had as many as an hour allows. "Rise": of the straight line through validation Dice (R² of images) over the last
fifth of the epochs, ± its standard error; "flat": by at most 0.005 beyond what two standard errors explain. A training
that failed to learn a label was repeated with a batch twice as large.

Intervals are over patients and seeds. Networks that were trained on different machines ("on") differ in that too: on a
GPU in float16 and with a loader's own random numbers.

The U-Net sees each interpolated stack as it moved once; 3D-Seg-MAug and ACNN-Seg see new motion in every batch, so a
difference from the U-Net holds that of motion too.

"Logits adjusted": the log of each label's share of the training voxels is added to the logits of the same network.
That takes back that the per-class loss lets rare labels spread (Menon et al., ICLR 2021). A gain that vanishes there
is none of the shape's. These arms and `outside_weight=1` were added after the others were read."""


def write_converged_report(results: Path, page: Path) -> None:
    """Write the page of all losses that have runs."""
    parts = [INTRODUCTION]
    for loss in LOSSES:
        if runs := load_runs(results / loss):
            parts += [f"## {loss}", target_table(runs), *tables(runs)]
    if len(parts) == 1:
        parts.append("**No arm has been trained yet: none of this study's targets is measured.**")
    if (path := results / FILE).is_file():
        parts.append(resampling_section(json.loads(path.read_text())))
    write_text(page, "\n\n".join(parts) + "\n")
    print(page)


def resampling_section(found: dict) -> str:
    """Return what nnU-Net's resampling alone repeats."""
    neighbours, same = found["planned"]
    return f"""## Repeats that resampling alone makes

nnU-Net plans thick slices for one spacing. Where a stack's slices are closer, its way back to the stack repeats labels,
whatever the network. True labels on planned slices of 5 mm stand for a network without a mistake: stacks of 4 mm get
the same labels in {same} of {neighbours} neighbouring slices ({same / neighbours:.0%}, {found["cases"]} hippocampi),
with Dice {found["dice"]:.3f}. Their true labels repeat in {found["true"][1]} of {found["true"][0]}. `predict-hr` puts
out thin slices, of which a stack's own are a part: nothing is repeated on the way. Counted by
`python -m scripts.studies.thick_slices.resampled_repeats`."""


def tables(runs: Runs) -> list[str]:
    """Return the tables of one loss, those without a row left out."""
    trained = {(run.training["name"], seed): run.training for (_, seed), run in runs.items() if run.training}
    titled = {
        "Training": [convergence_table(trained)],
        "Labels": [label_table(runs, "motion"), pair_table(runs, "motion", PAIRS, over_seeds=True)],
        "Real pairs against simulated stacks, slices that did not move": [
            pair_table(runs, "still", OF_REAL_PAIRS, over_seeds=True)
        ],
        "Images": [image_table(runs, "motion"), image_pairs(runs, "motion", over_seeds=True)],
        "One network for several spacings": [mixed_table(runs)],
        "The same labels in neighbouring slices": [repeats_table(runs)],
    }
    filled = {title: [table for table in some if table.count("\n") > 1] for title, some in titled.items()}
    return ["\n\n".join([f"### {title}", *some]) for title, some in filled.items() if some]


def target_table(runs: Runs) -> str:
    """Return what was measured of each target of issue 22, "not measured" where runs are missing."""
    rows: dict[str, Callable[[Runs], str]] = {
        "ACNN-Seg against 3D-Seg-MAug: Hausdorff −7 %, interval below 0; Dice not lower": partial(against_maug, ACNN),
        "the same with the prior on the box and `outside_weight=1`": partial(against_maug, OUTSIDE_ARM),
        "ACNN-Seg against the U-Net: Dice higher, Hausdorff lower, every seed": partial(against_unet, ACNN),
        "the same, prior on the box, `outside_weight=1`": partial(against_unet, OUTSIDE_ARM),
        "pairs against simulated stacks: Dice within the seeds' spread": partial(pairs_within_spread, IN_SPACE),
        "the same, simulated stacks turned in their plane alone, as pairs are": partial(pairs_within_spread, IN_PLANE),
        "repeats on mixed spacings: halved, Dice not lower": repeats_halved,
        "one network for factors 4 to 6: Dice within 0.005": one_network,
        "ACNN-SR above SR in SSIM, interval above 0": acnn_sr_above_sr,
        "SR-CNN above B-spline in SSIM": sr_cnn_above_bspline,
    }
    lines = ["| target | measured |", "|---|---|"]
    return "\n".join([*lines, *(f"| {title} | {measure(runs) or 'not measured'} |" for title, measure in rows.items())])


def against_maug(arm: str, runs: Runs) -> str:
    """Return Hausdorff's and Dice's difference of an arm of ACNN-Seg against 3D-Seg-MAug."""
    if not (seeds := common_seeds(runs, arm, MAUG, "motion")):
        return ""
    rows = compare_arms(runs, arm, MAUG, seeds, "motion", over_seeds=True)
    dice = find(rows, "dice", "arm")
    mm, other = (find(rows, "hausdorff_mm", each) for each in ("arm", "baseline"))
    shares = [value / other.mean for value in (mm.mean_difference, mm.ci_low, mm.ci_high)]
    good = shares[0] <= -LEAST_HAUSDORFF_GAIN and shares[2] < 0 and dice.mean_difference >= 0
    text = f"Hausdorff {shares[0]:+.1%} [{shares[1]:+.1%}, {shares[2]:+.1%}], Dice {dice.mean_difference:+.3f} "
    return (
        f"{text}[{dice.ci_low:+.3f}, {dice.ci_high:+.3f}], {_seeds(seeds)}: {_verdict(good, runs, (arm, MAUG), seeds)}"
    )


def against_unet(arm: str, runs: Runs) -> str:
    """Return the differences of an arm of ACNN-Seg against the U-Net on interpolated stacks, seed by seed."""
    if not (seeds := common_seeds(runs, arm, UNET, "motion")):
        return ""
    dice, mm = (
        [_mean(runs, arm, seed, "motion", metric) - _mean(runs, UNET, seed, "motion", metric) for seed in seeds]
        for metric in ("dice", "hausdorff_mm")
    )
    shown = [", ".join(f"{value:+.{digits}f}" for value in values) for values, digits in ((dice, 3), (mm, 2))]
    verdict = _verdict(min(dice) > 0 and max(mm) < 0, runs, (arm, UNET), seeds)
    return f"Dice {shown[0]}; Hausdorff {shown[1]} mm: {verdict}"


def pairs_within_spread(simulated: str, runs: Runs) -> str:
    """Return the difference of Dice between training on pairs and an arm of simulated stacks, and its seeds' spread."""
    arms = "pairs_b2", simulated
    if len(seeds := common_seeds(runs, *arms, "still")) < 2:
        return ""
    dice = [np.array([mean_dice(runs, arm, seed, "still") for seed in seeds]) for arm in arms]
    difference, spread = float(dice[0].mean() - dice[1].mean()), float(np.ptp(dice[1]))
    verdict = _verdict(abs(difference) <= spread, runs, arms, seeds)
    return f"{difference:+.4f}, spread {spread:.4f}, {_seeds(seeds)}: {verdict}"


def repeats_halved(runs: Runs) -> str:
    """Return the repeats of stock and of ours, and the difference of Dice."""
    if not (seeds := common_seeds(runs, "mixed_sampled", "stock_mixed", "mixed4")):
        return ""
    ours, stock = (sum(_repeats(runs, arm, seeds).values()) for arm in ("mixed_sampled", "stock_mixed"))
    dice = [
        np.mean([mean_dice(runs, arm, seed, test) for seed in seeds for test in MIXED_TESTS])
        for arm in ("mixed_sampled", "stock_mixed")
    ]
    verdict = _verdict(2 * ours <= stock and dice[0] >= dice[1], runs, ("mixed_sampled", "stock_mixed"), seeds)
    return f"{stock} stock, {ours} ours; Dice {dice[0] - dice[1]:+.3f}, {_seeds(seeds)}: {verdict}"


def one_network(runs: Runs) -> str:
    """Return the differences of Dice of one network against one per factor."""
    differences = {factor: found for factor in MIXED_FACTORS if (found := _mixed_differences(runs, factor))}
    if not differences:
        return ""
    seeds = sorted(set.intersection(*(set(found) for found in differences.values())))
    if set(differences) != set(MIXED_FACTORS) or not seeds:
        known = ", ".join(f"factor {factor}: seeds {sorted(found)}" for factor, found in differences.items())
        return f"not judged before all factors have a seed in common; {known}"
    means = {factor: float(np.mean([found[seed] for seed in seeds])) for factor, found in differences.items()}
    shown = ", ".join(f"factor {factor}: {mean:+.4f}" for factor, mean in means.items())
    arms = ("mixed_b2", *(f"factor_{factor}_b2" for factor in differences))
    good = all(mean >= -MOST_MIXED_LOSS for mean in means.values())
    return f"{shown}, {_seeds(seeds)}: {_verdict(good, runs, arms, seeds)}"


def acnn_sr_above_sr(runs: Runs) -> str:
    """Return SSIM's difference of ACNN-SR against SR."""
    return _ssim(runs, "acnn_sr_b2", "sr_b2")


def sr_cnn_above_bspline(runs: Runs) -> str:
    """Return SSIM's difference of SR-CNN against B-spline."""
    return _ssim(runs, "sr_cnn_b2", "image_bspline")


def mixed_table(runs: Runs) -> str:
    """Return a table of Dice by factor, of one network and of one per factor."""
    lines = header("factor", "seeds", "one network", "one per factor", "difference, seed by seed")
    for factor in MIXED_FACTORS:
        if not (differences := _mixed_differences(runs, factor)):
            continue
        test, arms = f"mixed{factor}", ("mixed_b2", f"factor_{factor}_b2")
        means = [np.mean([mean_dice(runs, arm, seed, test) for seed in differences]) for arm in arms]
        cells = [*(f"{mean:.3f}" for mean in means), ", ".join(f"{each:+.4f}" for each in differences.values())]
        lines.append("| " + " | ".join([str(factor), str(len(differences)), *cells]) + " |")
    return "\n".join(lines)


def repeats_table(runs: Runs) -> str:
    """Return a table of repeats in neighbouring slices by test, and of the true labels' own."""
    lines = header("arm", "seeds", *MIXED_TESTS, "Dice on the slices")
    for arm in ("stock_mixed", "mixed_sampled"):
        if not (seeds := common_seeds(runs, arm, arm, "mixed4")):
            continue
        counts = _repeats(runs, arm, seeds)
        dice = np.mean([mean_dice(runs, arm, seed, test) for seed in seeds for test in MIXED_TESTS])
        cells = [f"{counts[test]} of {_neighbours(runs, arm, seeds, test)}" for test in MIXED_TESTS]
        lines.append("| " + " | ".join([ARMS[arm].title, str(len(seeds)), *cells, f"{dice:.3f}"]) + " |")
        if arm == "stock_mixed":
            true = [run_of(runs, arm, seeds[0]).true_repeats[test] for test in MIXED_TESTS]
            lines.append("| true labels | | " + " | ".join(f"{same} of {all_}" for all_, same in true) + " | |")
    return "\n".join(lines)


def convergence_table(trainings: dict[tuple[str, int], dict]) -> str:
    """Return a table of how long each training (name and seed) took, whether it was flat, and which labels failed."""
    lines = [
        "| training | seed | on | parameters | steps | rise | flat | labels that failed at first | in the end |",
        "|---|---:|---|---:|---:|---:|---|---|---|",
    ]
    for (name, seed), each in sorted(trainings.items()):
        steps = each["num_epochs"] * each["iterations_per_epoch"]
        failed = ", ".join(map(str, each["failed_before"])) or "none"
        still = ", ".join(map(str, each["unlearnt"])) or "none"
        flat = "yes" if each["flat"] else "no"
        rise = "–" if None in each["last_rise"] else "{:+.3f} ± {:.3f}".format(*each["last_rise"])
        cells = [name, str(seed), each["device"], f"{each['parameters']:,}", str(steps), rise, flat, failed, still]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _mixed_differences(runs: Runs, factor: int) -> dict[int, float]:
    """Return the difference of Dice at a factor by seed, one network less one of its own."""
    mine, own, test = "mixed_b2", f"factor_{factor}_b2", f"mixed{factor}"
    seeds = common_seeds(runs, mine, own, test)
    return {seed: mean_dice(runs, mine, seed, test) - mean_dice(runs, own, seed, test) for seed in seeds}


def _repeats(runs: Runs, arm: str, seeds: list[int]) -> dict[str, int]:
    return {test: sum(run_of(runs, arm, seed).repeats[test][1] for seed in seeds) for test in MIXED_TESTS}


def _neighbours(runs: Runs, arm: str, seeds: list[int], test: str) -> int:
    return sum(run_of(runs, arm, seed).repeats[test][0] for seed in seeds)


def _ssim(runs: Runs, arm: str, other: str) -> str:
    if not (seeds := common_seeds(runs, arm, other, "motion")):
        return ""
    mean, low, high = image_difference(runs, arm, other, seeds, "motion", "ssim_3d", over_seeds=True)
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}], {_seeds(seeds)}: {_verdict(low > 0, runs, (arm, other), seeds)}"


def _mean(runs: Runs, arm: str, seed: int, test: str, metric: str) -> float:
    return float(pd.to_numeric(run_of(runs, arm, seed).labels[test, CASES_FILE][metric]).mean())


def _verdict(good: bool, runs: Runs, arms: Sequence[str], seeds: list[int]) -> str:
    """Return whether a target was reached, unless a label failed, which is no win of the other arm, or seeds lack."""
    trainings = [training for arm in arms for seed in seeds if (training := run_of(runs, arm, seed).training)]
    if failed := sorted({each["name"] for each in trainings if each["unlearnt"]}):
        return f"not judged, labels failed in {', '.join(failed)}"
    if len(seeds) < FEWEST_SEEDS:
        return f"not judged with fewer than {FEWEST_SEEDS} seeds"
    return ("reached" if good else "missed") + ("" if all(each["flat"] for each in trainings) else ", not all are flat")


def _seeds(seeds: list[int]) -> str:
    return "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
