"""The page of `evaluate-sr`."""

import re

import numpy as np
import pytest
from image_files import image_and_blurred, write_image

from acnn_nnunet.evaluation.images.command import evaluate_super_resolution
from acnn_nnunet.evaluation.images.page import draw_slice, worst_scores, worst_slice
from acnn_nnunet.evaluation.images.pairs import ImageVolumes
from acnn_nnunet.evaluation.images.scores import ImageScore


def test_the_page_shows_the_worst_first_and_fetches_nothing(tmp_path):
    for number in range(7):
        reference, prediction = image_and_blurred(number, noise=1 + 5 * number)
        write_image(tmp_path / "gt" / f"case{number}.nii.gz", reference)
        write_image(tmp_path / "pred" / f"case{number}.nii.gz", prediction)
    write_image(tmp_path / "gt" / "<absent>.nii.gz", reference)

    evaluate_super_resolution(tmp_path / "gt", tmp_path / "pred", tmp_path / "out")

    page = (tmp_path / "out" / "report.html").read_text()
    assert re.findall(r'alt="(\w+)"', page) == ["case6", "case5", "case4", "case3", "case2"]
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]*)"', page))
    assert "<b>&lt;absent&gt;</b>: there is no prediction" in page
    assert "7 of 8 scored" in page


def test_identical_and_excluded_images_are_not_the_worst():
    scores = [
        ImageScore("same", ssim_slices=1.0, status="identical"),
        ImageScore("bad", ssim_slices=0.2, psnr_db=10),
        ImageScore("absent", status="missing"),
        ImageScore("worse", ssim_slices=0.1, psnr_db=20),
        ImageScore("tiny", psnr_db=5),
    ]

    assert [score.case for score in worst_scores(scores)] == ["worse", "bad", "tiny"]


@pytest.mark.parametrize(("axis", "spacing_mm"), [(0, (2, 1, 1)), (1, (1, 2, 1)), (2, (1, 1, 2))])
@pytest.mark.parametrize("side", [6, 12])
def test_the_slice_that_was_damaged_is_shown(axis, spacing_mm, side):
    reference = 100 * np.random.default_rng(0).random((side,) * 3)
    prediction = reference.copy()
    np.moveaxis(prediction, axis, 0)[4] += 50 * np.random.default_rng(1).standard_normal((side, side))
    volumes = ImageVolumes(reference, prediction, None, spacing_mm)

    assert worst_slice(volumes, data_range=100) == 4
    expected, found, difference = (axes.images[0].get_array() for axes in draw_slice(volumes, 4).axes[:3])
    np.testing.assert_array_equal(expected, reference.take(4, axis=axis))
    np.testing.assert_array_equal(found, prediction.take(4, axis=axis))
    np.testing.assert_array_equal(difference, found - expected)


@pytest.mark.parametrize("filled", [0, 5, 12])
def test_the_mask_is_outlined(filled):
    reference, prediction = image_and_blurred(0, shape=(12, 12, 12))
    mask = np.zeros(reference.shape, dtype=bool)
    mask[:, :filled] = True

    figure = draw_slice(ImageVolumes(reference, prediction, mask, (2, 1, 1)), 3)

    figure.canvas.draw()
    assert len(figure.axes[0].collections) == (1 if filled == 5 else 0)
