"""The viewer: what a case becomes, and the page in a real browser at two widths."""

import json

import numpy as np
import pytest
from opened_pages import opened
from viewer_voxels import voxels

from acnn_nnunet.pages.page import LABEL_COLOURS, render_page
from acnn_nnunet.pages.viewer import (
    CASE_BUDGET,
    Image,
    Overlay,
    Panel,
    ViewerCase,
    against_reference,
    pack_case,
    script_json,
    viewer_block,
)


def ball(shape=(12, 40, 50), centre=(6, 20, 25), radius=6):
    distance = sum((grid - at) ** 2 for grid, at in zip(np.indices(shape), centre, strict=True))
    return (distance < radius**2).astype(np.uint8) * 2


def two_balls(name="a", **options):
    shifted = ball(centre=(6, 20, 28))
    return against_reference(name, ball(), {"net": shifted}, (4.0, 1.0, 1.0), label_names={2: "LV <b>"}, **options)


def test_a_case_is_cropped_to_its_labels_and_starts_where_they_differ():
    image = np.arange(12 * 40 * 50, dtype=float).reshape(12, 40, 50)
    case = pack_case(two_balls(image=image))

    # Rows 15 to 25 with a margin of a third of 11, 4 at least; columns 20 to 33 likewise.
    assert case["frame"]["shape"] == [12, 19, 22]
    assert case["frame"]["spacing"] == [4.0, 1.0, 1.0]
    assert case["labels"] == [{"name": "LV <b>", "colour": LABEL_COLOURS[1]}]
    grey, net, reference = map(voxels, case["volumes"])
    np.testing.assert_array_equal(reference * 2, ball()[:, 11:30, 16:38])
    assert grey.shape == net.shape == reference.shape
    at = tuple(case["at"])
    assert net[at] != reference[at] or (net != reference)[at[0]].sum() == (net != reference).sum(axis=(1, 2)).max()
    assert case["panels"] == [
        {
            "title": "net",
            "image": 0,
            "overlays": [
                {"volume": 1, "name": "prediction", "style": "fill"},
                {"volume": 2, "name": "reference", "style": "line"},
            ],
        }
    ]
    assert case["note"] == ""


def test_a_given_slice_is_shown_across_the_axis_that_rules_count_along():
    panel = Panel("", (Overlay(ball(), "prediction"),))
    # Cubes but for rounding: the rules' slices lie across the first axis.
    case = pack_case(ViewerCase("a", [panel], (1.0, 1.0, 1.0000002), crop=False, number=3))
    assert case["at"] == [3, 20, 25]


def test_panels_share_a_reference():
    case = pack_case(against_reference("a", ball(), {"x": ball(), "y": ball()}, (1.0, 1.0, 1.0)))

    assert len(case["volumes"]) == 3
    assert [panel["overlays"][1]["volume"] for panel in case["panels"]] == [1, 1]


def test_two_axes_are_one_slice():
    case = pack_case(against_reference("a", ball()[6], {"x": ball()[6]}, (1.0, 2.0), image=np.zeros((40, 50))))

    assert case["frame"]["shape"][0] == 1
    assert case["frame"]["spacing"] == [2.0, 1.0, 2.0]
    assert voxels(case["volumes"][1]).shape == tuple(case["frame"]["shape"])


@pytest.mark.parametrize("length", range(12, 24))
def test_a_thinned_volume_fills_its_frame(length):
    label_map = np.random.default_rng(0).integers(0, 9, (length, 12, 12), dtype=np.uint8)
    panel = Panel("", (Overlay(label_map, "prediction"),))
    case = pack_case(ViewerCase("a", [panel], (1.0, 1.0, 1.0), crop=False, number=length - 1), budget=150)
    assert case["frame"]["spacing"][0] > 1
    assert case["volumes"][0]["shape"] == case["frame"]["shape"]
    assert case["at"][0] == case["frame"]["shape"][0] - 1


def test_nothing_to_see_is_shown_whole():
    empty = np.zeros((2, 3, 4), np.uint8)
    case = pack_case(against_reference("a", empty, {"x": empty}, (1.0, 1.0, 1.0)))

    assert case["frame"]["shape"] == [2, 3, 4]
    assert case["labels"] == []
    assert case["at"] == [1, 1, 2]


def test_many_labels_and_large_numbers():
    many = np.arange(400, dtype=np.uint16).reshape(1, 20, 20) * 100
    case = pack_case(against_reference("a", many, {"x": many}, (1.0, 1.0, 1.0)))
    values = voxels(case["volumes"][0])

    assert len(case["labels"]) == 255
    assert values[0, 0, :4].tolist() == [0, 1, 2, 3]
    assert values.max() == 255


@pytest.mark.parametrize("budget", [60_000, 20_000, 3_000])
def test_what_is_too_large_loses_grey_levels_then_voxels(budget):
    image = np.random.default_rng(0).normal(size=(30, 60, 60))
    labels = np.ones((30, 60, 60), np.uint8)
    case = pack_case(against_reference("a", labels, {"x": labels}, (2.0, 1.0, 1.0), image=image), budget=budget)

    assert sum(len(volume["data"]) for volume in case["volumes"]) <= budget
    assert "64 grey levels" in case["note"]
    assert "mm apart" in case["note"]
    extent = np.multiply(case["frame"]["shape"], case["frame"]["spacing"])
    np.testing.assert_allclose(extent, (60, 60, 60), rtol=0.2)  # what is shown is still all of it
    assert len(set(np.unique(voxels(case["volumes"][0])) % 4)) == 1


