"""Trials of phantom predictions."""

from types import SimpleNamespace

import numpy as np
import pytest
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from phantom_prior import SPACING_MM, write_phantom_prior, write_raw

from acnn_nnunet.fold_prior.coder import load_coder
from acnn_nnunet.nnunet.label_files import LabelFileReader
from acnn_nnunet.refinement.anatomy_refiner import AnatomyRefiner
from acnn_nnunet.refinement.choices import choices_of
from acnn_nnunet.refinement.completion import fit_completion
from acnn_nnunet.refinement.predictions import Prediction
from acnn_nnunet.refinement.recipe import Recipe
from acnn_nnunet.refinement.trials import make_trials, score_labels, spoilt_copy
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace


@pytest.fixture(scope="module")
def refiner(tmp_path_factory):
    raw = write_raw(tmp_path_factory.mktemp("raw"), cases=6)
    coder = load_coder(write_phantom_prior(raw, tmp_path_factory.mktemp("results"), steps=40))
    completion = fit_completion(coder.prior.network, coder.labels, coder.geometry.spacing_mm, samples=60)
    values = LabelFileReader("SimpleITKIO").read(sorted((raw / "labelsTr").glob("*.nii.gz"))[0]).values
    return AnatomyRefiner(coder, Recipe.careful("project"), completion), values


def test_an_empty_prediction_gives_no_trial(refiner):
    refiner, values = refiner
    empty = Prediction(np.zeros_like(values), SPACING_MM)

    assert make_trials(refiner, empty, values, case="a", unit="a") == []


def test_a_right_prediction_cannot_gain(refiner):
    refiner, values = refiner

    clean, *_ = make_trials(refiner, Prediction(values, SPACING_MM), values, case="a", unit="patient")

    assert (clean.unit, clean.spoilt) == ("patient", False)
    assert clean.dice.shape == (3, 2, len(choices_of("abc")))
    np.testing.assert_array_equal(clean.dice[..., 0], 1)
    np.testing.assert_array_equal(clean.hausdorff_mm[..., 0], 0)
    assert (clean.gains <= 0).all()


def test_a_spoilt_copy_is_another_one_and_always_the_same(refiner):
    refiner, values = refiner
    prediction = Prediction(values, SPACING_MM)

    copies = [spoilt_copy(prediction, refiner, seed=seed) for seed in (0, 0, 1, 2, 3)]

    np.testing.assert_array_equal(copies[0].values, copies[1].values)
    assert sum((each.values != values).any() for each in copies[1:]) >= 2
    assert copies[0].values.dtype == values.dtype


def test_slices_are_lost_along_the_axis_across_them_wherever_the_file_has_it(refiner, monkeypatch):
    refiner, values = refiner
    seen = []
    monkeypatch.setattr("acnn_nnunet.refinement.trials.spoil", lambda soft, labels: seen.append(soft) or soft)
    last = SimpleNamespace(
        labels=refiner.coder.labels,
        prior=refiner.coder.prior,
        bundle=refiner.coder.bundle,
        layout=SimpleNamespace(transpose=(2, 0, 1)),
    )

    copy = spoilt_copy(Prediction(np.moveaxis(values, 0, -1), SPACING_MM), SimpleNamespace(coder=last), seed=0)

    assert seen[0].shape[1:] == values.shape
    np.testing.assert_array_equal(copy.values, np.moveaxis(values, 0, -1))


def test_a_prediction_whose_labels_are_nowhere_annotated_gives_no_trial(refiner, monkeypatch):
    refiner, values = refiner
    unknown = np.full((2, 3), np.nan)
    monkeypatch.setattr("acnn_nnunet.refinement.trials.score_labels", lambda *_: unknown)

    assert make_trials(refiner, Prediction(values, SPACING_MM), values, case="a", unit="a") == []


def test_a_copy_of_regions_of_which_nothing_is_spoilt_is_the_prediction(monkeypatch):
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    coder = SimpleNamespace(
        labels=LabelSpace(2, regions=True),
        prior=SimpleNamespace(spec=SimpleNamespace(labels=labels)),
        bundle=SimpleNamespace(labels=LabelManager(labels, regions_class_order=[1, 2])),
        layout=SimpleNamespace(transpose=(0, 1, 2)),
    )
    values = np.zeros((4, 5, 6), np.uint8)
    values[1:3, 1:4, 1:5], values[1, 2, 2:4] = 1, 2
    monkeypatch.setattr("acnn_nnunet.refinement.trials.spoil", lambda soft, labels: soft)

    copy = spoilt_copy(Prediction(values, SPACING_MM), SimpleNamespace(coder=coder), seed=0)

    np.testing.assert_array_equal(copy.values, values)


def test_scores_of_a_label_that_is_missing_and_of_one_that_nobody_has(refiner):
    refiner, values = refiner
    truth, found = np.where(values == 3, 0, values), np.where(values == 1, 0, values)
    found = np.where(found == 3, 0, found)

    dice, hausdorff = score_labels(truth, found, SPACING_MM, refiner)

    assert dice[:2].tolist() == [0, 1]
    diagonal = np.linalg.norm(np.array(values.shape) * SPACING_MM)
    assert hausdorff[0] == pytest.approx(diagonal)
    assert hausdorff[1] == 0
    assert np.isnan([dice[2], hausdorff[2]]).all()


def test_what_is_predicted_where_the_truth_is_not_annotated_counts_nothing():
    labels = {"background": 0, "a": 1, "ignore": 2}
    coder = SimpleNamespace(label_values={"a": (1,)}, prior=SimpleNamespace(spec=SimpleNamespace(labels=labels)))
    truth = np.zeros((4, 5, 6), np.uint8)
    truth[1:3, 1:4, 1:3], truth[:, :, 4:] = 1, 2
    found = np.where(truth == 2, 1, truth)

    dice, hausdorff = score_labels(truth, found, SPACING_MM, SimpleNamespace(coder=coder))

    assert (dice[0], hausdorff[0]) == (1, 0)
