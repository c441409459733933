"""Targets of the study of plausibility: what is reached and what is missed, by hand."""

from scripts.studies.plausibility.targets import targets_table


def arm(auroc, low, aurc):
    differences = {other: {"auroc_worst_tenth": [low, 0.2]} for other in ("members alone", "rules alone")}
    return {"auroc_worst_tenth": auroc, "spearman_dice": 0.9, "aurc": aurc, "differences": differences}


def content(*, low=0.01, aurc=0.15, covered=0.9, found=1.0):
    within = {"all": {name: {"coverage": covered} for name in ("dice", "hausdorff_mm")}}
    kinds = ("contrast", "missing_slices", "other_organ", "upside_down")
    return {
        "arms": {
            "everything": arm(0.96, low, aurc),
            "members alone": arm(0.9, 0, 0.2),
            "rules alone": arm(0.8, 0, 0.3),
        },
        "structures": {"LV": {"everything": arm(0.92, low, aurc)}},
        "perfect_aurc": 0.14,
        "coverage": {"clean": within, "corrupted": within},
        "out_of_distribution": {
            "found": {"novelty: prior, volume": dict.fromkeys(kinds, found)},
            "cases": dict.fromkeys(kinds, 14),
        },
        "seconds_per_case": {"median": 0.2},
    }


def missed(*words, **changes):
    lines = targets_table(*words, content(**changes)).splitlines()
    return [line.split(" | ")[0].removeprefix("| ") for line in lines if "**missed**" in line]


def test_what_is_missed_is_said():
    assert missed("acdc") == ["AUROC, LV"]  # 0.92 of 0.93
    assert missed("hippocampus") == []  # structures have no target there
    assert missed("hippocampus", low=0.0) == ["AUROC above members alone", "AUROC above rules alone"]
    assert missed("hippocampus", aurc=0.17) == ["AURC over the members'"]
    assert missed("hippocampus", covered=0.95) == [
        "90 % intervals of Dice, clean",
        "90 % intervals of Hausdorff, clean",
    ]
    assert missed("hippocampus", found=0.95) == ["upside_down at 5 % false alarms"]


def test_figures_stand_beside_their_targets():
    table = targets_table("acdc", content())
    assert "| AUROC above members alone | interval above 0 | +0.060 (+0.010 to +0.200) | reached |" in table
    assert "| AURC over the members' | ≤ 0.80 | 0.75 (the order by true Dice: 0.70) | reached |" in table
    assert "| upside_down at 5 % false alarms | ≥ 100 % | 100 % of 14 | reached |" in table
