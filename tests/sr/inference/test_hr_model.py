"""Model folders that cannot be used, and what is read from one that can."""

import json

import pytest
import torch
from tiny_hr_models import host_environment, plans_of, write_model

from acnn_nnunet.sr.inference.hr_model import load_hr_model


@pytest.fixture
def model_folder(tmp_path, monkeypatch):
    host_environment(tmp_path, monkeypatch)
    plans = plans_of(factor=3, axis=1, patch=(4, 6, 8), channels=1)
    return write_model(tmp_path, trainer="StubSRTrainer", plans=plans, scales=(1.0, 2.0), mirror_axes=(0, 2))


def load(**kwargs):
    return load_hr_model("5", "3d_hr", **{"trainer": "StubSRTrainer", "folds": (0,), **kwargs})


def test_what_a_model_says(model_folder):
    model = load(folds=(1, 0))
    assert (model.through_plane.factor, model.through_plane.axis) == (3, 1)
    assert model.lr_patch_size == [4, 6, 8]
    assert (model.bundle.num_channels, model.bundle.mirror_axes, model.predicts_image) == (1, (0, 2), True)
    assert [weights["scale"].item() for weights in model.bundle.fold_weights] == [2.0, 1.0]
    assert not model.bundle.network.training


def test_a_trainer_without_the_attribute_predicts_labels(model_folder):
    path = model_folder / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(path), "trainer_name": "StubSegTrainer"}, path)
    assert not load().predicts_image


@pytest.mark.parametrize("allowed", [None, ()])
def test_a_training_without_mirroring(model_folder, allowed):
    path = model_folder / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(path), "inference_allowed_mirroring_axes": allowed}, path)
    assert load().bundle.mirror_axes == ()


def test_a_fold_that_was_not_trained(model_folder):
    message = r"fold_3/checkpoint_final\.pth: train it with nnUNetv2_train 5 3d_hr 3 -tr StubSRTrainer, or choose"
    with pytest.raises(FileNotFoundError, match=message):
        load(folds=(0, 3))
    with pytest.raises(FileNotFoundError, match=r"fold_0/checkpoint_best\.pth"):
        load(checkpoint_name="checkpoint_best.pth")
    with pytest.raises(FileNotFoundError, match="nnUNetv2_train 5 3d_hr 0 -tr Nobody -p Other"):
        load(trainer="Nobody", plans_identifier="Other")


def test_an_unknown_dataset(model_folder):
    with pytest.raises(ValueError, match="There is no dataset 6"):
        load_hr_model("6", "3d_hr", trainer="StubSRTrainer")


@pytest.mark.parametrize("length", [0, 100])
def test_a_truncated_checkpoint(model_folder, length):
    checkpoint = model_folder / "fold_0" / "checkpoint_final.pth"
    checkpoint.write_bytes(checkpoint.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"checkpoint_final\.pth is truncated or no checkpoint of nnU-Net"):
        load()


def test_weights_of_another_network(model_folder):
    path = model_folder / "fold_0" / "checkpoint_final.pth"
    torch.save({"network_weights": {"other": torch.ones(1)}, "trainer_name": "StubSRTrainer"}, path)
    with pytest.raises(ValueError, match=r"fold_0/checkpoint_final\.pth does not fit the network of plans\.json"):
        load()
    torch.save({"other": 1}, path)
    with pytest.raises(ValueError, match=r"no checkpoint of nnU-Net .it has no network_weights"):
        load()


def test_a_configuration_without_factor(model_folder):
    plans = plans_of(factor=3)
    del plans["configurations"]["3d_hr"]["acnn_hr"]
    (model_folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ValueError, match=r"The configuration 3d_hr of .* has no valid entry 'acnn_hr'"):
        load()
    plans["configurations"] = {"3d_fullres": {}}
    (model_folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ValueError, match=r"plans\.json has no configuration 3d_hr"):
        load()
    (model_folder / "plans.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"There is no .*plans\.json"):
        load()


def test_an_unknown_trainer(model_folder):
    path = model_folder / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(path), "trainer_name": "Nobody"}, path)
    with pytest.raises(ValueError, match="nnU-Net does not find the trainer Nobody: acnn-nnunet doctor"):
        load()
