"""Scores of single predictions by a prior, against figures worked out here."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK
import torch
from phantom_prior import write_phantom_prior, write_raw

from acnn_nnunet.nnunet.label_files import LabelMap
from acnn_nnunet.plausibility.prior_scores import _painted, load_prior_scorer
from acnn_nnunet.plausibility.scores import Prediction, Scorer
from acnn_nnunet.plausibility.subject import subject_of_prior

CASE = "phantom_tr003"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("raw"), cases=6)


@pytest.fixture(scope="module")
def prior(raw, tmp_path_factory):
    return load_prior_scorer(write_phantom_prior(raw, tmp_path_factory.mktemp("results")))


@pytest.fixture(scope="module")
def subject(prior):
    return subject_of_prior(prior.coder, None)


@pytest.fixture(scope="module")
def prediction(raw, subject):
    return subject.read(raw / "labelsTr" / f"{CASE}.nii.gz")


def changed(prediction, values):
    return replace(prediction, values=values.astype(np.uint8))


def test_the_distance_is_a_mahalanobis_distance(prior, prediction):
    network = prior.coder.prior.network
    with torch.no_grad():
        code = network.encoder(prior.coder.bring(prediction).maps[None])[0]
    away = (code - network.code_mean).double().numpy()
    inverse = np.linalg.inv(network.code_covariance.double().numpy())
    assert prior.score(prediction).mahalanobis == pytest.approx(np.sqrt(away @ inverse @ away), rel=1e-3)


def test_reconstruction_dice_of_each_label(prior, prediction):
    found = prior.score(prediction)
    pairs = zip(found.maps.numpy().astype(bool)[1:], found.reconstruction.numpy().astype(bool)[1:], strict=True)
    dice = {name: 2 * (a & b).sum() / (a.sum() + b.sum()) for name, (a, b) in zip("123", pairs, strict=True)}
    names = prior.coder.names.values()
    assert list(found.structures) == list(names)
    assert [found.structures[n]["reconstruction_dice"] for n in names] == pytest.approx(list(dice.values()))
    assert all(each["reconstruction_distance_mm"] >= 0 for each in found.structures.values())


@pytest.mark.parametrize("shape", [(8, 20, 20), (3, 5, 4)])
def test_an_empty_prediction_has_no_scores(prior, prediction, shape):
    empty = LabelMap(np.zeros(shape, np.uint8), replace(prediction.geometry, size=shape))
    found = prior.score(empty)
    assert (found.structures, found.mahalanobis, found.empty) == ({}, None, True)
    assert prior.slice_of(found, empty) is None


def test_full_and_single_voxel_predictions_are_scored(prior, prediction):
    single = np.zeros_like(prediction.values)
    single[4, 10, 10] = 3
    for values in (np.full_like(prediction.values, 3), single):
        found = prior.score(changed(prediction, values))
        assert np.isfinite(found.mahalanobis)
        assert all(np.isfinite(list(each.values())).all() for each in found.structures.values())


def test_what_lies_beyond_the_grid_alone_is_not_reconstructed(prior, prediction, monkeypatch):
    name, value = next((name, value) for name, value in prior.coder.prior.spec.labels.items() if value)
    values = np.where(prediction.values == value, 0, prediction.values)
    nothing = torch.zeros(1, 4, *prior.coder.geometry.size)
    nothing[:, 0] = 1
    monkeypatch.setattr(type(prior.coder), "decode", lambda self, codes: nothing)
    assert name not in prior.score(changed(prediction, values)).structures
    values[0, 0, 0] = value  # a corner of 20 voxels in the plane, of which the grid has the middle 16
    found = prior.score(changed(prediction, values))
    assert not found.maps[1 + [*prior.coder.names.values()].index(name)].any()
    diagonal_mm = np.hypot(8 * 15.0, np.hypot(16 * 6.8, 16 * 6.8))
    assert found.structures[name] == pytest.approx(
        {"reconstruction_dice": 0, "reconstruction_distance_mm": diagonal_mm}
    )


def test_a_code_that_is_not_finite_is_refused(prior, prediction):
    network = prior.coder.prior.network
    kept = network.code_mean.clone()
    network.code_mean[0] = float("nan")
    try:
        with pytest.raises(ValueError, match="mahalanobis is not finite"):
            prior.score(prediction)
    finally:
        network.code_mean.copy_(kept)


def test_a_row_holds_the_priors_scores_and_its_slice(prior, subject, prediction, raw):
    scorer = Scorer(subject, prior)
    file = raw / "labelsTr" / f"{CASE}.nii.gz"
    row, kept = scorer.score(Prediction(CASE, file, images=(raw / "imagesTr" / f"{CASE}_0000.nii.gz",)))
    assert scorer.sources == ("prior",)
    assert row.scores == {"mahalanobis": prior.score(prediction).mahalanobis}
    assert set(row.structures["LV"].scores) == {
        "reconstruction_dice", "reconstruction_distance_mm", "volume_ml", "thinness_per_mm"
    }  # fmt: skip
    assert kept.line == "autoencoder"
    assert kept.image.shape == kept.prediction.shape
    assert 1 <= row.slice_number <= prediction.values.shape[0]


def test_an_image_that_is_cropped_changes_no_score(prior, subject, raw, tmp_path):
    file, image = raw / "labelsTr" / f"{CASE}.nii.gz", raw / "imagesTr" / f"{CASE}_0000.nii.gz"
    read = SimpleITK.ReadImage(str(image))
    read[:2, :, :] = read[18:, :, :] = read[:, :3, :] = 0  # nnU-Net crops what is 0
    SimpleITK.WriteImage(read, str(tmp_path / image.name))
    scorer = Scorer(subject, prior)
    rows = [scorer.score(Prediction(CASE, file, images=each))[0] for each in ((), (tmp_path / image.name,))]
    assert rows[0].scores == rows[1].scores
    assert rows[0].structures == rows[1].structures


def test_the_slice_is_counted_along_the_grids_longest_voxels(prior, prediction):
    # The file's own longest voxels lie along y, where the phantom's second slice would be another one.
    thin = replace(prediction, geometry=replace(prediction.geometry, spacing_mm=(6.7, 6.8, 6.8)))
    found = prior.score(thin)
    on_grid = prior.compared(found)
    differing = (on_grid.prediction != on_grid.other).sum((1, 2))
    present = np.flatnonzero((on_grid.prediction > 0).any((1, 2)))
    in_file = np.flatnonzero((thin.values > 0).any((1, 2)))
    share = (differing.argmax() - present[0]) / (present[-1] - present[0])
    wanted = in_file[0] + round(share * (in_file[-1] - in_file[0])) + 1
    assert prior.slice_of(found, thin).number == np.clip(wanted, 1, 8)


def test_the_last_of_overlapping_regions_is_seen():
    maps = torch.zeros(2, 3, 4, 4)
    maps[0], maps[1, :, 0] = 1, 1
    assert _painted(maps, regions=True)[0].tolist() == [[2] * 4, [1] * 4, [1] * 4, [1] * 4]
    classes = torch.stack([1 - maps[0], maps[0]])
    assert (_painted(classes, regions=False) == 1).all()
