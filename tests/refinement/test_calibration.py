"""Recipes from trials whose best mixture is known by hand."""

import json

import numpy as np
import pytest

from acnn_nnunet.refinement.calibration import MIXES, Calibration, Trial, calibrate, choose_recipe

LABELS, METHODS = ("a", "b"), ("project", "complete")


def trial(unit, resemblance, gain, *, spoilt=False):
    """One trial: `gain` (labels, methods) is what the last mix adds to a Dice of .8, the others in proportion."""
    dice = 0.8 + np.asarray(gain, dtype=float)[..., None] * np.linspace(0, 1, len(MIXES))
    return Trial(str(unit), spoilt, resemblance, dice, np.full_like(dice, 5.0))


def clean(gain, num=12, resemblance=0.9):
    return [trial(i, resemblance + 0.001 * i, gain) for i in range(num)]


def spoilt(gain, num=12):
    return [trial(i, 0.5, gain, spoilt=True) for i in range(num)]


HARMS = [[-0.02, -0.02], [-0.02, -0.02]]


def test_too_few_cases_or_patients_are_refused():
    with pytest.raises(
        ValueError, match=r"needs 10 predictions with ground truth, of two patients .* there are 9 of 9"
    ):
        calibrate(clean(HARMS, 9), labels=LABELS, methods=METHODS, prior_sha256="p")
    one = [trial("same", 0.9, HARMS) for _ in range(12)]
    with pytest.raises(ValueError, match="there are 12 of 1"):
        calibrate(one, labels=LABELS, methods=METHODS, prior_sha256="p")


def test_what_never_gains_is_never_done():
    calibration = calibrate(clean(HARMS) + spoilt(HARMS), labels=LABELS, methods=METHODS, prior_sha256="p")

    assert all(band.step is None for band in calibration.recipe.bands)
    for name in ("clean", "spoilt"):
        assert calibration.measured[name]["refined"] == 0
        assert calibration.measured[name]["dice_gain"] == 0


def test_clean_images_are_left_and_bad_ones_refined_by_the_better_method():
    better = [[0.01, 0.1], [-0.03, 0.05]]

    calibration = calibrate(clean(HARMS) + spoilt(better), labels=LABELS, methods=METHODS, prior_sha256="p")

    assert calibration.recipe.step_for({"resemblance": 0.95}) is None
    step = calibration.recipe.step_for({"resemblance": 0.5})
    assert (step.method, dict(step.mixes)) == ("complete", {"a": MIXES[-1], "b": MIXES[-1]})
    assert calibration.measured["spoilt"]["refined"] == 12
    assert calibration.measured["spoilt"]["dice_gain"] == pytest.approx(0.075)
    assert "12 of 12 refined, Dice +0.0750" in calibration.summary


def test_each_label_has_its_own_mix():
    trials = [trial(i, 0.9 + 0.001 * i, [[0.05, 0], [-0.05, 0]]) for i in range(12)]

    step = choose_recipe(trials, labels=LABELS, methods=METHODS).step_for({"resemblance": 1.0})

    assert dict(step.mixes) == {"a": MIXES[-1], "b": MIXES[0]}


def test_a_gain_that_is_not_sure_is_left():
    # One patient in twelve gains .1 and the others lose .005: a mean of +.00375 with a standard error of .00875.
    trials = [trial(i, 0.9 + 0.001 * i, np.full((2, 2), 0.1 if i == 11 else -0.005)) for i in range(12)]

    recipe = choose_recipe(trials, labels=LABELS, methods=METHODS)

    assert recipe.step_for({"resemblance": 1.0}) is None


def test_a_shorter_hausdorff_distance_is_a_gain_too():
    trials = clean([[0.0, 0.0], [0.0, 0.0]])
    for each in trials:
        each.hausdorff_mm[:, 0, 1:] = 2.5

    step = choose_recipe(trials, labels=LABELS, methods=METHODS).step_for({"resemblance": 1.0})

    assert step.method == "project"
    assert not any(mix.does_nothing for mix in step.mixes.values())


def test_a_file_of_it_reads_back_and_others_are_refused():
    calibration = calibrate(
        clean(HARMS) + spoilt([[0.1, 0], [0.1, 0]]), labels=LABELS, methods=METHODS, prior_sha256="p"
    )
    plain = json.loads(json.dumps(calibration.as_plain()))

    assert Calibration.from_plain(plain, where="x") == Calibration.from_plain(calibration.as_plain(), where="x")
    assert Calibration.from_plain(plain, where="x").recipe == calibration.recipe
    for wrong in ({}, [], {**plain, "format_version": 0}, {**plain, "recipe": {"bands": []}}):
        with pytest.raises(ValueError, match="x is no calibration that this acnn-nnunet refine wrote"):
            Calibration.from_plain(wrong, where="x")
