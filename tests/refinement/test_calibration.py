"""Recipes from trials whose best mixture is known by hand."""

import json

import numpy as np
import pytest

from acnn_nnunet.refinement.calibration import Calibration, Trial, calibrate, choose_recipe, outcome_of_recipe
from acnn_nnunet.refinement.choices import DEFAULT, LEAVE, MIXES, Choice, choices_of
from acnn_nnunet.refinement.recipe import Recipe

LABELS, METHODS = ("a", "b"), ("project", "complete")
CHOICES = choices_of(LABELS)


def trial(unit, resemblance, gain, *, spoilt=False, default=0.0):
    """One trial: `gain` (labels, methods) is what the last mix adds to a Dice of .8, the others in proportion.

    `default` is what the default adds; where one label differs from it, only that label's own gain comes on top.
    """
    gain = np.asarray(gain, dtype=float)
    dice = np.empty((*gain.shape, len(CHOICES)))
    for index, choice in enumerate(CHOICES):
        share = MIXES.index(choice.mix) / (len(MIXES) - 1) if choice.mix is not None else 0.0
        own = np.array([choice.label in (None, label) for label in LABELS])[:, None]
        of_default = 0.0 if choice.leave or (choice.mix is not None and choice.label is None) else default
        dice[..., index] = 0.8 + gain * own * share + of_default
    return Trial(str(unit), spoilt, resemblance, dice, np.full_like(dice, 5.0))


def clean(gain, num=12, resemblance=0.9):
    return [trial(i, resemblance + 0.001 * i, gain) for i in range(num)]


def spoilt(gain, num=12, resemblance=0.5):
    return [trial(i, resemblance, gain, spoilt=True) for i in range(num)]


HARMS = [[-0.02, -0.02], [-0.02, -0.02]]


def test_too_few_cases_or_patients_are_refused():
    with pytest.raises(
        ValueError, match=r"needs 10 predictions with ground truth, of two patients .* there are 9 of 9"
    ):
        calibrate(clean(HARMS, 9), labels=LABELS, methods=METHODS, prior_sha256="p")
    one = [trial("same", 0.9, HARMS) for _ in range(12)]
    with pytest.raises(ValueError, match="there are 12 of 1"):
        calibrate(one, labels=LABELS, methods=METHODS, prior_sha256="p")


def test_a_spoilt_copy_whose_own_prediction_was_left_teaches_nothing():
    trials = clean(HARMS)
    stray = trial("stray", 0.5, [[0.1, 0.1], [0.1, 0.1]], spoilt=True)

    found = calibrate([*trials, stray], labels=LABELS, methods=METHODS, prior_sha256="p")

    assert found == calibrate(trials, labels=LABELS, methods=METHODS, prior_sha256="p")


def test_what_never_gains_is_never_done():
    calibration = calibrate(clean(HARMS) + spoilt(HARMS), labels=LABELS, methods=METHODS, prior_sha256="p")

    assert all(band.step is None for band in calibration.recipe.bands)
    for name in ("clean", "spoilt"):
        assert calibration.measured[name]["refined"] == 0
        assert calibration.measured[name]["dice_gain"] == 0


def test_clean_images_are_left_and_bad_ones_refined_by_the_better_method():
    better = [[0.01, 0.1], [-0.03, 0.05]]

    # Above 0.87, where the default is another mix.
    trials = clean(HARMS) + spoilt(better, resemblance=0.88)
    calibration = calibrate(trials, labels=LABELS, methods=METHODS, prior_sha256="p")

    assert calibration.recipe.step_for({"resemblance": 0.95}) is None
    step = calibration.recipe.step_for({"resemblance": 0.88})
    assert step == Choice(MIXES[-1]).step("complete", 0.88)
    assert calibration.measured["spoilt"]["refined"] == 12
    assert calibration.measured["spoilt"]["dice_gain"] == pytest.approx(0.075)
    assert "12 of 12 refined, Dice +0.0750" in calibration.summary


