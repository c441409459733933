from acnn_nnunet.refinement.recipe import Band, Mix, Recipe, Step


def test_without_a_calibration_only_unusual_predictions_are_mended():
    recipe = Recipe.careful("project")

    usual, unusual = (recipe.step_for({"resemblance": each}) for each in (0.9, 0.6))

    assert usual.method == unusual.method == "project"
    assert (usual.mends, unusual.mends) == (False, True)
    assert (usual.mix_of("any").thick, unusual.mix_of("any").thick) == (False, True)
    assert 0 < usual.mix_of("any").thin < unusual.mix_of("any").thin < 1


def test_the_first_band_that_fits_decides():
    bad = Step("complete", mixes={"a": Mix(1.0)})
    recipe = Recipe((Band(0.6, bad), Band(0.8, None), Band(1.0, Step("project", Mix(0.5), {"a": Mix(0.25)}))))

    assert recipe.step_for({"resemblance": 0.6}) is bad
    assert recipe.step_for({"resemblance": 0.61}) is None
    last = recipe.step_for({"resemblance": 0.81})
    assert (last.mix_of("a").thin, last.mix_of("b").thin) == (0.25, 0.5)


def test_a_mix_in_words():
    assert [str(mix) for mix in (Mix(), Mix(0.25), Mix(0.5, thick=True))] == [
        "nothing",
        "0.25 of the changes",
        "0.5 of the changes, thick ones whole",
    ]
