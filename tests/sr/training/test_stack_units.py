"""Stacks made in training are the stacks that predict-hr will meet."""

import numpy as np
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from tiny_hr_models import dataset_of, plans_of

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.volumes import Volume
from acnn_nnunet.nnunet.models import ModelBundle
from acnn_nnunet.sr.degradation.acquisition import Acquisition, acquire
from acnn_nnunet.sr.degradation.command import degrade_volume
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.inference.stack_preprocessing import prepare_stack
from acnn_nnunet.sr.training.stack_units import StackUnits, intensity_scale

FACTOR = 4


def model_of(**kwargs) -> HRModel:
    plans = PlansManager(plans_of(factor=FACTOR, **kwargs))
    return HRModel(ModelBundle(plans, plans.get_configuration("3d_hr"), dataset_of(), "3d_hr"), predicts_image=False)


def heart(shape=(24, 20, 18), *, empty_border=0) -> np.ndarray:
    """Return intensities with structure along the slices, far from any normalisation; 0 in a border."""
    rng = np.random.default_rng(0)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    image = 300 + 150 * np.sin(9 * z + 2 * x) + 80 * (y**2 + x**2 < 0.5) + rng.normal(0, 40, shape)
    if empty_border:
        inside = np.zeros(shape, bool)
        inside[(slice(None), *(slice(empty_border, -empty_border),) * 2)] = True
        image = image * inside
    return image.astype(np.float32)


def preprocessed(image: np.ndarray, model: HRModel) -> tuple[np.ndarray, np.ndarray]:
    """Preprocess an HR image with the host's own preprocessor; axes and spacing are the plans' already."""
    inside = image != 0
    if model.bundle.configuration.use_mask_for_norm[0]:
        box = tuple(
            slice(np.flatnonzero(line).min(), np.flatnonzero(line).max() + 1)
            for line in (inside.any((1, 2)), inside.any((0, 2)), inside.any((0, 1)))
        )
        image, inside = image[box], inside[box]
    labels = np.where(inside, 0, -1)[None]
    properties = model.bundle.plans.foreground_intensity_properties_per_channel
    preprocessor = model.bundle.configuration.preprocessor_class(verbose=False)
    return preprocessor._normalize(image[None].copy(), labels, model.bundle.configuration, properties), labels


@pytest.mark.parametrize(
    "plans",
    [
        {},
        {"normalization": "RescaleTo01Normalization"},
        {"normalization": "NoNormalization"},
        {"normalization": "CTNormalization"},
        {"axis": 2, "patch": (6, 6, 4)},
    ],
    ids=["z-score", "0 to 1", "none", "CT", "axis 2"],
)
def test_training_and_prediction_see_the_same_stack(plans):
    model = model_of(**plans)
    axis = model.through_plane.axis
    image = np.moveaxis(heart(), 0, axis)
    # predict-hr: the stack is simulated from the raw image and then normalised.
    geometry = Geometry(image.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    stack = degrade_volume(Volume(image, geometry), Acquisition(FACTOR), axis=axis, generator=torch.Generator())
    met = prepare_stack(stack.values[None], stack.geometry.spacing_mm, model).data
    # Training: the HR image is normalised, then its stack is simulated.
    case = preprocessed(image, model)
    units = StackUnits(lambda _: case, model.bundle.configuration, model.through_plane)
    hr = torch.from_numpy(case[0])[None]
    scale, offset = units.of(["a"], like=hr)
    simulated = acquire(hr, Acquisition(FACTOR), (1.0, 1.0, 1.0), axis=axis)
    trained = ((simulated - offset) / scale)[0].numpy()
    np.testing.assert_allclose(trained, met, atol=1e-4)
    if model.bundle.configuration.normalization_schemes[0] == "ZScoreNormalization":
        # Without the unit the network would train on stacks that are duller than those it will meet.
        assert simulated.std() < 0.9
        assert (trained.mean(), trained.std()) == pytest.approx((0, 1), abs=1e-4)


def test_inside_a_mask_too():
    model = model_of(use_mask=True)
    image = heart(empty_border=3)
    geometry = Geometry(image.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    stack = degrade_volume(Volume(image, geometry), Acquisition(FACTOR), axis=0, generator=torch.Generator())
    met = prepare_stack(stack.values[None], stack.geometry.spacing_mm, model).data
    case = preprocessed(image, model)
    units = StackUnits(lambda _: case, model.bundle.configuration, model.through_plane)
    hr = torch.from_numpy(case[0])[None]
    scale, offset = units.of(["a"], like=hr)
    trained = ((acquire(hr, Acquisition(FACTOR), (1.0, 1.0, 1.0), axis=0) - offset) / scale)[0].numpy()
    np.testing.assert_allclose(trained, met, atol=1e-4)


def test_each_case_is_measured_once_and_has_its_own_unit():
    asked = []
    cases = {"ramp": np.linspace(0, 1, 8), "constant": np.full(8, 3.0)}

    def load(case):
        asked.append(case)
        values = np.broadcast_to(cases[case].reshape(8, 1, 1), (8, 4, 4)).astype(np.float32)
        return values[None], np.zeros((1, 8, 4, 4))

    model = model_of()
    units = StackUnits(load, model.bundle.configuration, model.through_plane)
    for _ in range(2):
        scale, offset = units.of(["ramp", "constant", "ramp"], like=torch.zeros(1))
    assert asked == ["ramp", "constant"]
    assert scale.shape == offset.shape == (3, 1, 1, 1, 1)
    # Two slices of a ramp lie symmetrically around 1/2, that far from it. A constant has nothing to be scaled by.
    low, high = 0.5 - scale[0].item(), 0.5 + scale[0].item()
    assert 0 < low < high < 1
    assert scale.flatten().tolist() == [scale[0].item(), 1, scale[0].item()]
    assert offset.flatten().tolist() == pytest.approx([0.5, 0, 0.5], abs=1e-6)


def test_schemes_with_one_scale_for_all_images_need_no_case():
    def load(case):
        raise AssertionError(case)

    model = model_of(normalization="CTNormalization")
    scale, offset = StackUnits(load, model.bundle.configuration, model.through_plane).of(["a"], like=torch.zeros(1))
    assert (scale.item(), offset.item()) == (1, 0)


def test_a_clipped_scale_is_found_between_the_clips():
    raw = np.arange(100, dtype=np.float32)
    scale, offset = intensity_scale(raw, np.clip(raw, 20, 80) / 5 - 7)
    assert (scale, offset) == (pytest.approx(5), pytest.approx(35))


def test_two_intensities_and_one():
    assert intensity_scale(np.array([10, 30, 30]), np.array([-1, 1, 1])) == (pytest.approx(10), pytest.approx(20))
    assert intensity_scale(np.full(5, 90.1), np.zeros(5)) == (0, pytest.approx(90.1))


def test_a_normalisation_that_bends():
    raw = np.linspace(1, 100, 50)
    with pytest.raises(ValueError, match="has been normalised in a way that cannot be undone"):
        intensity_scale(raw, np.log(raw))
