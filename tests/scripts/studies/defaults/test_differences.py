"""`scripts/studies/defaults/differences.py`: means by hand, intervals over patients and seeds."""

import numpy as np
import pandas as pd
import pytest

from scripts.studies.defaults.differences import NUMBERS, compare, image_means


def images(gains: dict[int, list[float]]) -> pd.DataFrame:
    """Return rows of a baseline of .5 everywhere, and of an arm with gains by seed and patient."""
    rows = []
    for seed, of_patients in gains.items():
        for number, gain in enumerate(of_patients):
            where = {"seed": seed, "patient": f"p{number}", "case": f"p{number}_ED", "kind": "clean", "device": "cpu"}
            rows += [{"arm": "none", **where, "dice": 0.5}, {"arm": "new", **where, "dice": 0.5 + gain}]
    return pd.DataFrame(rows)


def test_no_common_seed_is_no_difference():
    rows = images({0: [0.1], 1: [0.1]})
    rows = rows[((rows["arm"] == "none") & (rows["seed"] == 0)) | ((rows["arm"] == "new") & (rows["seed"] == 1))]
    assert compare(rows, "new", "none", "dice") is None
    assert compare(rows, "absent", "none", "dice") is None


def test_arms_of_a_seed_that_ran_on_other_machines_are_not_compared():
    rows = images({0: [0.1, 0.2], 1: [0.3, 0.0]})
    rows.loc[(rows["arm"] == "new") & (rows["seed"] == 1), "device"] = "NVIDIA H200"
    found = compare(rows, "new", "none", "dice")
    assert (found.seeds, found.mean) == ((0,), pytest.approx(0.15))


def test_a_mean_over_images_and_its_share():
    found = compare(images({0: [0.1, 0.2], 1: [0.3, 0.0]}), "new", "none", "dice")
    assert found.seeds == (0, 1)
    assert found.num_patients == 2
    assert found.mean == pytest.approx(0.15)
    assert found.share == pytest.approx(0.3)


def test_a_constant_gain_has_no_width():
    found = compare(images({0: [0.1] * 5, 1: [0.1] * 5}), "new", "none", "dice")
    assert found.interval == pytest.approx((0.1, 0.1))
    assert found.share_interval == pytest.approx((0.2, 0.2))


def test_seeds_that_disagree_widen_the_interval():
    # Two seeds, constant over patients: a draw has the mean of two draws of 0 and .2, so 0, .1 or .2, a quarter each
    # at the ends. Patients alone would give a width of 0.
    found = compare(images({0: [0.0] * 5, 1: [0.2] * 5}), "new", "none", "dice")
    assert found.interval == pytest.approx((0.0, 0.2))


def test_patients_that_disagree_widen_the_interval_of_one_seed():
    # Of n patients with gains 0 and 1 in halves, the mean's standard error is .5 / √n.
    found = compare(images({0: [0.0, 1.0] * 50}), "new", "none", "dice")
    low, high = found.interval
    assert (high - low) / 2 == pytest.approx(1.96 * 0.05, rel=0.1)


def test_arms_of_different_images_are_refused():
    rows = images({0: [0.1, 0.2]})
    with pytest.raises(ValueError, match="same images"):
        compare(rows.drop(index=rows.index[-1]), "new", "none", "dice")


def test_an_image_has_the_mean_of_its_labels():
    where = {"dataset": "acdc", "arm": "none", "seed": "0", "part": "selection", "kind": "clean", "case": "a"}
    rows = pd.DataFrame([{**where, "label": label} for label in ("1", "2")])
    (row,) = image_means(rows.assign(**{name: ["1.0", "2.0"] for name in NUMBERS})).to_dict("records")
    assert row["dice"] == pytest.approx(1.5)
    assert row["seed"] == 0


def test_a_missing_score_is_an_error():
    where = {"dataset": "acdc", "arm": "none", "seed": "0", "part": "selection", "kind": "clean", "case": "a"}
    rows = pd.DataFrame([{**where, "label": "1", **dict.fromkeys(NUMBERS, "1.0"), "dice": np.nan}])
    with pytest.raises(ValueError, match="none, seed 0, case a"):
        image_means(rows)
