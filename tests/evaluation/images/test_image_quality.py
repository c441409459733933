"""Image quality, against the formula written out, against MONAI, and by hand."""

import numpy as np
import pytest
import torch
from monai.metrics.regression import SSIMMetric
from scipy.signal import correlate

from acnn_nnunet.evaluation.images.image_quality import intensity_range, mean_absolute_error, psnr_db, slice_ssims, ssim


def image_pair(shape, *, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    reference = 100 * rng.random(shape) + offset
    return reference, reference + 20 * rng.standard_normal(shape)


def ssim_map_by_formula(x, y, data_range):
    """Equations 13 to 16 of Wang et al. with an explicit window, where it fits ("valid")."""
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = taps
    for _ in range(x.ndim - 1):
        window = np.multiply.outer(window, taps)
    window /= window.sum()

    def weighted(image):
        return correlate(image, window, mode="valid", method="direct")

    mean_x, mean_y = weighted(x), weighted(y)
    var_x, var_y = weighted(x * x) - mean_x**2, weighted(y * y) - mean_y**2
    covariance = weighted(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance * (2 * covariance + c2) / (var_x + var_y + c2)


@pytest.mark.parametrize("shape", [(15, 18), (13, 12, 16)])
def test_ssim_is_the_formula(shape):
    reference, prediction = image_pair(shape)

    expected = ssim_map_by_formula(reference, prediction, 90.0).mean()

    assert ssim(reference, prediction, data_range=90.0) == pytest.approx(expected, abs=1e-12)


def test_ssim_is_the_formula_inside_a_mask():
    reference, prediction = image_pair((13, 14, 15))
    mask = np.zeros(reference.shape, dtype=bool)
    mask[:, 6:8, 3:9] = True  # reaches into the border, where no window is centred

    inside = mask[5:-5, 5:-5, 5:-5]
    expected = ssim_map_by_formula(reference, prediction, 90.0)[inside].mean()

    assert ssim(reference, prediction, data_range=90.0, mask=mask) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_12_bit_intensities_far_from_zero_keeps_its_precision():
    reference, prediction = image_pair((12, 13), offset=40_000)

    expected = ssim_map_by_formula(reference, prediction, 100.0).mean()

    single = ssim(reference.astype(np.float32), prediction.astype(np.float32), data_range=100.0)
    assert single == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("shape", [(14, 17), (12, 13, 14)])
def test_ssim_is_monais(shape):
    reference, prediction = image_pair(shape)
    metric = SSIMMetric(spatial_dims=len(shape), data_range=90.0)

    expected = metric(torch.from_numpy(prediction)[None, None], torch.from_numpy(reference)[None, None]).item()

    # MONAI works in single precision.
    assert ssim(reference, prediction, data_range=90.0) == pytest.approx(expected, abs=1e-5)


def test_identical_images():
    reference, _ = image_pair((12, 12, 12))

    assert ssim(reference, reference, data_range=1.0) == 1
    assert psnr_db(reference, reference, data_range=1.0) is None
    assert mean_absolute_error(reference, reference) == 0


def test_a_window_that_does_not_fit_gives_no_ssim():
    reference, prediction = image_pair((10, 30, 30))

    assert ssim(reference, prediction, data_range=1.0) is None
    assert None not in slice_ssims(reference, prediction, axis=0, data_range=1.0)
    assert slice_ssims(reference, prediction, axis=1, data_range=1.0) == [None] * 30


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_cut_across_the_axis(axis):
    reference, prediction = image_pair((12, 13, 14))

    found = slice_ssims(reference, prediction, axis=axis, data_range=90.0)

    for index, value in enumerate(found):
        x, y = (image.take(index, axis=axis) for image in (reference, prediction))
        assert value == pytest.approx(ssim_map_by_formula(x, y, 90.0).mean(), abs=1e-12)
    assert len(found) == reference.shape[axis]


def test_slices_without_mask_have_no_ssim():
    reference, prediction = image_pair((3, 12, 12))
    mask = np.zeros(reference.shape, dtype=bool)
    mask[1] = True
    mask[2, 0, 0] = True  # in the border only

    first, second, third = slice_ssims(reference, prediction, axis=0, data_range=90.0, mask=mask)

    assert (first, third) == (None, None)
    assert second == ssim(reference[1], prediction[1], data_range=90.0)


def test_psnr_and_error_by_hand():
    reference = np.array([[[0, 10, 20, 100]]], dtype=np.uint8)
    prediction = np.array([[[1, 9, 20, 90]]], dtype=np.uint8)  # unsigned: differences must not wrap around
    mask = np.array([[[True, True, True, False]]])

    # Squared differences 1, 1, 0, 100: mean 25.5; inside the mask 2/3.
    assert psnr_db(reference, prediction, data_range=100) == pytest.approx(10 * np.log10(10_000 / 25.5))
    assert psnr_db(reference, prediction, data_range=20, mask=mask) == pytest.approx(10 * np.log10(400 / (2 / 3)))
    assert mean_absolute_error(reference, prediction) == 3
    assert mean_absolute_error(reference, prediction, mask=mask) == pytest.approx(2 / 3)


def test_the_range_is_the_references_inside_the_mask():
    reference = np.array([-5, 0, 10, 200], dtype=np.int16)

    assert intensity_range(reference) == 205
    assert intensity_range(reference, np.array([True, True, True, False])) == 15


def test_the_range_of_16_bit_integers_does_not_wrap_around():
    assert intensity_range(np.array([-30_000, 30_000], dtype=np.int16)) == 60_000
