"""How unlike a prediction is: distances by hand, and limits that hold new patients."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from acnn_nnunet.plausibility.novelty import Cloud, Novelty, fit_novelty, novelty_scores
from acnn_nnunet.plausibility.table import PlausibilityRow, Structure


def row(case, volume_ml, *, present=True, dice=0.9):
    scores = {"volume_ml": volume_ml, "members_dice": dice}
    return PlausibilityRow(case, "scored", {"LV": Structure(present, scores if present else {})})


def hearts(count=60, *, seed=0):
    rng = np.random.default_rng(seed)
    return [row(f"c{n}", math.exp(5 + 0.2 * rng.standard_normal()), dice=rng.uniform(0.8, 1)) for n in range(count)]


def units(rows):
    return {each.case: each.case for each in rows}


def fitted(rows, scores=("volume_ml", "members_dice")):
    return fit_novelty(rows, units(rows), names=["LV"], scores=scores)


def test_a_case_without_structures_has_no_distance():
    novelty, held_out = fitted([*hearts(), row("none", 0.0, present=False)])
    assert novelty.of([row("none", 0.0, present=False)]) == [{}]
    assert held_out[-1] == {}


def test_a_distance_by_hand():
    # Standardised (2, 1) with a correlation of 0.6: (4 + 1 - 2 · 0.6 · 2) / (1 - 0.36) = 2.6 / 0.64
    precision = (np.linalg.inv([[1, 0.6], [0.6, 1]])).tolist()
    cloud = Cloud(("volume_ml", "members_dice"), (0.0, 0.1), (0.5, 0.2), tuple(map(tuple, precision)))
    found = cloud.distances([{"volume_ml": math.e, "members_dice": 0.7}, {"volume_ml": 1.0, "members_dice": 0.9}])
    assert found == pytest.approx([math.sqrt(2.6 / 0.64), 0])


def test_half_a_heart_and_twice_a_heart_are_unusual_and_a_heart_is_not():
    novelty, _ = fitted(hearts())
    usual, half, twice = (novelty.of([row("x", math.exp(5) * share)])[0]["LV"] for share in (1, 0.5, 2))
    assert usual < novelty.limit < min(half, twice)
    assert half == pytest.approx(math.log(2) / 0.2, rel=0.35)  # 60 cases tell the standard deviation so well


def test_one_new_patient_in_twenty_is_beyond_the_limit():
    novelty, held_out = fitted(hearts(200))
    new = [max(each.values()) for each in novelty.of(hearts(400, seed=1))]
    assert np.mean(np.array(new) > novelty.limit) == pytest.approx(0.05, abs=0.035)
    assert np.mean([each["LV"] > novelty.limit for each in held_out]) == 0.05


def test_each_patient_weighs_the_same():
    rows = hearts(40)
    last = rows[-1].structures["LV"].scores["volume_ml"]
    copies = [row(f"copy{n}", 1.0) for n in range(40)]  # one patient whose forty hearts are far too small
    one = {**units(rows), **dict.fromkeys((each.case for each in copies), "c39")}
    novelty, held_out = fit_novelty([*rows, *copies], one, names=["LV"], scores=("volume_ml",))
    assert last > 50
    assert sorted(each["LV"] for each in held_out[:39])[37] == novelty.limit  # 38 of 40 patients keep it


def test_fewer_than_twenty_patients_set_the_limit_at_the_farthest():
    novelty, held_out = fitted(hearts(19))
    assert novelty.limit == max(each["LV"] for each in held_out)


def test_a_patient_does_not_make_itself_usual():
    rows = hearts(30)
    _, before = fitted(rows)
    novelty, after = fitted([row("c0", 1.0), *rows[1:]])  # a heart of 1 ml
    assert after[0]["LV"] > 10 > before[0]["LV"]
    assert novelty.of([row("c0", 1.0)])[0]["LV"] < after[0]["LV"]


def test_scores_that_never_move_are_left_out():
    rows = [row(f"c{n}", 100.0 + n, dice=1.0) for n in range(20)]
    assert fitted(rows)[0].clouds["LV"].scores == ("volume_ml",)
    assert fitted([row(f"c{n}", 100.0, dice=1.0) for n in range(20)])[0].clouds == {}


def test_the_scores_are_the_priors_or_else_the_members():
    prior = ("volume_ml", "reconstruction_dice", "reconstruction_distance_mm", "thinness_per_mm", "mahalanobis")
    assert novelty_scores(("members", "prior", "rules")) == prior
    assert novelty_scores(("members", "rules")) == ("volume_ml", "members_dice", "members_distance_mm")
    assert novelty_scores(("rules",)) == ("volume_ml",)


def test_it_comes_back_from_its_file():
    novelty, _ = fitted(hearts())
    plain = json.loads(json.dumps(asdict(novelty)))
    assert Novelty.from_plain(plain) == novelty
    plain["clouds"]["LV"]["precision"] = [[1.0]]
    with pytest.raises(ValueError, match="do not fit together"):
        Novelty.from_plain(plain)
    with pytest.raises(ValueError, match="do not fit together"):
        Novelty.from_plain({**asdict(novelty), "limit": math.nan})