def test_spoilt_copies_do_not_outvote_three_clean_patients_of_the_same_band():
    harmed = [trial(i, 0.8 + 0.01 * i, HARMS, default=-0.01) for i in range(20)]  # four of them in the second band
    gaining = [trial(i, 0.84, np.full((2, 2), 0.2), spoilt=True) for i in range(12)]

    recipe = choose_recipe(harmed + gaining, labels=LABELS, methods=METHODS)

    assert recipe.step_for({"resemblance": 0.84}) is None


def test_one_label_may_differ_from_the_default():
    trials = [trial(i, 0.9 + 0.001 * i, [[0.05, 0], [-0.05, 0]], default=0.01) for i in range(12)]

    step = choose_recipe(trials, labels=LABELS, methods=METHODS).step_for({"resemblance": 1.0})

    assert step == Choice(MIXES[-1], "a").step("project", 1.0)
    assert (step.mix_of("a"), step.mix_of("b")) == (MIXES[-1], DEFAULT.step("project", 1.0).usual)


def test_the_default_stays_unless_another_gains_more_for_sure():
    # One patient in twelve gains .1 and the others lose .005: a mean of +.00375 with a standard error of .00875.
    gains = [0.1 if i == 11 else -0.005 for i in range(12)]
    trials = [trial(i, 0.9 + 0.001 * i, np.full((2, 2), gain), default=0.001) for i, gain in enumerate(gains)]

    recipe = choose_recipe(trials, labels=LABELS, methods=METHODS)

    assert recipe.step_for({"resemblance": 1.0}) == DEFAULT.step("project", 1.0)


def test_a_default_that_gains_nothing_is_left_out():
    trials = [trial(i, 0.9 + 0.001 * i, HARMS, default=-1e-4 if i else 1e-3) for i in range(12)]

    # A mean of −1e-5 with a standard error of 9e-5: nothing is surely better, and no gain is expected.
    assert choose_recipe(trials, labels=LABELS, methods=METHODS).step_for({"resemblance": 1.0}) is None


def test_the_measured_gain_is_that_of_the_recipe_as_it_is_applied():
    trials = [trial(i, 0.9, [[0.05, 0], [-0.05, 0]], default=0.01) for i in range(12)]

    measured = calibrate(trials, labels=LABELS, methods=METHODS, prior_sha256="p").measured["clean"]

    assert measured["dice_gain"] == pytest.approx((0.05 + 0.01 + 0.01) / 2)


def test_a_shorter_hausdorff_distance_is_a_gain_too():
    trials = clean([[0.0, 0.0], [0.0, 0.0]])
    for each in trials:
        each.hausdorff_mm[:, 0, [i for i, choice in enumerate(CHOICES) if choice != LEAVE]] = 2.5

    step = choose_recipe(trials, labels=LABELS, methods=METHODS).step_for({"resemblance": 1.0})

    assert step == DEFAULT.step("project", 1.0)


def test_a_label_that_a_choice_invents_costs_what_it_should():
    """Label b is not there: 0.8 + 0.1 for label a, and 0 instead of 1 for label b, which the default draws."""
    trials = clean([[0.0, 0.0], [0.0, 0.0]], 12)
    for each in trials:
        draws = [not choice.leave for choice in CHOICES]
        each.dice[0, :, 1:] = 0.9
        each.dice[1], each.hausdorff_mm[1] = np.where(draws, 0.0, np.nan), np.where(draws, 50.0, np.nan)

    recipe = choose_recipe(trials, labels=LABELS, methods=METHODS)

    assert all(band.step is None for band in recipe.bands)
    careful = Recipe.careful("project")
    dice, hausdorff, refined = outcome_of_recipe(trials[0], careful, labels=LABELS, methods=METHODS)
    assert refined
    assert dice == pytest.approx((0.1 - 1.0) / 2)
    assert hausdorff == pytest.approx((0.0 + 50.0) / 2)


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
