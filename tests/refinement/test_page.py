"""`refined.html` in a real browser at two widths: scrolled, and looked through with keys."""

from types import SimpleNamespace

import numpy as np
import pytest
from opened_pages import opened
from short_axis import NAMES, SPACING_MM, short_axis

from acnn_nnunet.refinement.changes import find_changes
from acnn_nnunet.refinement.overview import Overview
from acnn_nnunet.refinement.page import draw_changes, render_refinement_page
from acnn_nnunet.refinement.table import RefinedRow


def volume(values):
    return SimpleNamespace(volume=values, volume_spacing_mm=SPACING_MM)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """The page of two hearts that gained a slice, one that stayed, and one with a long reason to be left."""
    whole, torn = short_axis(5), short_axis(5)
    torn[2] = 0
    changes = vars(find_changes(torn, whole, labels=NAMES, voxel_ml=0.0225))
    measures = {"resemblance": 0.71, "mahalanobis": 1.5}
    rows = [RefinedRow(case, "refined", "", True, changes, measures) for case in ("first", "second")]
    same = vars(find_changes(whole, whole, labels=NAMES, voxel_ml=0.0225))
    rows += [RefinedRow("kept", "kept", "the calibration expects no gain", True, same, measures)]
    rows += [RefinedRow("left_" + "x" * 60, "left", "nothing in the prior resembles it, " * 6, True, same, measures)]
    names = {value: name for name, (value,) in NAMES.items()}
    overview = Overview.of(rows)
    drawn = draw_changes(overview.most_changed, lambda case: (volume(torn), volume(whole)), label_names=names)
    prior = SimpleNamespace(path="prior.pth", spec=SimpleNamespace(dataset="Dataset027_ACDC", fold=0))
    page = render_refinement_page(
        "refinement.html", overview, *drawn, prior=prior, method="complete", assumptions="Assumed.", guarantee=None
    )
    file = tmp_path_factory.mktemp("page") / "refined.html"
    file.write_text(page)
    return file


def test_the_most_changed_cases_come_first_with_what_changed(page_file):
    page = page_file.read_text()

    places = [page.index(f"<tr><td>{case}") for case in ("first", "second", "kept", "left_")]
    assert places == sorted(places)
    voxels = np.count_nonzero(short_axis(1))
    assert f"first: {voxels} voxels, slices 2 to 2" in page
    assert "2 refined, 1 kept, 1 left" in page


@pytest.mark.parametrize("width", [1280, 800])
def test_it_is_scrolled_and_looked_through_in_a_browser(browser, page_file, width):
    with opened(browser, page_file, width=width) as shown:
        page = shown.page
        assert shown.overflow() == 0
        page.mouse.wheel(0, 5000)
        shown.settle()
        assert page.evaluate("window.scrollY") > 0
        assert page.locator("text=nothing in the prior resembles it").first.is_visible()
        page.click("button.look[data-case=first]")
        page.wait_for_selector("dialog canvas")
        shown.settle()
        assert shown.overflow() == 0
        before = shown.picture()
        page.keyboard.press("ArrowDown")
        shown.settle()
        assert shown.picture() != before
        page.keyboard.press("ArrowRight")
        shown.settle()
        assert page.text_content("dialog h2") == "second"
        page.keyboard.press("Escape")
        assert not page.locator("dialog").is_visible()
