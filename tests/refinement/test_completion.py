"""The completion of a phantom's prior, and its file beside the prior."""

import shutil

import numpy as np
import pytest
import SimpleITK
import torch
from phantom_prior import write_phantom_prior, write_raw

from acnn_nnunet.fold_prior.coder import load_coder
from acnn_nnunet.refinement import completion
from acnn_nnunet.refinement.completion import (
    COMPLETION_FILE,
    distances,
    fit_completion,
    load_completion,
    softened,
    training_anatomies,
    training_files,
)
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.loss.distances import WhitenedDistance

CLASSES = LabelSpace(4)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("raw"), cases=6)


@pytest.fixture(scope="module")
def prior_file(raw, tmp_path_factory):
    return write_phantom_prior(raw, tmp_path_factory.mktemp("results"), steps=60)


@pytest.fixture
def coder(prior_file):
    return load_coder(prior_file)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(completion, "SAMPLES", 40)


def test_distances_of_an_empty_map_are_the_same_everywhere_and_background_is_not_read():
    empty = torch.zeros(1, 4, 4, 8, 8)
    empty[:, 0] = 1

    found = distances(empty, CLASSES, (1, 2, 2), (2.0, 1.0, 1.0))

    assert found.shape == (1, 3 * 4 * 4 * 4)
    assert len(found.unique()) == 1
    assert found[0, 0] < -2


def test_the_weights_are_those_of_a_ridge_regression(coder, monkeypatch):
    network = coder.prior.network
    with torch.no_grad():
        codes = network.code_mean + 0.5 * torch.randn(12, len(network.code_mean))
        whole = coder.labels.hardened(coder.labels.probabilities(network.decoder(codes)))
    damaged = whole.clone()
    damaged[:, :, :3] = torch.tensor([1.0, 0, 0, 0]).view(1, 4, 1, 1, 1)
    monkeypatch.setattr(
        completion, "_draw_pairs", lambda *_: iter([(damaged[:5], whole[:5]), (damaged[5:], whole[5:])])
    )

    fitted = fit_completion(network, coder.labels, coder.geometry.spacing_mm)

    whitening = WhitenedDistance(network.code_covariance).whitening
    with torch.no_grad():
        own, wanted = (((network.encoder(m) - network.code_mean) @ whitening.T).clamp(-6, 6) for m in (damaged, whole))
    read = distances(damaged, coder.labels, fitted.pooling, coder.geometry.spacing_mm)
    x = np.hstack([own, (read - fitted.centre) / fitted.scale, np.ones((12, 1))]).astype(float)
    penalty = 2.0 * np.square(x).sum(1).mean()
    expected = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ wanted.numpy())
    np.testing.assert_allclose(fitted.weights.numpy(), expected, rtol=1e-2, atol=1e-4)
    with torch.no_grad():
        predicted = fitted.codes(network, coder.labels, damaged, coder.geometry.spacing_mm)
    np.testing.assert_allclose(((predicted - network.code_mean) @ whitening.T).numpy(), x @ expected, atol=1e-2)


