"""Preprocessing against the host's own, and the way back."""

import numpy as np
import pytest
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from tiny_hr_models import dataset_of, plans_of

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.nnunet.models import ModelBundle
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.inference.stack_preprocessing import (
    prepare_stack,
    restore_image,
    restore_labels,
    slice_spacing_complaint,
)


def model_of(plans, *, channels=1, labels=3):
    manager = PlansManager(plans)
    bundle = ModelBundle(manager, manager.get_configuration("3d_hr"), dataset_of(channels, labels), "3d_hr")
    return HRModel(bundle, predicts_image=True)


def stack_of(shape, *, margin=1):
    """Random intensities with zeros around them in plane, and in a corner of what is left."""
    values = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
    values[..., :margin, :] = 0
    values[..., -margin:] = 0
    values[..., margin : margin + 2, :2] = 0
    return values


@pytest.mark.parametrize("transpose", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
@pytest.mark.parametrize("normalization", ["ZScoreNormalization", "CTNormalization", "RescaleTo01Normalization"])
@pytest.mark.parametrize("use_mask", [False, True])
def test_it_is_the_hosts(transpose, normalization, use_mask):
    # Slices along the reader's first axis, 4 mm thick, pixels of 0.5 and 1.5 mm that become 1 mm.
    axis = transpose.index(0)
    plans = plans_of(
        factor=2, axis=axis, transpose=transpose, normalization=normalization, channels=2, use_mask=use_mask
    )
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = 2.0
    plans["configurations"]["3d_hr"]["spacing"] = spacing
    values = stack_of((2, 5, 12, 10))
    prepared = prepare_stack(values, (4.0, 0.5, 1.5), model_of(plans, channels=2))
    # The host resamples to the plans' spacing: to the stack's own slices, if the plans say 4 mm.
    spacing[axis] = 4.0
    manager = PlansManager(plans)
    manager.get_configuration.cache_clear()
    expected, _, _ = DefaultPreprocessor(verbose=False).run_case_npy(
        values, None, {"spacing": [4.0, 0.5, 1.5]}, manager, manager.get_configuration("3d_hr"), dataset_of(2)
    )
    assert prepared.data.dtype == np.float32
    np.testing.assert_allclose(prepared.data, expected, atol=1e-5)


@pytest.mark.parametrize("use_mask", [False, True])
@pytest.mark.parametrize("normalization", ["ZScoreNormalization", "NoNormalization", "RescaleTo01Normalization"])
def test_images_come_back(normalization, use_mask):
    plans = plans_of(factor=3, axis=1, transpose=(1, 0, 2), normalization=normalization, use_mask=use_mask)
    model = model_of(plans)
    values = stack_of((1, 6, 7, 8))
    # The planned axis 1 is the reader's axis 0.
    prepared = prepare_stack(values, (3.0, 1.0, 1.0), model)
    restored = restore_image(np.repeat(prepared.data, 3, axis=2), prepared, model)
    np.testing.assert_allclose(restored, np.repeat(values, 3, axis=1), atol=1e-3)
    assert restored.dtype == np.float32


def test_labels_come_back_on_pixels_of_their_own():
    model = model_of(plans_of(factor=2))
    values = np.ones((1, 3, 8, 8), np.float32)
    values[:, :, :, 6:] = 0  # cropped: background whatever the network says
    values[0, 0, 0, 0] = 2  # z-scoring a constant is undefined
    prepared = prepare_stack(values, (2.0, 0.5, 0.5), model)
    assert prepared.data.shape == (1, 3, 4, 3)
    probabilities = np.zeros((3, 6, 4, 3), np.float32)
    probabilities[1] = 1
    probabilities[2, :, 2:] = 2
    labels = restore_labels(probabilities, prepared, model)
    assert labels.dtype == np.uint8
    assert labels.shape == (6, 8, 8)
    # Rows 2 and 3 of 1 mm are rows 4 to 7 of 0.5 mm; half way between rows 1 and 2 both labels are equal.
    assert labels[3, :, 0].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    assert labels[3, 5].tolist() == [2] * 6 + [0] * 2


def test_slices_are_not_cropped():
    values = np.zeros((1, 4, 5, 5), np.float32)
    values[0, 1:3, 1:4, 1:4] = np.arange(18).reshape(2, 3, 3) + 1
    prepared = prepare_stack(values, (2.0, 1.0, 1.0), model_of(plans_of(factor=2)))
    assert prepared.data.shape == (1, 4, 3, 3)


@pytest.mark.parametrize("normalization", ["ZScoreNormalization", "CTNormalization", "RescaleTo01Normalization"])
@pytest.mark.parametrize("use_mask", [False, True])
def test_black_slices_at_the_ends_do_not_count_in_the_normalisation(normalization, use_mask):
    model = model_of(plans_of(factor=2, normalization=normalization, use_mask=use_mask))
    filled = stack_of((1, 6, 8, 8))
    whole = np.pad(filled, ((0, 0), (1, 2), (0, 0), (0, 0)))
    alone, among = (prepare_stack(each, (2.0, 1.0, 1.0), model) for each in (filled, whole))

    np.testing.assert_allclose(among.data[:, 1:-2], alone.data, atol=1e-5)
    # Black is black on the same scale, 0 beyond a mask; and the way back is that of the filled slices.
    np.testing.assert_allclose(restore_image(np.repeat(among.data, 2, axis=1), among, model)[:, :2], 0, atol=1e-3)
    restored = restore_image(np.repeat(alone.data, 2, axis=1), alone, model)
    np.testing.assert_allclose(
        restore_image(np.repeat(among.data, 2, axis=1), among, model)[:, 2:-4], restored, atol=1e-2
    )


def test_a_planned_axis_that_is_not_the_thickest_is_not_checked():
    # Planned for 2 mm slices along the first axis of 3 mm pixels: nothing tells the axes of a file apart.
    model = model_of(plans_of(factor=2, spacing=(1.0, 3.0, 1.0)))
    assert prepare_stack(stack_of((1, 4, 6, 6)), (2.0, 3.0, 1.0), model).data.shape == (1, 4, 5, 5)
    with pytest.raises(
        ValueError, match=r"thickest slices .3 mm. along axis 1, but the model is planned for .* axis 2"
    ):
        prepare_stack(stack_of((1, 4, 6, 6)), (2.0, 3.0, 1.0), model_of(plans_of(factor=2)))


@pytest.mark.parametrize(("slice_mm", "fits"), [(3.99, False), (4.0, True), (6.0, True), (9.0, True), (9.02, False)])
def test_slices_within_one_and_a_half_times_the_planned_spacing(slice_mm, fits):
    # Planned for 4 slices of 1.5 mm in one of 6 mm, along the file's second axis.
    plans = plans_of(factor=4, axis=1, spacing=(1.0, 1.5, 1.0))
    eye = tuple(np.eye(3).ravel())
    geometry = Geometry((4, 4, 4), (1.0, slice_mm, 1.0), (0.0, 0.0, 0.0), eye)
    complaint = slice_spacing_complaint(geometry, model_of(plans))
    assert (complaint is None) == fits
    assert fits or "along NIfTI axis 1, but the model is planned for one every 6 mm (4 × 1.5 mm)" in complaint


def test_thin_slices_have_no_factor_of_their_own():
    model = model_of(plans_of(factor=3, spacing=(2.0, 1.0, 1.0)))
    geometry = Geometry((4, 4, 4), (2.5, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    # 2.5 mm are one slice of 2 mm, which no factor makes.
    assert slice_spacing_complaint(geometry, model).endswith("and takes 4 to 9 mm: resample it to 6 mm.")
