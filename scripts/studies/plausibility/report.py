"""docs/evidence/plausibility.md from the study's JSON: every target of the issue with its figure."""

import json
from collections.abc import Sequence
from typing import Any

from scripts.studies.host_folders import ROOT
from scripts.studies.plausibility.targets import table, targets_table
from scripts.studies.plausibility.workplace import AGAINST, NOVELTIES, RESULTS

PAGE = ROOT / "docs" / "evidence" / "plausibility.md"
DATASETS = {"acdc": "Hearts (ACDC)", "hippocampus": "Hippocampi"}
NOTES = {
    "acdc": "Each heart was seen in one window, the middle 240 mm of its slices.",
}
"""What was particular about the run whose figures lie in benchmarks/plausibility/."""
INTRODUCTION = """# Which predictions to trust

Made from `benchmarks/plausibility/` by `python -m scripts.studies.plausibility report`;
[plausibility.md](../reference/plausibility.md) says what scores and figures are.

Small networks, trained on few cases, predicted clean and corrupted images: noise, an occluded slab, slice motion,
dropped slices. The members are the networks of five folds of those cases, as nnU-Net trains them; the judged
prediction is that of their mean probability. Calibrations come from patients that neither a network nor the prior was
trained on: on a fold's own validation cases four of five members have seen the answer. They are measured on other
patients that no network, prior or calibration saw. What is scored was chosen by cross-validation on the hearts'
calibration patients, strange images of twelve of their cases among it, with three exceptions that saw the measured
patients: novelty was made after a look at what each score finds there, thinness was left to the prior after the
hippocampi's figures, and the limit of `unusual` was changed after the hearts'. Those choices were made with other
members, networks that differed in seed and augmentation, and were kept for the five folds. Intervals: 95 %, bootstrap
over patients; differences are paired. AUROC tells the tenth of the predictions with the lowest Dice from the others.
AURC is the area under the risk-coverage curve: the smaller the better."""
_FOUND = 0.9
_SINGLE_NETWORK = ("prior alone", "rules alone", "prior and rules")
FIGURES = (("auroc_worst_tenth", "AUROC"), ("spearman_dice", "Spearman with Dice"), ("aurc", "AURC"))


def write_report() -> None:
    """Write docs/evidence/plausibility.md."""
    parts = [INTRODUCTION]
    for name, title in DATASETS.items():
        path = RESULTS / f"{name}.json"
        if path.is_file():
            content = json.loads(path.read_text())
            parts += [*section(title, content, note=NOTES.get(name, "")), "### Targets", targets_table(name, content)]
    PAGE.write_text("\n\n".join(parts) + "\n")
    print(PAGE)


def section(title: str, content: dict[str, Any], *, note: str) -> list[str]:
    """Return the paragraphs of a dataset."""
    calibrated, measured, seconds = content["calibration"], content["measured"], content["seconds_per_case"]
    prior = content["prior"]["training_cases"]
    return [
        f"## {title}",
        f"{len(content['models'])} members: {', '.join(f'`{model}`' for model in content['models'])}. Calibrated on "
        f"{calibrated['predictions']} predictions of {calibrated['patients']} patients, measured on "
        f"{measured['predictions']} of {measured['patients']}. The prior was trained on {prior['all']} cases, of which "
        f"{prior['calibration']} are calibrated and {prior['confirmation']} measured on. One case takes "
        f"{seconds['median']:.2f} s of one core (longest {seconds['longest']:.2f} s), the model loaded. {note}".strip(),
        verdict(content),
        without_members(content),
        "### Order",
        arms_table(content["arms"]),
        f"**Differences from {' and '.join(AGAINST)}** (everything, paired): {differences(content['arms'])}.",
        "### Per structure (everything; members alone)",
        structures_table(content["structures"]),
        "### Intervals at 90 %",
        coverage_table(content),
        "### Review and the rest",
        reviews_table(content["reviews"]),
        "### Out of distribution: found at 5 % false alarms on clean images",
        strange_table(content["out_of_distribution"]),
        "### What the scores weigh (for the logit of Dice; for log(1 + Hausdorff))",
        weights_table(content["weights"]),
    ]


def verdict(content: dict[str, Any]) -> str:
    """Return whether anything beats members alone, and what is best by AURC."""
    arms = content["arms"]
    best = min(arms, key=lambda arm: arms[arm]["aurc"])
    alone = arms.get("members alone")
    if alone is None:
        return ""
    together = arms["everything"]
    low, high = together["differences"]["members alone"]["auroc_worst_tenth"]
    difference = arms["everything"]["auroc_worst_tenth"] - alone["auroc_worst_tenth"]
    if low is not None and low > 0:
        words = "Everything together finds the worst tenth better than the members alone"
    elif high is not None and high < 0:
        words = "Everything together finds the worst tenth worse than the members alone: take the members"
    else:
        words = "Everything together finds the worst tenth as well as the members alone, within the error"
    share, perfect = together["aurc"] / alone["aurc"], content["perfect_aurc"]
    excess = (together["aurc"] - perfect) / (alone["aurc"] - perfect)
    return (
        f"**{words}** (AUROC {difference:+.3f}, {low:+.3f} to {high:+.3f}). The AURC of everything is "
        f"{together['aurc']:.4f}, {share:.2f} times the members' {alone['aurc']:.4f}; the lowest is that of {best}, "
        f"{arms[best]['aurc']:.4f}. The order by true Dice itself has {perfect:.4f}, "
        f"{perfect / alone['aurc']:.2f} times the members': nothing gets below. Above it, everything has "
        f"{excess:.2f} times the members' excess."
    )