def test_what_is_missing_is_completed_better_than_the_encoder_does(coder):
    network, labels = coder.prior.network, coder.labels
    fitted = fit_completion(network, labels, coder.geometry.spacing_mm, samples=400)
    generator = torch.Generator().manual_seed(7)
    factor = torch.linalg.cholesky(network.code_covariance)
    with torch.no_grad():
        codes = network.code_mean + torch.randn(12, len(factor), generator=generator) @ factor.T
        whole = labels.probabilities(network.decoder(codes))
        damaged = whole.clone()
        damaged[..., damaged.shape[-1] // 2 :] = torch.tensor(labels.background).view(1, -1, 1, 1, 1)
        first = network.decoder(network.encoder(damaged))
        second = network.decoder(fitted.codes(network, labels, damaged, coder.geometry.spacing_mm))
    wrong = [(labels.hardened(m) != labels.hardened(whole)).any(1).float().mean().item() for m in (first, second)]
    assert wrong[1] < 0.8 * wrong[0]


def test_training_label_maps_are_used_only_where_all_are_at_hand(coder, raw, monkeypatch, tmp_path):
    spec = coder.prior.spec
    assert training_files(coder) == []
    folder = tmp_path / spec.dataset / "labelsTr"
    folder.mkdir(parents=True)
    for case in spec.training_cases:
        shutil.copy(raw / "labelsTr" / f"{case}{coder.file_ending}", folder)
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))

    files = training_files(coder)
    found = training_anatomies(coder, files)

    assert found.shape == (len(spec.training_cases), 4, *coder.geometry.size)
    # One that nnU-Net could train on and the prior's grid cannot hold costs itself alone.
    odd = SimpleITK.ReadImage(str(files[0]))[:, :, :1]
    SimpleITK.WriteImage(odd, str(files[0]))
    assert len(training_anatomies(coder, files)) == len(found) - 1
    files[0].unlink()
    assert training_files(coder) == []
    assert training_anatomies(coder, []) is None


def test_drawn_anatomies_give_way_to_label_maps_that_come_to_hand(coder, raw, few, monkeypatch, tmp_path):
    drawn = load_completion(coder)
    folder = tmp_path / coder.prior.spec.dataset / "labelsTr"
    shutil.copytree(raw / "labelsTr", folder)
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))

    fitted = load_completion(coder)
    assert not torch.equal(fitted.weights, drawn.weights)

    shutil.rmtree(folder)  # what was fitted on label maps stays
    assert torch.equal(load_completion(coder).weights, fitted.weights)
    coder.prior.path.with_name(COMPLETION_FILE).unlink()


def test_it_is_written_beside_the_prior_and_read_from_there(coder, few, monkeypatch, tmp_path):
    path = coder.prior.path.with_name(COMPLETION_FILE)
    fitted = load_completion(coder)
    assert path.is_file()
    monkeypatch.setattr(completion, "fit_completion", pytest.fail)

    read = load_completion(coder)

    assert read.pooling == fitted.pooling
    torch.testing.assert_close(read.weights, fitted.weights, rtol=0, atol=0)


@pytest.mark.parametrize("content", ["of another prior", "cut off", "no file of torch"])
def test_a_file_of_no_use_is_written_again(coder, few, content):
    path = coder.prior.path.with_name(COMPLETION_FILE)
    fitted = load_completion(coder)
    if content == "of another prior":
        torch.save({**torch.load(path, weights_only=True), "made_of": "another", "weights": torch.zeros(2)}, path)
    else:
        path.write_bytes(path.read_bytes()[:1000] if content == "cut off" else b"text")

    torch.testing.assert_close(load_completion(coder).weights, fitted.weights)

    torch.testing.assert_close(torch.load(path, weights_only=True)["weights"], fitted.weights)


def test_a_folder_that_cannot_be_written_costs_the_file_alone(coder, few, monkeypatch, caplog):
    coder.prior.path.with_name(COMPLETION_FILE).unlink(missing_ok=True)

    def full(path, write):
        raise completion.WriteError(f"Could not write {path} (disk full): free some space or fix its permissions.")

    monkeypatch.setattr(completion, "replace_atomically", full)

    assert torch.isfinite(load_completion(coder).weights).all()
    assert "Each run fits the completion again" in caplog.text


def test_hard_maps_are_softened_at_their_boundary_only():
    maps = torch.zeros(1, 2, 5, 5, 5)
    maps[:, 0], maps[:, 1, :, :, :2], maps[:, 0, :, :, :2] = 1, 1, 0

    soft_maps = softened(maps)

    torch.testing.assert_close(soft_maps.sum(1), torch.ones(1, 5, 5, 5))
    # Of the 27 voxels around one next to the boundary 9 are the other class.
    assert soft_maps[0, 1, 2, 2, 1].item() == pytest.approx(1 - 0.5 / 3)
    assert soft_maps[0, 1, 2, 2, 4].item() == 0
