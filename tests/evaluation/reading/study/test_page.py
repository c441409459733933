"""The study in a real browser: rate all, reload, crash, export, score."""

import contextlib
import hashlib
import json

import pytest
from opened_pages import opened
from reader_studies import write_images

from acnn_nnunet.cli import main
from acnn_nnunet.evaluation.reading.study.command import StudyOptions, make_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of ten cases and two arms, with inputs."""
    root = tmp_path_factory.mktemp("reading")
    folders = write_images(root, num_cases=10)
    arms = {"linear": folders["linear"], "learnt": folders["learnt"]}
    make_study(arms, folders["hr"], root / "study", StudyOptions(inputs=folders["lr"]))
    return root / "study"


def wait_for(page, item):
    """Wait until an item is drawn."""
    page.wait_for_selector(f'#study[data-ready="{item}"]')


def begin(page, reader):
    page.fill("[name=reader]", reader)
    page.keyboard.press("Enter")
    wait_for(page, 1)


def given(item):
    """The rating that these tests give an item, counted from 1."""
    return item % 5 + 1


@pytest.mark.parametrize("width", [1280, 800])
def test_what_a_reader_sees_and_the_keys(browser, study, width):
    with opened(browser, study / "study.html", width=width) as shown:
        page = shown.page
        assert shown.overflow() == 0
        begin(page, "Zoë")
        assert shown.overflow() == 0
        captions = page.locator(".caption").all_text_contents()
        assert [each.split(" · ")[0] for each in captions] == ["Input", "Reconstruction", "Reference"] * 3
        before = shown.picture()
        for key in ("ArrowDown", "[", ".", "x"):
            page.keyboard.press(key)
            shown.settle()
            after = shown.picture()
            assert after != before, key
            before = after
        page.keyboard.press("4")
        wait_for(page, 2)
        assert page.text_content("#place") == "Item 2 of 20, 1 rated"
        page.keyboard.press("ArrowLeft")
        wait_for(page, 1)
        assert page.get_attribute("[data-rating='4']", "aria-pressed") == "true"
        page.click("[data-rating='2']")  # changed by the mouse; on to the next without a rating
        wait_for(page, 2)
        assert shown.overflow() == 0


@pytest.mark.slow
def test_a_reload_and_a_crash_at_any_moment_lose_nothing_and_the_export_is_scored(browser, chromium, study, tmp_path):
    # A profile on disk, as a reader has: a private window keeps all in memory.
    context = browser.browser_type.launch_persistent_context(
        tmp_path / "profile", viewport={"width": 1000, "height": 700}, **chromium
    )
    page = context.new_page()
    page.goto((study / "study.html").as_uri())
    begin(page, "R 1")
    for item in range(1, 21):
        page.keyboard.press(str(given(item)))
        if item % 2:
            _crash(page)
            page = context.new_page()
            page.goto((study / "study.html").as_uri())
        else:
            page.reload()
        if page.is_visible("#start"):  # Chromium shows its storage empty now and then: the reader gives the name again
            page.wait_for_timeout(2000)  # nobody types faster
            page.fill("[name=reader]", "R 1")
            page.keyboard.press("Enter")
        wait_for(page, min(item + 1, 20))
        assert page.text_content("#place").endswith(f"{item} rated")
    assert page.is_visible("#done")
    with page.expect_download() as download:
        page.click("#export")
    download.value.save_as(tmp_path / "r1.json")
    context.close()

    exported = json.loads((tmp_path / "r1.json").read_text())
    assert download.value.suggested_filename.startswith("ratings_R_1_")
    assert exported["ratings"] == [given(item) for item in range(1, 21)]
    words = "\n".join([exported["study"], "R 1", ",".join(map(str, exported["ratings"]))])
    assert exported["digest"] == hashlib.sha256(words.encode()).hexdigest()
    assert main(["reader-scores", str(study / "key.json"), str(tmp_path / "r1.json"), "-o", str(tmp_path / "out")]) == 0
    key = json.loads((study / "key.json").read_text())
    scores = json.loads((tmp_path / "out" / "reader_scores.json").read_text())["scores"]
    for row in scores:
        own = [given(each["item"]) for each in key["items"] if each["arm"] == row["arm"]]
        assert row["mos"] == pytest.approx(sum(own) / 10)


def test_readers_and_tabs_do_not_overwrite_each_other(browser, study):
    context = browser.new_context()
    first, second = context.new_page(), context.new_page()
    first.goto((study / "study.html").as_uri())
    begin(first, "R1")
    second.goto((study / "study.html").as_uri())
    wait_for(second, 1)
    first.keyboard.press("5")
    wait_for(first, 2)
    second.keyboard.press("ArrowRight")
    wait_for(second, 2)
    second.keyboard.press("3")  # this tab has not seen the other's rating of item 1
    wait_for(second, 3)
    assert second.text_content("#place").endswith("2 rated")
    second.click("#leave")
    assert second.text_content("#known li").startswith("R1: 2 of 20 rated")
    begin(second, "R2")
    assert second.text_content("#place").endswith("0 rated")
    context.close()


def test_a_browser_that_keeps_nothing_says_so(browser, study):
    context = browser.new_context()
    context.add_init_script("Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); };")
    page = context.new_page()
    page.goto((study / "study.html").as_uri())
    begin(page, "R1")
    assert "keeps no ratings (QuotaExceededError): export before you close" in page.text_content("#problem")
    page.keyboard.press("2")
    wait_for(page, 2)
    page.keyboard.press("3")
    wait_for(page, 3)
    with page.expect_download() as download:
        page.click("#export")
    assert json.loads(download.value.path().read_text())["ratings"][:3] == [2, 3, None]
    context.close()


def test_the_digest_is_sha256(browser, study):
    texts = ["", "abc", "é" * 100, "x" * 55, "x" * 56, "x" * 64, "\n€"]
    with opened(browser, study / "study.html") as shown:
        found = shown.page.evaluate("(texts) => texts.map(sha256)", texts)
    assert found == [hashlib.sha256(text.encode()).hexdigest() for text in texts]


def _crash(page):
    """Let the process of a tab die."""
    with page.expect_event("crash"), contextlib.suppress(Exception):
        page.goto("chrome://crash")
    page.close()
