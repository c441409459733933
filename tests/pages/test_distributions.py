"""Box plots with dots: quartiles, whiskers, ticks, and columns with nothing in them."""

import base64
from xml.etree import ElementTree

import numpy as np
import pytest

from acnn_nnunet.pages.distributions import box_of, draw_distributions, nice_ticks

SVG = "{http://www.w3.org/2000/svg}"


def drawn(source):
    return ElementTree.fromstring(base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")))


def words_of(picture):
    return [each.text for each in picture.iter(f"{SVG}text")]


def num_dots(picture):
    return [path.get("d").count("M") for path in picture.iter(f"{SVG}path")]


def test_the_box_of_five_values_and_an_outlier():
    # Quartiles of 1, 2, 3, 4, 5, 100 (linear between ranks): 2.25, 3.5, 4.75; whiskers within 3.75 of the box.
    assert box_of(np.array([3, 1, 2, 100, 5, 4.0])) == (1, 2.25, 3.5, 4.75, 5)
    assert box_of(np.array([7.0])) == (7, 7, 7, 7, 7)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (-0.05, 1.05, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-24.0, 517.0, [0, 100, 200, 300, 400, 500]),
        (0.81, 0.89, [0.82, 0.84, 0.86, 0.88]),
        (3.0, 3.7, [3, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6, 3.7]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_a_picture_has_a_dot_for_each_value_and_a_box_for_each_column_that_has_one():
    picture = drawn(
        draw_distributions({"A": [np.arange(5.0), np.empty(0)], "B": [np.ones(1), np.zeros(3)]}, ["x", "y"])
    )

    assert num_dots(picture) == [5, 1, 3]
    assert words_of(picture) == [
        "A",
        "0",
        "1",
        "2",
        "3",
        "4",
        "x",
        "y",
        "B",
        "0.0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1.0",
        "x",
        "y",
    ]


def test_nothing_at_all_and_a_single_value_are_drawn():
    assert num_dots(drawn(draw_distributions({"A": [np.empty(0)]}, ["x"]))) == []
    assert num_dots(drawn(draw_distributions({"A": [np.array([-3.0])]}, ["x"]))) == [1]
    assert words_of(drawn(draw_distributions({"A": []}, [])))[0] == "A"


def test_of_very_many_values_a_sample_is_drawn():
    picture = drawn(draw_distributions({"A": [np.arange(5000.0)] * 2}, ["x", "y"]))
    many = drawn(draw_distributions({"A": [np.arange(5000.0)] * 60}, ["x"] * 60))

    assert num_dots(picture) == [2000, 2000]
    assert num_dots(many) == [200] * 60


def test_everything_lies_within_the_picture():
    names = ["left atrial appendage"] * 6
    picture = drawn(draw_distributions({"A": [np.linspace(-1, 1, 9)] * 6}, names))

    width, height = (float(picture.get(each)) for each in ("width", "height"))
    points = [pair for each in picture.iter(f"{SVG}polyline") for pair in each.get("points").split()]
    places = np.array([[float(number) for number in pair.split(",")] for pair in points])
    assert places.min() > 0
    assert (places < (width, height)).all()
    turned = [each.get("transform") for each in picture.iter(f"{SVG}text") if each.text == names[0]]
    assert [each.startswith("rotate(-30 ") for each in turned] == [True] * 6
