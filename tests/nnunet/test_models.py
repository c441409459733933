"""One loader of models: what it reads, and one sentence for each thing that can be wrong."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from tiny_hr_models import host_environment, plans_of, write_model

from acnn_nnunet.nnunet.models import (
    ModelBundle,
    find_trainer_class,
    planned_bundle,
    read_bundle,
    read_checkpoint,
    trained_bundle,
)

NAME = "Dataset005_Toy"


@pytest.fixture
def model_folder(tmp_path, monkeypatch):
    """Two folds of a network that multiplies by 1 and 2."""
    host_environment(tmp_path, monkeypatch)
    plans = plans_of(factor=3, axis=1, patch=(4, 6, 8), channels=2)
    return write_model(tmp_path, trainer="StubSRTrainer", plans=plans, scales=(1.0, 2.0), mirror_axes=(0, 2))


@pytest.fixture
def checkpoint(model_folder):
    return model_folder / "fold_0" / "checkpoint_final.pth"


def test_an_unknown_reader_is_named_with_the_plans_file():
    plans = SimpleNamespace(plans={"image_reader_writer": "NoIO"})
    bundle = ModelBundle(plans, None, {"file_ending": ".nii.gz"}, "3d_hr", Path("of/nnUNetPlans.json"))
    with pytest.raises(ValueError, match=r"^of/nnUNetPlans\.json names the reader NoIO, "):
        _ = bundle.reader_name


def load(dataset="5", configuration="3d_hr", **options):
    defaults = {"trainer": "StubSRTrainer", "plans_identifier": "nnUNetPlans", "folds": [0], "device": "cpu"}
    return trained_bundle(dataset, configuration, **{**defaults, "checkpoint_name": "checkpoint_final.pth", **options})


def test_what_a_trained_bundle_holds(model_folder):
    bundle, trainer_class = load(folds=[1, 0])

    assert (bundle.dataset_name, bundle.name, bundle.file_ending) == (NAME, "3d_hr", ".nii.gz")
    assert (bundle.source, bundle.mirror_axes) == (model_folder / "plans.json", (0, 2))
    assert (bundle.labels.num_segmentation_heads, trainer_class.__name__) == (3, "StubSRTrainer")
    assert bundle.network.scale.item() == 2.0  # the first fold's
    assert [network.scale.item() for network in bundle.networks()] == [2.0, 1.0]
    assert not bundle.network.training


def test_the_digest_tells_models_apart(model_folder, checkpoint):
    """It is of all that a prediction depends on: weights of each fold, in their order, and plans."""
    digest = load(folds=[0, 1])[0].sha256
    assert load(folds=[0, 1])[0].sha256 == digest
    others = [load()[0].sha256, load(folds=[1, 0])[0].sha256]
    content = torch.load(checkpoint)
    torch.save({**content, "optimizer_state": {"step": 7}}, checkpoint)
    assert load(folds=[0, 1])[0].sha256 == digest
    torch.save({**content, "network_weights": {"scale": torch.tensor([1.5])}}, checkpoint)
    others.append(load(folds=[0, 1])[0].sha256)
    torch.save(content, checkpoint)
    plans = json.loads((model_folder / "plans.json").read_text())
    (model_folder / "plans.json").write_text(json.dumps({**plans, "transpose_forward": [0, 2, 1]}))
    others.append(load(folds=[0, 1])[0].sha256)
    assert len({digest, *others}) == 5


def test_the_number_of_channels(model_folder):
    (model_folder / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "a": 1}, "channel_names": {
        "0": "T1", "1": "T2"}, "file_ending": ".mha"}))  # fmt: skip
    bundle, _ = load()
    assert (bundle.num_channels, bundle.file_ending) == (2, ".mha")


@pytest.mark.parametrize("allowed", [None, ()])
def test_a_training_without_mirroring(checkpoint, allowed):
    torch.save({**torch.load(checkpoint), "inference_allowed_mirroring_axes": allowed}, checkpoint)
    assert load()[0].mirror_axes == ()


def test_a_fold_that_was_not_trained(model_folder):
    message = r"fold_3/checkpoint_final\.pth: train it with nnUNetv2_train 5 3d_hr 3 -tr StubSRTrainer, or choose"
    with pytest.raises(FileNotFoundError, match=message):
        load(folds=[0, 3])
    with pytest.raises(FileNotFoundError, match=r"fold_0/checkpoint_best\.pth"):
        load(checkpoint_name="checkpoint_best.pth")
    with pytest.raises(FileNotFoundError, match="nnUNetv2_train 5 3d_hr 0 -tr Nobody -p Other"):
        load(trainer="Nobody", plans_identifier="Other")


def test_an_unknown_dataset_and_device(model_folder):
    with pytest.raises(ValueError, match="There is no dataset 6"):
        load("6")
    with pytest.raises(ValueError, match="There is no device tpu"):
        load(device="tpu")


@pytest.mark.parametrize("length", [0, 100])
def test_a_truncated_checkpoint(checkpoint, length):
    checkpoint.write_bytes(checkpoint.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"checkpoint_final\.pth is truncated or no checkpoint of nnU-Net"):
        load()


def test_weights_of_another_network(checkpoint):
    torch.save({"network_weights": {"other": torch.ones(1)}, "trainer_name": "StubSRTrainer"}, checkpoint)
    with pytest.raises(ValueError, match=r"fold_0/checkpoint_final\.pth does not fit the network of plans\.json"):
        load()
    torch.save({"other": 1}, checkpoint)
    with pytest.raises(ValueError, match=r"no checkpoint of nnU-Net .it has no network_weights"):
        load()


def test_plans_that_are_of_no_use_are_refused_before_the_network_is_built(checkpoint):
    def refuse(bundle):
        raise ValueError(f"{bundle.name} is of no use")

    torch.save({**torch.load(checkpoint), "trainer_name": "Nobody"}, checkpoint)
    with pytest.raises(ValueError, match="3d_hr is of no use"):
        load(check=refuse)
    with pytest.raises(ValueError, match="nnU-Net does not find the trainer Nobody: acnn-nnunet doctor"):
        load()


def test_plans_and_dataset_that_are_missing_or_spoilt(model_folder):
    plans = model_folder / "plans.json"
    plans.write_text(json.dumps({"configurations": {"3d_fullres": {}, "2d": {}}}))
    with pytest.raises(ValueError, match=r"plans\.json has no configuration 3d_hr, only 3d_fullres, 2d\."):
        load()
    plans.write_text("{")
    with pytest.raises(ValueError, match=r"plans\.json is no JSON"):
        load()
    plans.unlink()
    with pytest.raises(FileNotFoundError, match=r"There is no .*plans\.json: nnU-Net writes it when a training starts"):
        load()


def test_a_bundle_without_a_network(tmp_path, monkeypatch):
    host_environment(tmp_path, monkeypatch)
    folder = tmp_path / "nnUNet_preprocessed" / NAME
    with pytest.raises(FileNotFoundError, match=r"nnUNetPlans\.json: make them with nnUNetv2_\w+ -d 5\."):
        planned_bundle("5", "3d_hr", plans_identifier="nnUNetPlans")
    (folder / "OtherPlans.json").write_text(json.dumps(plans_of(factor=3)))
    with pytest.raises(FileNotFoundError, match="or name with -p the plans that are there: OtherPlans"):
        planned_bundle("5", "3d_hr", plans_identifier="nnUNetPlans")
    with pytest.raises(FileNotFoundError, match=r"There is no .*dataset\.json: make it with nnUNetv2_plan"):
        planned_bundle("5", "3d_hr", plans_identifier="OtherPlans")
    (folder / "dataset.json").write_text('{"file_ending": ".nii"}')

    bundle = planned_bundle(NAME, "3d_hr", plans_identifier="OtherPlans")

    assert bundle.network is None
    assert bundle.configuration.patch_size == [12, 6, 6]


def test_trainers_are_found_by_name():
    assert find_trainer_class("nnUNetTrainer_5epochs").__name__ == "nnUNetTrainer_5epochs"


class Plans:
    transpose_forward = (2, 0, 1)


class Configuration:
    def __init__(self, *spacing):
        self.spacing = spacing

    @staticmethod
    def resampling_fn_seg(segmentation, shape, current, target):
        return resample_data_or_seg_to_shape(segmentation, shape, current, target, is_seg=True, order=1)


def bundle_of(*spacing_mm):
    return ModelBundle(Plans(), Configuration(*spacing_mm), {}, "toy")


@pytest.mark.parametrize(("spacing", "target"), [((4, 5, 6), [4, 5, 6]), ((5, 6), [3, 5, 6])])
def test_a_configuration_in_2d_leaves_the_spacing_between_slices_alone(spacing, target):
    assert bundle_of(*spacing).spacings_mm((1, 2, 3)) == ([3, 1, 2], target)


def test_axes_are_transposed_and_half_the_spacing_doubles_the_voxels():
    values = np.zeros((2, 4, 6), dtype=np.uint8)
    values[:, :, 3:] = 2

    labels = bundle_of(2.0, 1.0, 2.0).resample_labels(values, (1.0, 2.0, 4.0))

    assert labels.shape == (1, 12, 2, 4)
    assert (labels[0, :6] == 0).all()
    assert (labels[0, 6:] == 2).all()


def test_a_bundle_of_two_files(model_folder):
    plans_file = model_folder / "plans.json"

    bundle = read_bundle(plans_file, model_folder / "dataset.json", "3d_hr", remedy="none")

    assert (bundle.name, bundle.source, bundle.network) == ("3d_hr", plans_file, None)
    assert bundle.dataset_name == json.loads(plans_file.read_text())["dataset_name"]


def test_a_bundle_of_a_configuration_that_is_not_there(model_folder):
    with pytest.raises(ValueError, match=r"plans\.json has no configuration 2d, only 3d_hr"):
        read_bundle(model_folder / "plans.json", model_folder / "dataset.json", "2d", remedy="none")


def test_a_bundle_without_dataset_json_names_the_remedy(model_folder):
    with pytest.raises(FileNotFoundError, match=r"no\.json.*look in the attic"):
        read_bundle(model_folder / "plans.json", model_folder / "no.json", "3d_hr", remedy="look in the attic")


@pytest.mark.parametrize("content", [{}, {"network_weights": {}}, [1, 2]])
def test_a_file_of_torch_that_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")

    with pytest.raises(
        ValueError, match=r"a\.pth is truncated or no checkpoint of nnU-Net \(it has no network_weights\): mend"
    ):
        read_checkpoint(tmp_path / "a.pth", remedy="mend it")


def test_a_checkpoint_comes_back_whole(tmp_path):
    content = {"network_weights": {"a": torch.ones(2)}, "trainer_name": "X", "more": 1}
    torch.save(content, tmp_path / "a.pth")

    found = read_checkpoint(tmp_path / "a.pth", remedy="none")

    assert (found["trainer_name"], found["more"], found["network_weights"]["a"].tolist()) == ("X", 1, [1, 1])
