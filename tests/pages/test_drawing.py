"""Pieces of SVG pictures: grey values, outlines, words."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread

from acnn_nnunet.pages.drawing import dots, grey_image, line, outline, svg_data_uri, text


def grey_of(piece):
    source = ElementTree.fromstring(piece).get("href")
    pixels = imread(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,"))), format="png")
    return np.rint(pixels * 255)


def test_a_picture_is_whole_xml_on_white():
    source = svg_data_uri(30, 20, [line((0, 1), (2, 3.5)), text(1, 2, "a < b & c", size=9)])

    head, _, content = source.partition(",")
    picture = ElementTree.fromstring(base64.b64decode(content))
    assert head == "data:image/svg+xml;base64"
    assert picture.get("viewBox") == "0 0 30 20"
    assert [each.tag.rpartition("}")[2] for each in picture] == ["rect", "polyline", "text"]
    assert (picture[1].get("points"), picture[2].text) == ("0,2 1,3.5", "a < b & c")


def test_the_lowest_is_black_and_the_highest_white():
    assert grey_of(grey_image(np.array([[-10.0, 0, 10], [10, -10, -10]]))).tolist() == [[0, 128, 255], [255, 0, 0]]


@pytest.mark.parametrize("value", [0, 7.5, np.nan, np.inf])
def test_a_flat_image_is_black(value):
    assert not grey_of(grey_image(np.full((2, 3), value))).any()


def test_voxels_that_are_not_finite_are_black_and_darken_no_others():
    assert grey_of(grey_image(np.array([[np.nan, 1.0, 2.0, -np.inf, np.inf]]))).tolist() == [[0, 0, 255, 0, 0]]


def test_an_outline_runs_halfway_between_voxels_and_is_closed_at_the_edge():
    mask = np.zeros((3, 4), bool)
    assert outline(mask, colour="red") == ""

    mask[0, 1] = True
    path = ElementTree.fromstring(outline(mask, colour="red", style="dashed"))
    points = [tuple(map(float, pair.split(","))) for pair in re.split("[ML]", path.get("d"))[1:]]
    # The voxel's centre lies at (1.5, 0.5); the contour cuts the way to each neighbour in half.
    assert set(points) == {(1, 0.5), (2, 0.5), (1.5, 0), (1.5, 1)}
    assert points[0] == points[-1]
    assert path.get("stroke-dasharray")


def test_each_piece_has_its_own_outline():
    mask = np.array([[1, 0, 1]], bool)

    assert outline(mask, colour="red").count("M") == 2


def test_dots_lie_at_their_places():
    path = ElementTree.fromstring(dots(np.array([1.0, 2.25]), np.array([3.0, 4.0]), colour="red", width=4))

    assert path.get("d") == "M1.0,3.0h0M2.2,4.0h0"


def test_words_without_letters_that_xml_cannot_hold():
    assert ElementTree.fromstring(text(0, 0, "a\0b\x1b\ud800", size=9)).text == "a\ufffdb\ufffd\ufffd"


def test_lines_and_dots_are_as_wide_as_asked_for():
    x = np.arange(3.0)
    assert 'stroke-width="2.5"' in line(x, x, colour="#000", width=2.5)
    assert 'stroke-width="3.5"' in dots(x, x, colour="#000", width=3.5)
