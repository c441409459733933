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


def test_a_configuration_without_factor(model_folder):
    plans = plans_of(factor=3)
    del plans["configurations"]["3d_hr"]["acnn_hr"]
    (model_folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ValueError, match=r"The configuration 3d_hr of .* has no valid entry 'acnn_hr'"):
        load()
