"""Model folders that cannot be used, and what is read from one that can."""

import json

import numpy as np
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from stack_files import volume_of, world_ramp
from tiny_hr_models import dataset_of, host_environment, plans_of, write_model

from acnn_nnunet.nnunet.models import ModelBundle
from acnn_nnunet.sr.inference.command import Inference, predict_stack
from acnn_nnunet.sr.inference.hr_model import HRModel, load_hr_model
from acnn_nnunet.sr.network import SubPixelUNet


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


def mixed_model(*, factors="4,5,6", planned=5, spacing=(1.0, 1.0, 1.0)) -> HRModel:
    """A network of several factors that interpolates linearly: its head is 0, and a residual is added."""
    content = plans_of(factor=planned, patch=(4, 6, 6), normalization="NoNormalization", spacing=spacing)
    content["configurations"]["3d_hr"]["acnn"] = {"factors": factors}
    plans = PlansManager(content)
    widths = {"features_per_stage": (2, 2), "kernel_sizes": ((1, 3, 3),) * 2, "strides": ((1, 1, 1), (1, 2, 2))}
    network = SubPixelUNet(1, 1, factor=planned, axis=0, residual=True, **widths)
    bundle = ModelBundle(
        plans,
        plans.get_configuration("3d_hr"),
        dataset_of(),
        "3d_hr",
        network=network,
        fold_weights=[network.state_dict()],
    )
    return HRModel(bundle, predicts_image=True)


@pytest.mark.parametrize(
    ("spacing_mm", "factor", "slices"),
    # 6 slices; 1 mm HR slices wanted: 4.6 mm · 6 = 27.6 mm, 28 of 0.986 mm.
    [(5.0, 5, 30), (4.0, 4, 24), (6.0, 6, 36), (4.6, 5, 28), (5.5, 6, 33), (3.5, 4, 21)],
)
def test_the_nearest_factor_and_the_planned_spacing(spacing_mm, factor, slices):
    model = mixed_model()
    image = world_ramp((6, 6, 6), 2, spacing=(1.0, 1.0, spacing_mm))
    stack = volume_of(image)
    assert model.for_stack(stack.geometry).through_plane.factor == factor
    result, grid = predict_stack(model, stack.values[None], stack.geometry, Inference())
    assert result.shape == (1, slices, 6, 6)
    assert grid.spacing_mm[0] == pytest.approx(6 * spacing_mm / slices)
    # Between the outermost slices' centres every voxel holds its own place in the world.
    places = grid.origin_mm[2] + np.arange(slices) * grid.spacing_mm[0]
    first, last = image.GetOrigin()[2], image.GetOrigin()[2] + 5 * spacing_mm
    inside = (places > first + 1) & (places < last - 1)
    np.testing.assert_allclose(result[0, :, 3, 3][inside], places[inside], atol=0.05)


@pytest.mark.parametrize(("spacing_mm", "slices"), [(8.0, 16), (10.0, 20)])
def test_slices_are_resampled_however_fine_the_pixels(spacing_mm, slices):
    # 6 slices become 18 by K = 3; slices of 3 mm are wanted. Beyond a ratio of 3 nnU-Net takes the nearest slice.
    model = mixed_model(factors="2,3,4", planned=3, spacing=(3.0, 0.8, 0.8))
    image = world_ramp((6, 6, 6), 2, spacing=(0.8, 0.8, spacing_mm))
    stack = volume_of(image)
    result, grid = predict_stack(model, stack.values[None], stack.geometry, Inference())
    assert result.shape == (1, slices, 6, 6)
    places = image.GetOrigin()[2] - spacing_mm / 2 + (np.arange(slices) + 0.5) * 3.0
    np.testing.assert_allclose(grid.origin_mm[2] + np.arange(slices) * grid.spacing_mm[0], places, atol=1e-6)
    inside = slice(3, -3)  # one stack's slice from either end
    np.testing.assert_allclose(result[0, inside, 3, 3], places[inside], atol=0.1)


def test_one_factor_keeps_the_stacks_own_slices():
    model = mixed_model(factors=5)
    stack = volume_of(world_ramp((6, 6, 6), 2, spacing=(1.0, 1.0, 4.6)))
    result, grid = predict_stack(model, stack.values[None], stack.geometry, Inference())
    assert result.shape == (1, 30, 6, 6)
    assert grid.spacing_mm[0] == pytest.approx(0.92)


def test_a_spacing_that_no_factor_fits():
    stack = volume_of(world_ramp((6, 6, 6), 2, spacing=(1.0, 1.0, 12.0)))
    with pytest.raises(ValueError, match=r"a slice every 12 mm .* planned for one every 6 mm"):
        predict_stack(mixed_model(), stack.values[None], stack.geometry, Inference())
