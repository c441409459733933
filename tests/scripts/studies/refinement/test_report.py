"""Paired figures of the study's page, from scores by hand."""

import pandas as pd

from scripts.studies.refinement.images import GROUPS, KINDS
from scripts.studies.refinement.report import _against, _seeds


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


def test_every_kind_is_in_one_group():
    assert sorted(KINDS) == sorted(kind for kinds in GROUPS.values() for kind in kinds)


def test_each_kind_counts_the_same_whatever_its_images():
    one = scores(0.02)
    more = pd.concat([scores(0.06).assign(kind="slab", seed=seed) for seed in "012"])

    assert _against(pd.concat([one, more]), "project", "none")[0] == "+0.0400 (+0.0400 to +0.0400)"


def test_seeds_and_their_kinds_are_told():
    one = scores(0.02).assign(seed="0")

    assert _seeds(one) == "one seed (0)"
    assert _seeds(pd.concat([one, one.assign(seed="1")])) == "2 seeds (0, 1)"
    some = pd.concat([one, one.assign(kind="slab"), one.assign(seed="1")])
    assert _seeds(some) == "2 seeds (0, 1; 0 with clean, slab; 1 with clean)"
