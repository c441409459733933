"""The targets of the study and whether they were reached, from its JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

TOGETHER, MEMBERS, RULES = "everything", "members alone", "rules alone"
NOVELTY = "novelty: prior, volume"
_COVERED = {"clean": (0.87, 0.93), "corrupted": (0.85, 1.0)}
_FOUND = {"contrast": 0.9, "missing_slices": 0.9, "other_organ": 0.9, "upside_down": 1.0}


def targets_table(name: str, content: dict[str, Any]) -> str:
    """Return each target with what was measured, and whether that reaches it."""
    rows = [
        [what, target, measured, "reached" if good else "**missed**"]
        for what, target, measured, good in _targets(name, content)
    ]
    return table(["measure", "target", "measured", ""], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _targets(name: str, content: dict[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    hearts, arms = name == "acdc", content["arms"]
    together, members = arms[TOGETHER], arms[MEMBERS]
    yield _at_least("AUROC, worst tenth", together["auroc_worst_tenth"], 0.95 if hearts else 0.9)
    for other in (MEMBERS, RULES):
        if other in arms:
            difference = together["auroc_worst_tenth"] - arms[other]["auroc_worst_tenth"]
            low, high = together["differences"][other]["auroc_worst_tenth"]
            yield f"AUROC above {other}", "interval above 0", f"{difference:+.3f} ({low:+.3f} to {high:+.3f})", low > 0
    if hearts:
        for structure, each in content["structures"].items():
            yield _at_least(f"AUROC, {structure}", each[TOGETHER]["auroc_worst_tenth"], 0.93)
        yield _at_least("Spearman with Dice", together["spearman_dice"], 0.87)
    share = together["aurc"] / members["aurc"]
    perfect = content["perfect_aurc"] / members["aurc"]
    yield "AURC over the members'", "≤ 0.80", f"{share:.2f} (the order by true Dice: {perfect:.2f})", share <= 0.8
    for images, (low, high) in _COVERED.items():
        wanted = f"{100 * low:.0f} to {100 * high:.0f} %" if high < 1 else f"≥ {100 * low:.0f} %"
        for measure, title in (("dice", "Dice"), ("hausdorff_mm", "Hausdorff")):
            found = content["coverage"][images]["all"][measure]["coverage"]
            yield f"90 % intervals of {title}, {images}", wanted, f"{100 * found:.1f} %", low <= found <= high
    for kind, wanted_share in _FOUND.items():
        found, cases = content["out_of_distribution"]["found"][NOVELTY][kind], content["out_of_distribution"]["cases"]
        target = f"≥ {100 * wanted_share:.0f} %"
        yield f"{kind} at 5 % false alarms", target, f"{100 * found:.0f} % of {cases[kind]}", found >= wanted_share
    seconds = content["seconds_per_case"]["median"]
    yield "seconds a case, one core", "≤ 0.3", f"{seconds:.2f}", seconds <= 0.3


def _at_least(what: str, found: float, wanted: float) -> tuple[str, str, str, bool]:
    return what, f"≥ {wanted:.2f}", f"{found:.3f}", found >= wanted
