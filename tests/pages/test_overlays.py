"""Pictures: the slice that is shown, and maps and names that nothing can be drawn of."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from acnn_nnunet.pages import overlays
from acnn_nnunet.pages.overlays import (
    _box,
    box_around,
    draw_outline,
    draw_overlay,
    longest_axis,
    middle_planes,
    number_masks,
    paint_masks,
    worst_slice,
)
from acnn_nnunet.pages.page import new_figure

SVG = "{http://www.w3.org/2000/svg}"


def drawn(source):
    head, _, content = source.partition(",")
    assert head == "data:image/svg+xml;base64"
    return ElementTree.fromstring(base64.b64decode(content))


def points_of(path):
    return np.array([[float(each) for each in pair.split(",")] for pair in re.split("[ML]", path.get("d"))[1:]])


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


def test_voxels_that_are_cubes_but_for_rounding_are_cut_across_the_first_axis():
    reference = np.zeros((4, 5, 6), np.uint8)
    prediction = reference.copy()
    prediction[2, :2, 0] = 1

    assert worst_slice(reference, [prediction], (1.0, 1.0, 1.0000002))[0] == (2,)
    assert longest_axis((0.9995, 1.0, 1.0)) == 0
    assert longest_axis((0.99, 1.0, 1.0)) == 1


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

    picture = drawn(draw_overlay(reference, {"a": prediction}, (1.0, 1.0), line_names=("one", "other")))

    one, other = picture.iter(f"{SVG}path")
    assert (one.get("stroke"), one.get("stroke-dasharray")) == ("#0072b2", None)
    assert (other.get("stroke"), bool(other.get("stroke-dasharray"))) == ("#e69f00", True)
    # The box begins at 5 − 5: of 20 rows and columns of foreground a quarter. Voxels 5 to 14 lie between 5 and 15.
    assert (points_of(one).min(0).tolist(), points_of(one).max(0).tolist()) == ([5, 5], [15, 15])
    assert (points_of(other).min(0).tolist(), points_of(other).max(0).tolist()) == ([15, 15], [25, 25])
    assert [each.text for each in picture.iter(f"{SVG}text")] == ["a", "1", "2", "one", "other"]


def test_voxels_keep_their_shape_in_the_panel():
    reference = np.ones((10, 20), np.uint8)

    (panel,) = (
        each
        for each in drawn(draw_overlay(reference, {"a": reference}, (3.0, 1.0))).iter(f"{SVG}g")
        if each.get("transform")
    )
    (image,) = drawn(draw_overlay(reference, {"a": reference}, (3.0, 1.0))).iter(f"{SVG}image")

    left, top, wide, high = (float(each) for each in re.findall(r"[\d.]+", panel.get("transform")))
    assert high == pytest.approx(3 * wide, rel=1e-4)
    assert 0 <= left < left + 20 * wide <= 324
    assert 24 <= top < top + 10 * high <= 360
    assert (image.get("width"), image.get("height")) == ("20", "10")


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (300, 2), (1, 5, 1), (3, 1, 300), (1, 1, 1), (4, 9, 9)])
@pytest.mark.parametrize("content", ["empty", "full"])
def test_odd_shapes(shape, content):
    reference = np.full(shape, content == "full", np.uint8)
    spacing_mm = (10.0, 0.1, 0.1)[: len(shape)]

    assert len(list(drawn(draw_overlay(reference, {"a": 1 - reference}, spacing_mm)).iter(f"{SVG}image"))) == 1


def test_names_are_shown_as_they_are():
    reference = np.full((9, 9), 1, np.uint8)
    titles = ["$a^$b_{", '<b>&"']

    picture = drawn(
        draw_overlay(reference, dict.fromkeys(titles, 2 * reference), (1.0, 1.0), label_names={1: "_x\0", 2: "左心室"})
    )

    assert [each.text for each in picture.iter(f"{SVG}text")] == [
        *titles,
        "_x\ufffd",
        "左心室",
        "reference",
        "prediction",
    ]


def test_a_long_name_gets_a_line_of_its_own():
    reference = np.full((9, 9), 1, np.uint8)

    picture = drawn(draw_overlay(reference, {"a": reference}, (1.0, 1.0), label_names={1: "left " * 12}))

    places = {(each.get("x"), each.get("y")) for each in list(picture.iter(f"{SVG}text"))[1:]}
    assert len({x for x, _ in places}) == 1
    assert len({y for _, y in places}) == 3


def test_an_image_that_is_not_finite():
    reference = np.full((9, 9), 1, np.uint8)

    drawn(draw_overlay(reference, {"a": reference}, (1.0, 1.0), image=np.full((9, 9), np.nan)))


def test_of_many_labels_those_that_differ_most_are_outlined(monkeypatch):
    reference = np.repeat(np.arange(1, 21), 4)[None].repeat(4, axis=0)  # 20 blocks of 4 × 4
    prediction = reference.copy()
    prediction[0, reference[0] > 4] = 0  # a row is missing of labels 5 to 20
    outlined = []
    monkeypatch.setattr(overlays, "outline", lambda mask, *, colour, style: outlined.append(int(mask.sum())) or "")

    draw_overlay(reference, {"a": prediction}, (1.0, 1.0))

    assert outlined == [16] * 16 + [12] * 16


def test_a_box_around_nothing_is_the_whole():
    assert box_around(np.zeros((3, 4), bool), margin=1) == (slice(None), slice(None))


def test_a_box_has_its_margin_within_the_array():
    mask = np.zeros((9, 20), bool)
    mask[1:3, 4:14] = True

    assert box_around(mask) == (slice(1, 3), slice(4, 14))
    assert box_around(mask, margin=2) == (slice(0, 5), slice(2, 16))
    assert box_around(mask, margin=2, margin_share=0.3) == (slice(0, 5), slice(1, 17))


def test_planes_lie_in_the_middle_of_the_foreground():
    mask = np.zeros((4, 10, 20), bool)
    mask[1, 2:5, 10:20] = True

    planes = middle_planes(mask, (8.0, 2.0, 1.0))

    assert [plane.index for plane in planes] == [
        (1, slice(None), slice(None)),
        (slice(None), 3, slice(None)),
        (slice(None), slice(None), 14),
    ]
    assert [plane.aspect for plane in planes] == [2.0, 8.0, 4.0]
    # 20 mm over 20 mm, 32 mm over 20 mm, 32 mm over 20 mm.
    assert [plane.height for plane in planes] == [1.0, 1.6, 1.6]
    assert middle_planes(mask, (8.0, 2.0, 1.0), axes=(2,)) == planes[2:]


def test_a_flat_map_is_its_own_plane_and_an_empty_one_is_cut_in_half():
    (plane,) = middle_planes(np.ones((4, 8), bool), (3.0, 1.0))

    assert (plane.index, plane.aspect, plane.height) == ((slice(None), slice(None)), 3.0, 1.5)
    assert middle_planes(np.zeros((4, 6, 8), bool), (1.0, 1.0, 1.0))[0].index[0] == 2


def test_the_last_of_several_masks_is_seen():
    picture = paint_masks(np.array([[True, True, False], [False, True, False]]), opacity=0.5)

    blue, orange = (0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00)
    np.testing.assert_allclose(picture[0], [*np.array(blue) / 255, 0.5])
    np.testing.assert_allclose(picture[1], [*np.array(orange) / 255, 0.5])
    assert picture[2].tolist() == [0, 0, 0, 0]
    assert paint_masks(np.zeros((1, 1), bool), ground=1.0).tolist() == [[1, 1, 1, 1]]


def test_an_outline_is_closed_at_the_edge_and_nothing_has_none():
    axis = new_figure(1, 1).subplots()
    draw_outline(axis, np.zeros((3, 3), bool), colour="white")
    assert not axis.collections

    draw_outline(axis, np.ones((3, 3), bool), colour="white")
    path = axis.collections[0].get_paths()[0]
    assert path.vertices.min() == -0.5
    assert path.vertices.max() == 2.5


def test_masks_are_numbered_and_the_last_counts():
    masks = np.array([[1, 1, 0, 0], [0, 1, 1, 0]], bool)

    assert number_masks(masks).tolist() == [1, 2, 2, 0]
