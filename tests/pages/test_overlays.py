"""Pictures: the slice that is shown, and maps and names that nothing can be drawn of."""

import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

from acnn_nnunet.pages.overlays import _box, draw_overlay, worst_slice


def pixels(source):
    head, _, content = source.partition(",")
    assert head == "data:image/png;base64"
    return imread(io.BytesIO(base64.b64decode(content)), format="png")


def test_the_slice_across_the_coarsest_axis_that_differs_most():
    reference = np.zeros((4, 5, 6), np.uint8)
    prediction = reference.copy()
    prediction[1, 0, 0] = 1
    prediction[2, :2, 0] = 1

    index, pixel_mm = worst_slice(reference, [prediction], (8.0, 1.0, 2.0))
    assert index == (2,)
    assert pixel_mm == [1.0, 2.0]
    index, pixel_mm = worst_slice(reference, [prediction], (1.0, 2.0, 9.0))
    assert index == (slice(None), slice(None), 0)
    assert pixel_mm == [1.0, 2.0]


def test_equal_maps_show_the_slice_with_most_in_it():
    reference = np.zeros((4, 5, 6), np.uint8)
    reference[3, 0, :3] = 1

    assert worst_slice(reference, [reference], (8.0, 1.0, 1.0))[0] == (3,)


def test_the_box_has_a_margin_within_the_image():
    reference, prediction = np.zeros((2, 50, 60), np.uint8)
    reference[1, 20], prediction[20, 59] = 1, 2

    # Rows 1 to 20 and columns 20 to 59, and a quarter of 20 and of 40 around them.
    assert _box([reference, prediction]) == (slice(0, 26), slice(10, 70))
    assert _box([reference * 0]) == (slice(None), slice(None))


def test_both_outlines_are_drawn():
    reference, prediction = np.zeros((2, 30, 30), np.uint8)
    reference[5:15, 5:15] = 1
    prediction[15:25, 15:25] = 2

    picture = pixels(draw_overlay(reference, {"a": prediction}, (1.0, 1.0)))

    for red, green, blue in ((0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00)):  # of labels 1 and 2
        distance = np.abs(picture[..., :3] - np.array([red, green, blue]) / 255).max(-1)
        assert np.count_nonzero(distance < 0.02) > 50


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (300, 2), (1, 5, 1), (3, 1, 300), (1, 1, 1), (4, 9, 9)])
@pytest.mark.parametrize("content", ["empty", "full"])
def test_odd_shapes(shape, content):
    reference = np.full(shape, content == "full", np.uint8)
    spacing_mm = (10.0, 0.1, 0.1)[: len(shape)]

    assert pixels(draw_overlay(reference, {"a": 1 - reference}, spacing_mm)).size


def test_names_that_are_formulas_to_matplotlib():
    reference = np.full((9, 9), 1, np.uint8)

    draw_overlay(
        reference, {"$a^$b_{": reference, "_c": reference}, (1.0, 1.0), label_names={1: "_x$\\y$", 2: "左心室"}
    )


def test_an_image_that_is_not_finite():
    reference = np.full((9, 9), 1, np.uint8)

    draw_overlay(reference, {"a": reference}, (1.0, 1.0), image=np.full((9, 9), np.nan))
