"""docs/evidence/defaults.md from the study's scores: a page for a user who asks what each option brings."""

from collections.abc import Collection

import pandas as pd

from scripts.studies.defaults.arms import (
    ADJUSTED,
    BASELINES,
    CLEAN,
    CONFIRMING,
    DECIDING,
    MIRRORED_PREDICTION,
    STUDIES,
    STUDY_KINDS,
    TORCHIO_KINDS,
)
from scripts.studies.defaults.differences import Difference, compare, image_means
from scripts.studies.defaults.images import CONFIRMATION, SELECTION
from scripts.studies.defaults.payoff import payoff_section
from scripts.studies.defaults.predictions import LARGEST
from scripts.studies.defaults.targets import DICE, HAUSDORFF, NEW_DEFAULTS, PER_CLASS, SEEDS, STOCK, TARGETS, Target
from scripts.studies.defaults.texts import EARLIER, INTRODUCTION
from scripts.studies.defaults.workplace import RESULTS, SCORES
from scripts.studies.host_folders import ROOT
from scripts.studies.thick_slices.convergence import UNLEARNT_DICE

PAGE = ROOT / "docs" / "evidence" / "defaults.md"
SETS = {"clean": (CLEAN,), "study's kinds": STUDY_KINDS, "TorchIO's kinds": TORCHIO_KINDS}
# What a row of the first table is called: the one thing that its arm has and its baseline has not.
STEPS = {
    MIRRORED_PREDICTION: "mirroring in prediction too",
    "none_unmirrored": "not mirroring",
    "none_unmirrored_hidden": "hidden parts, in half of the images",
    "none_unmirrored_hidden_quarter": "hidden parts, in a quarter of them",
    "roi_0.3_decoded_unmirrored": "the prior",
    "roi_0.3_decoded_unmirrored_hidden": "the prior, on top of hidden parts",
    "roi_0.3_decoded_unmirrored_hidden_quarter": "the prior, on top of hidden parts in a quarter",
}
# Runs of `hidden_parts` as it was until 28 November 2026: a patch with a hidden part was z-scored by itself. The code
# of today trains none of them. By (arm, baseline).
EARLIER_STEPS = {
    (
        f"{arm}_renormalised",
        f"{baseline}_renormalised" if "hidden" in baseline else baseline,
    ): f"{STEPS[arm]}, as it was"
    for arm, baseline in BASELINES.items()
    if arm in STEPS and "hidden" in arm
}
HIDDEN_PARTS = {0.5: "none_unmirrored_hidden", 0.25: "none_unmirrored_hidden_quarter"}
PRIORS_OF_PAPER = {
    "paper_unmirrored": "the paper's prior, λ1 = .01",
    "paper_ratio_0.1_unmirrored": "the same, weighed by a gradient ratio of 0.1",
    "paper_box_outside_30_unmirrored": "the paper's prior, λ1 = .01, on a box, with `outside_weight=30`",
    "hybrid_pc_unmirrored": "the hybrid prior, ratio 0.3",
    "hybrid_pc_outside_unmirrored": "`outside_weight=1`, on top of the hybrid prior",
    "hybrid_pc_outside_0.3_unmirrored": "`outside_weight=0.3`, on top of the hybrid prior",
    "hybrid_pc_1.0_outside_unmirrored": "hybrid prior and `outside_weight=1` at ratio 1.0 instead of 0.3",
}
TOGETHER_OF_PAPER = ("hybrid_pc_outside_unmirrored", "hybrid_pc_1.0_outside_unmirrored")


def write_report() -> None:
    """Write docs/evidence/defaults.md and its figure."""
    scores = RESULTS.table(SCORES).drop(columns="iou", errors="ignore")
    failed = failed_runs(scores)
    images = load_images(scores, without=failed)
    named = "; ".join(f"{dataset} `{arm}` seed {seed}" for dataset, arm, seed in failed)
    sections = [INTRODUCTION.replace("FAILED", named or "none")]
    for name in STUDIES:
        sections += dataset_sections(images, name)
    sections += [targets_section(images), payoff_section(images), EARLIER]
    PAGE.write_text("\n".join(sections))
    print(PAGE)


