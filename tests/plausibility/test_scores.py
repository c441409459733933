"""Scores of single predictions, true ones among them, against figures worked out here."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from phantom_prior import write_phantom_prior, write_raw

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.fold_prior.coder import load_coder
from acnn_nnunet.nnunet.label_files import LabelMap
from acnn_nnunet.plausibility.scores import PlausibilityScorer

CASE = "phantom_tr003"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("raw"), cases=6)


@pytest.fixture(scope="module")
def scorer(raw, tmp_path_factory):
    return PlausibilityScorer(load_coder(write_phantom_prior(raw, tmp_path_factory.mktemp("results"))), ())


@pytest.fixture(scope="module")
def prediction(raw, scorer):
    return scorer.read(raw / "labelsTr" / f"{CASE}.nii.gz")


def changed(prediction, values):
    return replace(prediction, values=values.astype(np.uint8))


def test_distances_are_mahalanobis_distances(scorer, prediction, raw):
    images = [raw / "imagesTr" / f"{CASE}_0000.nii.gz"]
    scores = scorer.score(prediction, image_files=images).scores
    network = scorer.coder.prior.network
    case = scorer.coder.bring(prediction, image_files=images)
    with torch.no_grad():
        code, predicted = network.encoder(case.maps[None])[0], network.predictor(case.image[None])[0]
    inverse = np.linalg.inv(network.code_covariance.double().numpy())
    for name, other in (("mahalanobis", network.code_mean), ("image_disagreement", predicted)):
        away = (code - other).double().numpy()
        assert scores[name] == pytest.approx(np.sqrt(away @ inverse @ away), rel=1e-3)


def test_image_dice_is_that_of_the_predictors_label_map(scorer, prediction, raw):
    found = scorer.score(prediction, image_files=[raw / "imagesTr" / f"{CASE}_0000.nii.gz"])
    with torch.no_grad():
        network = scorer.coder.prior.network
        decoded = network.decoder(network.predictor(found.image[None]))[0].argmax(0).numpy()
    first = found.maps.numpy().argmax(0)
    sizes = [((first == label) & (decoded == label), first == label, decoded == label) for label in (1, 2, 3)]
    dice = [2 * both.sum() / (a.sum() + b.sum()) for both, a, b in sizes if (a | b).any()]
    assert found.scores["image_dice"] == pytest.approx(np.mean(dice))


def test_reconstruction_dice_is_a_mean_over_labels(scorer, prediction):
    found = scorer.score(prediction)
    first, second = found.maps.numpy().astype(bool)[1:], found.reconstruction.numpy().astype(bool)[1:]
    dice = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in zip(first, second, strict=True) if (a | b).any()]
    assert found.scores["reconstruction_dice"] == pytest.approx(np.mean(dice))
    assert found.scores["missing_labels"] == 0
    assert "rule_violation" not in found.scores


def test_a_label_that_training_cases_have_can_be_missing(scorer, prediction):
    without = changed(prediction, np.where(prediction.values == 1, 0, prediction.values))
    assert scorer.score(without).scores["missing_labels"] == 1


@pytest.mark.parametrize("shape", [(8, 20, 20), (3, 5, 4)])
def test_an_empty_prediction_has_no_scores(scorer, prediction, shape):
    empty = LabelMap(np.zeros(shape, np.uint8), replace(prediction.geometry, size=shape))
    found = scorer.score(empty)
    assert (found.scores, found.reconstruction) == ({}, None)


def test_full_and_single_voxel_predictions_are_scored(scorer, prediction):
    single = np.zeros_like(prediction.values)
    single[4, 10, 10] = 3
    for values in (np.full_like(prediction.values, 3), single):
        scores = scorer.score(changed(prediction, values)).scores
        assert np.isfinite(list(scores.values())).all()
        assert scores["missing_labels"] == 2


def test_a_code_that_is_not_finite_is_refused(scorer, prediction):
    network = scorer.coder.prior.network
    kept = network.code_mean.clone()
    network.code_mean[0] = float("nan")
    try:
        with pytest.raises(ValueError, match="mahalanobis is not finite"):
            scorer.score(prediction)
    finally:
        network.code_mean.copy_(kept)


def test_truth_is_a_mean_over_labels_by_hand(scorer, prediction):
    assert scorer.true_scores(prediction, prediction) == (1, 0)
    # The RV is gone: a Dice of 0 among three, and the image's diagonal among the distances.
    without = changed(prediction, np.where(prediction.values == 1, 0, prediction.values))
    dice, hausdorff_mm = scorer.true_scores(without, prediction)
    assert dice == pytest.approx(2 / 3)
    assert hausdorff_mm == pytest.approx(prediction.geometry.diagonal_mm / 3)


def test_truth_on_another_grid_is_refused(scorer, prediction):
    shifted = LabelMap(prediction.values, Geometry(prediction.geometry.size, (1.0, 1.0, 1.0)))
    with pytest.raises(ValueError, match="not on its reference's grid: spacing"):
        scorer.true_scores(shifted, prediction)
    empty = changed(prediction, np.zeros_like(prediction.values))
    with pytest.raises(ValueError, match="neither it nor its reference"):
        scorer.true_scores(empty, empty)