def test_ten_large_cases_stay_under_8_megabytes():
    labels = np.ones((40, 150, 150), np.uint8)
    image = np.random.default_rng(0).normal(size=labels.shape)
    case = pack_case(against_reference("a", labels, {"x": labels}, (2.0, 1.0, 1.0), image=image))

    assert len(viewer_block([case] * 10)) < 10 * (CASE_BUDGET + 1000) + 40_000 < 8e6


def test_an_image_on_another_grid_keeps_its_place():
    # 10 slices of 5 mm over 50 of 1 mm; the first of the two begins 2 mm before.
    thick = Image(np.arange(10.0)[:, None, None] * np.ones((10, 8, 8)), (5.0, 1.0, 1.0), (-2.0, 0.0, 0.0))
    thin = Image(np.zeros((50, 8, 8)))
    labels = np.zeros((50, 8, 8), np.uint8)
    labels[20:24, 4, 4] = 1
    panels = [Panel("in", image="thick"), Panel("out", (Overlay(labels, "x"),), image="thin")]
    case = pack_case(ViewerCase("a", panels, (1.0, 1.0, 1.0), {"thick": thick, "thin": thin}))

    # The crop begins at slice 16 = 16 mm; thick slice 3 lies from 13 to 18 mm, so 3 mm before the crop.
    assert case["frame"]["shape"][0] == 12
    assert case["volumes"][0]["offset"][0] == -3.0
    assert case["volumes"][0]["shape"][0] == 3  # 13 to 28 mm


def test_what_stands_in_a_script_cannot_end_it():
    assert script_json({"a": "</script><!--"}) == '{"a":"\\u003c/script>\\u003c!--"}'
    assert json.loads(script_json("</script>")) == "</script>"


def test_no_cases_no_viewer():
    assert viewer_block([]) == ""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A page with two cases, one with an image and one of two axes without."""
    image = np.random.default_rng(0).normal(size=(12, 40, 50))
    flat = against_reference("flat", ball()[6], {"x": ball()[5]}, (1.0, 1.0))
    viewer = viewer_block([pack_case(two_balls(name="round", image=image)), pack_case(flat)])
    before, after = (f'<button data-case="{name}">{name}</button>' for name in ("round", "flat"))
    file = tmp_path_factory.mktemp("page") / "page.html"
    file.write_text(render_page("page.html").replace("<body>", f"<body>{after}{viewer}{before}"))
    return file


@pytest.mark.parametrize("width", [1280, 800])
def test_the_viewer_in_a_browser(browser, page_file, width):
    from playwright.sync_api import expect

    with opened(browser, page_file, width=width) as shown:
        page = shown.page
        assert shown.overflow() == 0
        page.click("[data-case=round]")
        page.wait_for_selector("dialog canvas")
        shown.settle()
        assert shown.overflow() == 0
        assert page.locator("canvas").count() == 3
        assert page.text_content("dialog h2") == "round"
        assert "LV <b>" in page.text_content(".legend")
        before = shown.picture()
        captions = page.locator(".caption").all_text_contents()
        for key in ("ArrowDown", "o", "x", "[", ".", "r"):
            page.keyboard.press(key)
            shown.settle()
            after = shown.picture()
            assert after != before, key
            before = after
        assert page.locator(".caption").all_text_contents() != captions
        page.keyboard.press("ArrowRight")
        # A string to wait for would be evaluated in the page, whose policy forbids that.
        expect(page.locator("canvas")).to_have_count(1)
        assert page.text_content("dialog h2") == "flat"
        assert shown.overflow() == 0
        page.keyboard.press("Escape")
        assert not page.locator("dialog").is_visible()


def test_planes_follow_a_click_and_the_wheel(browser, page_file):
    with opened(browser, page_file) as shown:
        page = shown.page
        page.click("[data-case=round]")
        first = page.locator("canvas").first
        first.wait_for()
        shown.settle()  # the first drawing replaces the canvases
        box = first.bounding_box()
        first.click(position={"x": box["width"] * 0.25, "y": box["height"] * 0.5})
        shown.settle()
        captions = page.locator(".caption").all_text_contents()
        assert captions[1:] == ["net · y 10/19", "net · x 6/22"]  # 0.5 × 19 and 0.25 × 22, counted from 1
        page.mouse.wheel(0, 100)
        shown.settle()
        assert page.locator(".caption").all_text_contents()[0] != captions[0]


def test_the_browser_shows_the_voxels(browser, page_file):
    with opened(browser, page_file) as shown:
        packed = shown.page.evaluate(
            "(async () => { const { cases } = JSON.parse(document.getElementById('viewer-cases').textContent);"
            " return [cases[0].volumes, await Promise.all(cases[0].volumes.map(async (volume) =>"
            " [...await acnn.voxelsOf(volume)]))]; })()"
        )
    for volume, seen in zip(*packed, strict=True):
        assert seen == voxels(volume).ravel().tolist()
