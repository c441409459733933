"""docs/evidence/classification.md from the JSON of the study."""

import json
from typing import Any

from scripts.studies.classification.workplace import CLASSES, NUM_FOLDS, RESULTS, ROOT

PAGE = ROOT / "docs" / "evidence" / "classification.md"
INTRODUCTION = """# Can codes tell diseases apart?

Made from `benchmarks/latent/classification.json` by `python -m scripts.studies.classification report`;
[latent.md](../reference/latent.md#classification) says how patients are classified."""
NAMES = {
    "codes": "codes",
    "map_pca": "PCA of the label maps",
    "volumes": "hand-made",
    "codes+volumes": "codes + hand-made",
}
DUELS = (("codes", "map_pca"), ("volumes", "codes+volumes"))


def write_report() -> None:
    """Write docs/evidence/classification.md."""
    content = json.loads(RESULTS.read_text())
    tables = content["tables"]
    parts = [INTRODUCTION, settings_sentence(content["settings"])]
    for arm in ("strict", "loose"):
        for name in CLASSES:
            if f"{arm}_{name}" in tables:
                parts += [f"## {arm.capitalize()} arm, {name.replace('_', ' ')}", *describe(tables[f"{arm}_{name}"])]
    PAGE.write_text("\n\n".join(parts) + "\n")
    print(PAGE)


def settings_sentence(settings: dict[str, Any]) -> str:
    """Return what the priors of the study were."""
    plain = {key: str(value).lower() if isinstance(value, bool) else value for key, value in settings.items()}
    words = ", ".join(f"`{key}={value}`" for key, value in plain.items())
    return (
        f"Measured on 80 patients of ACDC, by `scripts/studies/classification/`: voxels of 10 × 2.5 × 2.5 mm, {words}; "
        f"{NUM_FOLDS} folds. Priors and PCA were fitted to all groups and both phases of a fold's training patients, "
        "PCA without augmentation. Codes and PCA are of the reference label maps, aligned as `--align` does. Hand-made "
        "features: volumes of both "
        "ventricles, ejection fractions, mass, mean wall thickness."
    )


def describe(table: dict[str, Any]) -> list[str]:
    """Return a table of the arms and a list of the comparisons that were asked for."""
    header = ["arm", "phases", "numbers", "right", "accuracy", "95 % interval", "mean of runs ± SD"]
    lines = ["| " + " | ".join(header) + " |", "| --- | --- |" + " ---: |" * (len(header) - 2)]
    for arm in table["arms"]:
        low, high = (100 * end for end in arm["interval"])
        runs = [100 * accuracy for accuracy in arm["accuracy_of_runs"]]
        mean = sum(runs) / len(runs)
        deviation = (sum((run - mean) ** 2 for run in runs) / (len(runs) - 1)) ** 0.5
        n = sum(map(sum, arm["confusion"]))
        lines.append(
            f"| {NAMES[arm['name']]} | {arm['phases']} | {arm['num_features']} | {arm['num_correct']}/{n} | "
            f"{100 * arm['accuracy']:.1f} % | {low:.1f} to {high:.1f} | {mean:.1f} ± {deviation:.1f} |"
        )
    return ["\n".join(lines), "\n".join(sentence(duel) for duel in table["duels"] if asked_for(duel))]


def asked_for(duel: dict[str, Any]) -> bool:
    """Return whether the comparison is one of those that the section is about."""
    return (duel["first"], duel["second"]) in DUELS


def sentence(duel: dict[str, Any]) -> str:
    """Return a comparison as an item of a list."""
    low, high = (100 * end for end in duel["interval"])
    return (
        f"- {NAMES[duel['first']]} against {NAMES[duel['second']]}, {duel['phases']}: {duel['only_first']} patients "
        f"only the first got right, {duel['only_second']} only the second, p = {duel['p']:.2f}; difference of the runs "
        f"{100 * duel['difference']:+.1f} points [{low:+.1f}, {high:+.1f}]."
    )