def without_members(content: dict[str, Any]) -> str:
    """Return what a user of a single network has: prior and rules, and what they find out of distribution."""
    arms, found = content["arms"], content["out_of_distribution"]["found"]
    alone = [arm for arm in _SINGLE_NETWORK if arm in arms]
    words = ", ".join(f"{arm} {arms[arm]['auroc_worst_tenth']:.2f}" for arm in alone)
    strange = "; ".join(
        f"{arm} misses more than a tenth of {', '.join(kinds)}"
        if (kinds := [kind for kind, share in found[arm].items() if share < _FOUND])
        else f"{arm} finds at least nine tenths of every kind"
        for arm in NOVELTIES.values()
        if arm in found
    )
    return f"A single network has no members. There, the AUROC is: {words}. Out of distribution, {strange}."


def arms_table(arms: dict[str, Any]) -> str:
    """Return the figures of every arm."""
    rows = [
        [arm, *(_with_interval(each, key) for key, _ in FIGURES), _number(each["spearman_hausdorff"])]
        for arm, each in arms.items()
    ]
    return table(["scores", *(title for _, title in FIGURES), "Spearman with Hausdorff"], rows)


def differences(arms: dict[str, Any]) -> str:
    """Return the paired intervals of everything against the arms it is compared with."""
    found = []
    for other, figures in arms["everything"]["differences"].items():
        for key, title in FIGURES:
            difference = arms["everything"][key] - arms[other][key]
            low, high = figures[key]
            found.append(f"{title} {difference:+.3f} ({low:+.3f} to {high:+.3f}) against {other}")
    return "; ".join(found)


def structures_table(structures: dict[str, Any]) -> str:
    """Return the figures of every structure."""
    rows = []
    for name, arms in structures.items():
        for arm in ("everything", "members alone"):
            if arm in arms:
                rows.append([f"{name}, {arm}", *(_with_interval(arms[arm], key) for key, _ in FIGURES)])
    return table(["structure", *(title for _, title in FIGURES)], rows)


def coverage_table(content: dict[str, Any]) -> str:
    """Return how many truths lie within their intervals."""
    rows = []
    for words, key in (("clean and corrupted", "coverage"), ("clean alone", "coverage_learnt_from_clean")):
        for images, own in content[key].items():
            for name, each in own.items():
                cells = [f"{words}; {images}; {name}"]
                for measure, digits in (("dice", 3), ("hausdorff_mm", 1)):
                    found = each.get(measure)
                    cells += ["–", "–"] if found is None else [
                        f"{100 * found['coverage']:.0f} % of {found['num']}", f"{found['mean_width']:.{digits}f}"
                    ]  # fmt: skip
                rows.append(cells)
    return table(
        ["calibrated on; measured on; structure", "Dice within", "mean width", "Hausdorff within", "mean width, mm"],
        rows,
    )


def reviews_table(found: dict[str, Any]) -> str:
    """Return what a review of the worst cases leaves, by arm."""
    shares = [each["reviewed_share"] for each in next(iter(found.values()))["reviews"]]
    rows = [
        [arm, *(f"{each['lowest_dice']:.2f} ({each['mean_dice']:.3f})" for each in own["reviews"])]
        for arm, own in found.items()
    ]
    return table(["lowest (mean) Dice of the rest; reviewed", *(f"{100 * share:.0f} %" for share in shares)], rows)


def strange_table(content: dict[str, Any]) -> str:
    """Return detection rates by kind and score."""
    kinds = list(content["cases"])
    rows = [[score, *(f"{100 * own[kind]:.0f} %" for kind in kinds)] for score, own in content["found"].items()]
    unusual = content["unusual"]
    title = f"said to be unlike ({100 * unusual['clean']:.0f} % of the clean)"
    rows.append([title, *(f"{100 * unusual[kind]:.0f} %" for kind in kinds)])
    return table(["score", *(f"{kind} ({content['cases'][kind]})" for kind in kinds)], rows)


def weights_table(weights: dict[str, dict[str, Sequence[float]]]) -> str:
    """Return the weights of every score by structure."""
    scores = list(dict.fromkeys(score for own in weights.values() for score in own))
    rows = [[name, *(f"{own[s][0]:+.2f}; {own[s][1]:+.2f}" for s in scores)] for name, own in weights.items()]
    return table(["structure", *(f"`{score}`" for score in scores)], rows)


def _with_interval(figures: dict[str, Any], key: str) -> str:
    low, high = figures["intervals"][key]
    digits = 3 if key == "aurc" else 2
    return f"{_number(figures[key], digits)} ({_number(low, digits)} to {_number(high, digits)})"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
