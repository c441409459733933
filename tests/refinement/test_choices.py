"""What a calibration tries, as steps and as bands."""

from acnn_nnunet.refinement.choices import DEFAULT, LEAVE, MIXES, Choice, choices_of
from acnn_nnunet.refinement.recipe import USUAL_RESEMBLANCE, Band, Mix, Recipe, Step


def test_to_leave_and_the_default_come_first_and_each_label_has_its_own():
    choices = choices_of(("a", "b"))
    assert choices[:2] == [LEAVE, DEFAULT]
    assert len(choices) == len(set(choices)) == 2 + 3 * len(MIXES)
    assert len(choices_of(("a",))) == 2 + len(MIXES)  # of one label: all labels


def test_the_default_is_the_careful_recipe():
    for resemblance in (0.5, 0.9):
        step = DEFAULT.step("project", resemblance)
        assert step == Recipe.careful("project").step_for({"resemblance": resemblance})
    assert LEAVE.step("project", 0.5) is None


def test_one_label_differs_from_the_default():
    default = DEFAULT.step("project", 0.9)
    step = Choice(Mix(1.0), "b").step("project", 0.9)
    assert (step.mix_of("a"), step.mix_of("b")) == (default.usual, Mix(1.0))
    assert Choice(Mix(1.0)).step("project", 0.9) == Step("project", Mix(1.0))


def test_a_band_is_divided_where_the_default_changes():
    low, high = DEFAULT.bands("project", 0.6, 0.95)
    assert (low.resemblance, high.resemblance) == (USUAL_RESEMBLANCE, 0.95)
    assert (low.step.mends, high.step.mends) == (True, False)
    assert DEFAULT.bands("project", 0.9, 1.0) == [Band(1.0, DEFAULT.step("project", 1.0))]
    assert Choice(Mix(0.5)).bands("project", 0.6, 0.95) == [Band(0.95, Step("project", Mix(0.5)))]
    assert LEAVE.bands("project", 0.6, 0.95) == [Band(0.95, None)]
