"""`--val` on simulated stacks, with a network that interpolates linearly."""

import json

import numpy as np
import pytest
import SimpleITK
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from tiny_hr_models import dataset_of, plans_of

from acnn_nnunet.nnunet.models import ModelBundle
from acnn_nnunet.sr.degradation.acquisition import Acquisition
from acnn_nnunet.sr.degradation.command import DegradeOptions, degrade_folder
from acnn_nnunet.sr.inference.command import Inference
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.inference.validation import SimulatedValidation, score_images
from acnn_nnunet.sr.network import HROutput
from acnn_nnunet.sr.upsampling import interpolate_slices

FACTOR = 3
OBLIQUE = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


class Interpolation(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.output = HROutput(FACTOR)

    def forward(self, stack):
        return interpolate_slices(stack, self.output.factor)


@pytest.fixture
def make_validation(tmp_path):
    def make(*, channels=1, factors=None, log=lambda line: None, **motion) -> SimulatedValidation:
        content = plans_of(factor=FACTOR, channels=channels, normalization="NoNormalization")
        if factors:
            content["configurations"]["3d_hr"]["acnn"] = {"factors": factors}
        plans = PlansManager(content)
        configuration = plans.get_configuration("3d_hr")
        bundle = ModelBundle(
            plans, configuration, dataset_of(channels), "3d_hr", network=Interpolation(), fold_weights=[{}]
        )
        return SimulatedValidation(
            HRModel(bundle, predicts_image=True),
            Acquisition(FACTOR, **motion),
            Inference(),
            predictions=tmp_path / "validation",
            stacks=tmp_path / "validation_stacks",
            log=log,
        )

    return make


def write(path, values):
    image = SimpleITK.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing((0.9, 0.8, 2.0))
    image.SetOrigin((5.0, -7.0, 11.0))
    image.SetDirection(OBLIQUE)
    path.parent.mkdir(exist_ok=True)
    SimpleITK.WriteImage(image, str(path))
    return path


def read(path):
    image = SimpleITK.ReadImage(str(path))
    return image, SimpleITK.GetArrayFromImage(image)


def test_slices_that_the_factor_does_not_divide(make_validation, tmp_path):
    # A ramp along 14 slices: the fifteenth repeats the last, so that between the outermost stack slices but for the
    # last two, of which one saw the repetition, interpolation finds the ramp again.
    ramp = np.broadcast_to(np.arange(1.0, 15).reshape(14, 1, 1), (14, 7, 8))
    path = write(tmp_path / "hr" / "a_0000.nii.gz", ramp)
    make_validation().run({"a": [path]})
    image, _ = read(path)
    stack, _ = read(tmp_path / "validation_stacks" / "a_0000.nii.gz")
    predicted, values = read(tmp_path / "validation" / "a_0000.nii.gz")
    assert stack.GetSize() == (8, 7, 5)
    assert predicted.GetSize() == image.GetSize()
    for get in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(predicted, get)(), getattr(image, get)(), atol=1e-6)
    # The stack's first slice lies in the middle of the first three.
    np.testing.assert_allclose(
        stack.TransformIndexToPhysicalPoint((2, 3, 0)), image.TransformIndexToPhysicalPoint((2, 3, 1)), atol=1e-5
    )
    np.testing.assert_allclose(values[5:9], ramp[5:9], atol=1e-3)


def test_a_network_of_several_factors_predicts_on_the_images_own_slices(make_validation, tmp_path):
    # Slices of 2 mm where 1 mm is planned: stacks of 6 mm, of which predict-hr would make 36 slices of 1 mm.
    ramp = np.broadcast_to(np.arange(1.0, 19).reshape(18, 1, 1), (18, 7, 8))
    path, lines = write(tmp_path / "hr" / "a_0000.nii.gz", ramp), []
    make_validation(factors="3,4,5", log=lines.append).run({"a": [path]})
    _, values = read(tmp_path / "validation" / "a_0000.nii.gz")
    assert values.shape == ramp.shape
    np.testing.assert_allclose(values[3:-3], ramp[3:-3], atol=0.05)
    assert lines == ["predicting a"]  # 6 mm are no more than 1.5 times 5


def test_stacks_are_those_of_degrade_and_repeat(make_validation, tmp_path):
    rng = np.random.default_rng(0)
    files = {name: [write(tmp_path / "hr" / f"{name}_0000.nii.gz", rng.random((9, 12, 12)))] for name in "ab"}
    motion = {"motion_mm": 2.0, "rotation_deg": 10.0}
    validation = make_validation(**motion)
    validation.run(files)
    degrade_folder(tmp_path / "hr", tmp_path / "lr", DegradeOptions(Acquisition(FACTOR, **motion)))
    first = {}
    for name in files:
        first[name] = read(tmp_path / "validation_stacks" / f"{name}_0000.nii.gz")[1]
        np.testing.assert_array_equal(first[name], read(tmp_path / "lr" / f"{name}_0000.nii.gz")[1])
    validation.run({"b": files["b"]})  # alone, as another process of a distributed validation would have it
    np.testing.assert_array_equal(read(tmp_path / "validation_stacks" / "b_0000.nii.gz")[1], first["b"])


def test_channels_move_together_and_are_scored_one_by_one(make_validation, tmp_path):
    values = np.random.default_rng(0).random((12, 16, 16))
    files = [write(tmp_path / "hr" / f"a_{channel:04d}.nii.gz", values) for channel in range(2)]
    validation = make_validation(channels=2, motion_mm=3.0)
    validation.run({"a": files})
    stacks = [read(tmp_path / "validation_stacks" / f"a_{channel:04d}.nii.gz")[1] for channel in range(2)]
    np.testing.assert_array_equal(*stacks)
    targets = validation.targets("a", files)
    summary = score_images(list(zip(files, targets, strict=True)), validation.predictions)
    assert json.loads((tmp_path / "validation" / "summary.json").read_text()) == summary
    mae = np.abs(read(targets[0])[1] - values.astype(np.float32)).mean()
    assert summary["metric_per_case"]["a_0000"]["mae"] == pytest.approx(mae, rel=1e-5)
    assert set(summary["metric_per_case"]) == {"a_0000", "a_0001"}
    assert summary["metrics"]["mae"]["n"] == 2


def test_images_that_cannot_serve_are_named(make_validation, tmp_path):
    flat = write(tmp_path / "hr" / "a_0000.nii.gz", np.ones((3, 6, 6)))
    with pytest.raises(ValueError, match=r"simulated from .*a_0000\.nii\.gz has 1 slice along axis 2"):
        make_validation().run({"a": [flat]})
    other = tmp_path / "hr" / "a_0000.mha"
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(flat)), str(other))
    with pytest.raises(NotImplementedError, match=r"a_0000\.mha is no NIfTI file"):
        make_validation().run({"a": [other]})
    larger = write(tmp_path / "hr" / "a_0001.nii.gz", np.ones((6, 6, 6)))
    with pytest.raises(ValueError, match=r"a_0001\.nii\.gz is not on the grid of a_0000\.nii\.gz"):
        make_validation(channels=2).run({"a": [flat, larger]})
