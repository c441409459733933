"""One prediction on the grid of a phantom's prior and back."""

from functools import cache

import numpy as np
import pytest
from phantom_prior import PATCH, SPACING_MM, write_phantom_prior, write_raw

from acnn_nnunet.fold_prior.coder import load_coder
from acnn_nnunet.nnunet.label_files import LabelFileReader
from acnn_nnunet.refinement.anatomy_refiner import COMPLETE, KEPT, LEFT, PROJECT, REFINED, AnatomyRefiner
from acnn_nnunet.refinement.completion import fit_completion
from acnn_nnunet.refinement.predictions import Prediction
from acnn_nnunet.refinement.recipe import Band, Mix, Recipe, Step
from acnn_nnunet.shape_prior.grids.roi_box import RoiBox


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("raw"), cases=6)


@pytest.fixture(scope="module", params=["patch", "turned roi"])
def coder(request, raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    if request.param == "patch":
        return load_coder(write_phantom_prior(raw, folder, steps=60))
    # Of the array axes (z, y, x), the plans' order is (x, z, y).
    spacing_mm, size = tuple(SPACING_MM[i] for i in (2, 0, 1)), tuple(PATCH[i] for i in (2, 0, 1))
    box = RoiBox((16, 8, 16), spacing_mm)
    path = write_phantom_prior(raw, folder, steps=60, patch=size, spacing_mm=spacing_mm, transpose=(2, 0, 1), box=box)
    return load_coder(path)


@pytest.fixture(scope="module")
def values(raw):
    return LabelFileReader("SimpleITKIO").read(sorted((raw / "labelsTr").glob("*.nii.gz"))[0]).values


def soft(values, certainty=0.98):
    hard = np.stack([values == label for label in range(4)]).astype(np.float32)
    return certainty * hard + (1 - certainty) / 4


@cache
def completion_of_prior(path):
    coder = load_coder(path)
    return fit_completion(coder.prior.network, coder.labels, coder.geometry.spacing_mm, samples=200)


def refiner(coder, weight=0.5, method=PROJECT):
    recipe = Recipe((Band(1.0, Step(method, Mix(weight, thick=weight > 0))),))
    return AnatomyRefiner(coder, recipe, completion_of_prior(coder.prior.path))


def test_an_empty_prediction_is_left(coder, values):
    refined = refiner(coder).refine(Prediction(np.zeros_like(values), SPACING_MM))

    assert (refined.status, refined.reason) == (LEFT, "nothing is predicted")


def test_without_weight_the_prediction_stays_and_loses_islands_alone(coder, values):
    spoilt = values.copy()
    spoilt[0, 0, 0] = 1

    for probabilities in (None, soft(spoilt)):
        refined = refiner(coder, 0.0).refine(Prediction(spoilt, SPACING_MM, probabilities))

        assert refined.status == REFINED
        if probabilities is not None:
            np.testing.assert_array_equal(refined.values, values)
        assert refined.values[0, 0, 0] == 0
        assert refined.values.dtype == values.dtype


def test_a_recipe_may_leave_a_prediction(coder, values):
    recipe = Recipe((Band(0.0, Step("project")), Band(1.0, None)))

    refined = AnatomyRefiner(coder, recipe, completion_of_prior(coder.prior.path)).refine(
        Prediction(values, SPACING_MM)
    )

    assert (refined.status, refined.reason) == (KEPT, "the calibration expects no gain")
    np.testing.assert_array_equal(refined.values, values)


@pytest.mark.parametrize("method", [PROJECT, COMPLETE])
def test_a_missing_slice_is_filled_in(coder, values, method):
    slices = np.flatnonzero(values.any(axis=(1, 2)))
    spoilt = values.copy()
    spoilt[slices[len(slices) // 2]] = 0

    refined = refiner(coder, method=method).refine(Prediction(spoilt, SPACING_MM, soft(spoilt, 0.9)))

    missing = slices[len(slices) // 2]
    assert np.count_nonzero(refined.values[missing]) > 0.5 * np.count_nonzero(values[missing])


def test_what_is_larger_than_the_grid_is_left(coder, values):
    large = np.kron(values, np.ones((1, 3, 3), dtype=values.dtype))

    refined = refiner(coder).refine(Prediction(large, SPACING_MM))

    assert (refined.status, refined.reason) == (LEFT, "the anatomy is larger than the prior's grid")
    np.testing.assert_array_equal(refined.values, large)


def test_debris_far_away_is_dropped_and_the_heart_is_kept(coder, values):
    wide = np.concatenate([values, np.zeros_like(values), np.zeros_like(values)], axis=2)
    spoilt = wide.copy()
    spoilt[3:6, 2:14, -12:-2] = 1  # a block of one label, larger than half of the heart

    refined = refiner(coder, 0.0).refine(Prediction(spoilt, SPACING_MM, soft(spoilt)))

    assert refined.status == REFINED
    np.testing.assert_array_equal(refined.values, wide)


def test_what_is_too_large_is_left_with_its_islands(coder, values):
    large = np.kron(values, np.ones((1, 3, 3), dtype=values.dtype))
    spoilt = large.copy()
    spoilt[0, 0, 0] = 2

    refined = refiner(coder).refine(Prediction(spoilt, SPACING_MM))

    assert refined.status == LEFT
    assert refined.reason == "the anatomy is larger than the prior's grid"
    np.testing.assert_array_equal(refined.values, spoilt)


def test_several_objects_are_left(coder, values):
    two = np.concatenate([values, np.zeros_like(values), values], axis=2)

    refined = refiner(coder).refine(Prediction(two, SPACING_MM))

    assert refined.status == LEFT
    assert refined.reason == "there are 2 objects, further apart than the prior's grid is long"


def test_what_nothing_resembles_is_left(coder, values):
    comb = np.zeros_like(values)
    comb[1::2, 4:16:4, 4:16] = 3
    comb[:, 4, 4:16] = 3

    refined = refiner(coder).refine(Prediction(comb, SPACING_MM))

    assert refined.status == LEFT
    assert "nothing in the prior resembles it" in refined.reason
    np.testing.assert_array_equal(refined.values, comb)