def load_images(scores: pd.DataFrame, *, without: Collection[tuple[str, str, int]]) -> pd.DataFrame:
    """Return the scores of all runs but those that failed, a row per image, with columns `patient` and `device`."""
    if without:
        keys = pd.MultiIndex.from_frame(scores.astype({"seed": int})[["dataset", "arm", "seed"]])
        scores = scores[~keys.isin(without)]
    images = image_means(scores)
    grouped = images["dataset"].map(lambda name: STUDIES[name].grouped)
    devices = {(run["dataset"], run["arm"], run["seed"]): run["device"] for run in RESULTS.runs()}
    return images.assign(
        patient=images["case"].where(~grouped, images["case"].str.rsplit("_", n=1).str[0]),
        device=[devices[key] for key in images[["dataset", "arm", "seed"]].itertuples(index=False, name=None)],
    )


def failed_runs(scores: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Return dataset, arm and seed of the runs under nnU-Net's loss that have not learnt a label on clean images.

    The paper's loss spreads rare labels, which lowers their Dice in every seed: no failure of a training.
    """
    if not len(scores):
        return []
    clean = scores[scores["kind"] == "clean"].astype({"seed": int, "dice": float})
    means = clean.groupby(["dataset", "arm", "seed", "label"])["dice"].mean().groupby(level=[0, 1, 2]).min()
    of_host = {
        (run["dataset"], run["arm"], run["seed"])
        for run in RESULTS.runs()
        if run["settings"].get("preset") != "paper" and "segmentation_loss" not in run["settings"]
    }
    return [run for run in means.index[means < UNLEARNT_DICE] if run in of_host]


def dataset_sections(images: pd.DataFrame, name: str) -> list[str]:
    """Return a dataset's tables: what each step brings, the paper's loss, and what the selection cases say."""
    of_dataset = images[images["dataset"] == name]
    confirmed = of_dataset[of_dataset["part"] == CONFIRMATION]
    title = name.capitalize() if name != "acdc" else "Hearts (ACDC)"
    seeds = of_dataset.groupby("arm")["seed"].nunique()
    if seeds.empty:
        return [f"## {title}\n\nNo run of this version yet.\n"]
    total = {(arm, STOCK): f"all together: `{arm}`" for arms in NEW_DEFAULTS.values() for arm in arms}
    total |= {
        (arm, MIRRORED_PREDICTION): f"`{arm}` against `{MIRRORED_PREDICTION}`"
        for arm in ("none_unmirrored", *(arm for arms in NEW_DEFAULTS.values() for arm in arms))
    }
    steps = {(arm, BASELINES[arm]): words for arm, words in STEPS.items()} | total | EARLIER_STEPS
    paper = {(arm, BASELINES[arm]): words for arm, words in PRIORS_OF_PAPER.items()}
    paper |= {(arm, PER_CLASS): f"all together: `{arm}`" for arm in TOGETHER_OF_PAPER}
    paper |= {(arm, network): f"logits of `{network}` adjusted, no training" for arm, network in ADJUSTED.items()}
    for arm in ADJUSTED.values():
        if arm != PER_CLASS:
            paper[f"{arm}_adjusted", f"{PER_CLASS}_adjusted"] = f"`{arm}`, logits of both arms adjusted"
    for arm in TOGETHER_OF_PAPER:
        paper[arm, f"{PER_CLASS}_adjusted"] = f"`{arm}` against `{PER_CLASS}`, whose logits are adjusted"
    return [
        f"## {title}\n",
        f"{len(confirmed['patient'].unique())} patients that nothing was chosen on.\n",
        f"### What each step brings, under nnU-Net's loss\n\n{table(confirmed, steps, STOCK)}\n",
        f"### The paper's loss\n\n{table(confirmed, paper, PER_CLASS)}\n",
        f"### Kinds that only confirm, and the selection cases\n\n{choice_table(of_dataset, steps | paper)}\n",
        f"{choice(of_dataset)}\n",
    ]


def table(images: pd.DataFrame, pairs: dict[tuple[str, str], str], first: str) -> str:
    """Return a Markdown table: the first arm's own means, then a row per pair of arms.

    Args:
        images: of a dataset's confirmation cases.
        pairs: (arm, baseline) to what the row is called.
        first: the arm with a row of means; where it has no run, the first baseline that has.
    """
    columns = [(title, kinds, score) for title, kinds in SETS.items() for score in (DICE, HAUSDORFF)]
    cleaned = f"{HAUSDORFF}{LARGEST}"
    columns.append(("all bad kinds, largest component", (*STUDY_KINDS, *TORCHIO_KINDS), cleaned))
    names = {DICE: "Dice", HAUSDORFF: "Hausdorff, mm", cleaned: "Hausdorff, mm"}
    lines = [
        "| | seeds | " + " | ".join(f"{title}: {names[score]}" for title, _, score in columns) + " |",
        "| --- |" + " ---: |" * (len(columns) + 1),
    ]
    run = set(images["arm"])
    shown = next((arm for arm in (first, *(baseline for _, baseline in pairs)) if arm in run), first)
    own = images[images["arm"] == shown]
    if len(own):
        cells = [
            f"{own.loc[own['kind'].isin(kinds), score].mean():.{2 if score != DICE else 3}f}"
            for _, kinds, score in columns
        ]
        lines.append(f"| `{shown}` itself | {own['seed'].nunique()} | " + " | ".join(cells) + " |")
    absent = []
    for (arm, baseline), words in pairs.items():
        found = [compare(images[images["kind"].isin(kinds)], arm, baseline, score) for _, kinds, score in columns]
        if any(each is None for each in found):
            absent.append(words)
            continue
        cells = [describe(each, score) for each, (_, _, score) in zip(found, columns, strict=True)]
        lines.append(f"| {words} | {len(found[0].seeds)} | " + " | ".join(cells) + " |")
    not_run = f"Not run yet: {'; '.join(absent)}." if absent else ""
    return "\n".join(["\n".join(lines), "", not_run]).strip() if len(lines) > 2 else not_run


def choice_table(images: pd.DataFrame, pairs: dict[tuple[str, str], str]) -> str:
    """Return a Markdown table of what decides (selection cases) and what only confirms (confirmation cases)."""
    columns = [
        ("deciding kinds", SELECTION, tuple(kind for kind in DECIDING if kind != CLEAN)),
        ("clean, to decide", SELECTION, (CLEAN,)),
        ("confirming kinds", CONFIRMATION, CONFIRMING),
    ]
    titles = [f"{title}: {score}" for title, _, _ in columns for score in ("Dice", "Hausdorff, mm")]
    lines = ["| | " + " | ".join(titles) + " |", "| --- |" + " ---: |" * len(titles)]
    for (arm, baseline), words in pairs.items():
        cells = []
        for _, part, kinds in columns:
            rows = images[(images["part"] == part) & images["kind"].isin(kinds)]
            cells += [describe(compare(rows, arm, baseline, score), score) for score in (DICE, HAUSDORFF)]
        if any(cells):
            lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def choice(images: pd.DataFrame) -> str:
    """Return what the rule of `arms.py` says of both shares of hidden parts on a dataset, in one sentence each."""
    found = {share: _choice(images, arm, share) for share, arm in HIDDEN_PARTS.items()}
    return "\n".join(filter(None, found.values())) or "The rule for `hidden_parts` has no run to judge."


def _choice(images: pd.DataFrame, arm: str, share: float) -> str:
    selection = images[images["part"] == SELECTION]
    clean, bad = selection["kind"] == CLEAN, selection["kind"].isin(DECIDING) & (selection["kind"] != CLEAN)
    found = [
        compare(selection[rows], arm, BASELINES[arm], score)
        for rows, score in ((bad, HAUSDORFF), (clean, DICE), (clean, HAUSDORFF))
    ]
    if found[0] is None:
        return ""
    conditions = {
        "shorter Hausdorff distances on deciding kinds": found[0].interval[1] < 0,
        "no loss of Dice on clean images": found[1].interval[0] > -0.002,
        "no loss of Hausdorff distance on clean images": found[2].share_interval[1] < 0.02,
    }
    failed = [words for words, holds in conditions.items() if not holds]
    seeds = len(found[0].seeds)
    few = "" if seeds >= SEEDS else f" This is {seeds} of {SEEDS} seeds, so nothing is decided yet."
    said = f"does not hold: not shown are {', '.join(failed)}" if failed else "holds"
    return f"The rule for `hidden_parts={share:g}` as a default {said}.{few}"


def targets_section(images: pd.DataFrame) -> str:
    """Return the targets of the study and whether they are reached."""
    lines = [
        "## Targets\n",
        "On the confirmation cases. Of several arms, the selection cases have chosen: most Dice on clean images, of"
        " those with four seeds (a rule that was added after the arms had been read). A verdict needs four seeds; with"
        " fewer it says how many. The new defaults are what the rule above leaves: no mirroring and the prior, without"
        " hidden parts.\n",
        "| measure | dataset | target | measured | interval | verdict |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    head, unmeasured = len(lines), {}
    for target in TARGETS:
        for name in STUDIES:
            of_dataset = images[images["dataset"] == name]
            arm = chosen_arm(of_dataset, target)
            rows = of_dataset[(of_dataset["part"] == CONFIRMATION) & of_dataset["kind"].isin(target.kinds)]
            found = compare(rows, arm, target.baseline, target.score)
            percent = target.score != DICE
            bound = f"{'≥' if target.above else '≤'} {_number(target.bounds[name], percent=percent)}"
            if not found:
                unmeasured.setdefault(target.measure, []).append(f"{name} {bound}")
                continue
            ends = found.share_interval if percent else found.interval
            measured = f"{_number(target.value(found), percent=percent)} (`{arm}`)"
            interval = " to ".join(_number(end, percent=percent) for end in ends)
            verdict = target.verdict(name, found)
            lines.append(f"| {target.measure} | {name} | {bound} | {measured} | {interval} | {verdict} |")
    lines = lines if len(lines) > head else lines[:2]
    if unmeasured:
        lines += ["\nNot measured yet, for want of runs:\n"]
        lines += [f"- {measure}: {', '.join(names)}" for measure, names in unmeasured.items()]
    return "\n".join(lines) + "\n"


def chosen_arm(images: pd.DataFrame, target: Target) -> str:
    """Return which of a target's arms gains most Dice on clean images of a dataset's selection cases.

    Those with the seeds that a verdict needs come before the others.
    """
    clean = images[(images["part"] == SELECTION) & (images["kind"] == CLEAN)]

    def rank(arm: str) -> tuple[int, float]:
        gain = compare(clean, arm, target.baseline, DICE)
        return (min(len(gain.seeds), SEEDS), gain.mean) if gain else (0, 0.0)

    return max(target.arms, key=rank)


def describe(found: Difference | None, score: str) -> str:
    """Return "+.019 [+.012, +.031]", for distances with the share of the baseline; nothing where there is no run."""
    if found is None:
        return ""
    low, high = found.interval
    if score == DICE:
        return f"{found.mean:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"{found.mean:+.2f} [{low:+.2f}, {high:+.2f}] ({100 * found.share:+.0f} %)"


def _number(value: float, *, percent: bool) -> str:
    return f"{100 * value:+.0f} %" if percent else f"{value:+.3f}"
