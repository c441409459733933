"""Paired figures of the study's page, from scores by hand."""

import pandas as pd

from scripts.studies.refinement.images import GROUPS, KINDS
from scripts.studies.refinement.report import _against, _seeds, unlearnt_runs
from scripts.studies.refinement.tried import of_all_seeds


def scores(gain):
    rows = [
        {"seed": "0", "kind": "clean", "case": case, "unit": case, "arm": arm, "dice": dice, "hausdorff_mm": mm}
        for case in "abc"
        for arm, dice, mm in (("none", 0.8, 10.0), ("project", 0.8 + gain, 6.0))
    ]
    return pd.DataFrame(rows)


def test_changes_are_paired_and_intervals_of_equal_patients_are_points():
    dice, hausdorff = _against(scores(0.02), "project", "none")

    assert dice == "+0.0200 (+0.0200 to +0.0200)"
    assert hausdorff == "-40.0 (-40.0 to -40.0) %"


def test_intervals_cover_other_seeds():
    both = pd.concat([scores(0.02).assign(seed="0"), scores(0.06).assign(seed="1")])

    # Two seeds, drawn with replacement: both times the one, both times the other, or one of each.
    assert _against(both, "project", "none")[0] == "+0.0400 (+0.0200 to +0.0600)"


def test_every_kind_is_in_one_group():
    assert sorted(KINDS) == sorted(kind for kinds in GROUPS.values() for kind in kinds)


def test_each_kind_counts_the_same_whatever_its_images():
    one = scores(0.02)
    more = pd.concat([scores(0.06).assign(kind="slab", seed=seed) for seed in "012"])

    assert _against(pd.concat([one, more]), "project", "none")[0].startswith("+0.0400 ")


def test_images_that_a_seed_lacks_do_not_count():
    one, other = scores(0.02).assign(seed="0"), scores(0.02).assign(seed="1")
    slab = scores(0.06).assign(kind="slab", seed="0")

    left = of_all_seeds(pd.concat([one, slab, other[other["case"] != "b"]]))

    assert set(left["kind"]) == {"clean"}
    assert sorted(left["case"] + left["seed"]) == ["a0", "a0", "a1", "a1", "c0", "c0", "c1", "c1"]


def test_seeds_are_told():
    one = scores(0.02).assign(seed="0")

    assert _seeds(one) == "one seed (0)"
    assert _seeds(pd.concat([one, one.assign(seed="1")])) == "2 seeds (0, 1)"


def test_a_training_that_learnt_no_right_ventricle_is_named():
    rows = [
        {"dataset": "acdc", "network": "n", "seed": seed, "kind": kind, "arm": arm, "label": label, "dice": dice}
        for seed, label, kind, arm, dice in (
            ("0", "RV", "clean", "none", 0.5),
            ("0", "LV", "clean", "none", 0.9),
            ("1", "RV", "clean", "none", 0.4),
            ("1", "RV", "clean", "none", 0.1),
            ("1", "LV", "clean", "none", 0.9),
            ("0", "RV", "slab", "none", 0.0),
            ("0", "RV", "clean", "complete", 0.0),
        )
    ]

    found = unlearnt_runs(pd.DataFrame(rows))

    assert list(found) == [("acdc", "n", "1")]
    assert "failed to learn RV (Dice 0.25 on clean images)" in found["acdc", "n", "1"]
