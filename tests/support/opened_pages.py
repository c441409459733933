"""Pages in a real browser: opened, with what they asked for and what went wrong written down."""

from contextlib import contextmanager
from pathlib import Path


class OpenedPage:
    """A page of a browser: `page` is playwright's, `requests` and `errors` what it asked for and complained about."""

    def __init__(self, page):
        self.page = page
        self.requests, self.errors = [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)

    def overflow(self) -> int:
        """Pixels by which the page, or an open dialog in it, is wider than its window."""
        return self.page.evaluate(
            "Math.max(...[document.documentElement, ...document.querySelectorAll('dialog[open]')]"
            ".map((each) => each.scrollWidth - each.clientWidth))"
        )

    def picture(self) -> str:
        """What the canvases of the page show, as text."""
        return self.page.evaluate("[...document.querySelectorAll('canvas')].map((each) => each.toDataURL()).join()")

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


@contextmanager
def opened(browser, file: Path, *, width: int = 1280, height: int = 800):
    """Open a file; in the end nothing but the file must have been asked for, and nothing gone wrong."""
    shown = OpenedPage(browser.new_page(viewport={"width": width, "height": height}))
    shown.page.goto(Path(file).absolute().as_uri())
    yield shown
    outside = [url for url in shown.requests if not url.startswith(("file:", "data:", "blob:"))]
    assert not outside, outside
    assert not shown.errors, shown.errors
    shown.page.close()
