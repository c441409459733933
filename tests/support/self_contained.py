"""What a page must not hold if it is to ask for nothing."""

import re

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def assert_self_contained(page: str) -> None:
    """Fail if a page names anything outside of itself, or does not forbid the browser to fetch it."""
    assert f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">' in page
    rest = re.sub(r"base64,[^\"]*", "", page).replace("http-equiv", "")
    assert "http" not in rest
    assert not re.findall(r"<(?:script|iframe|img|link)[^>]*\s(?:src|href)=\"(?!data:)", rest)
    assert "<link" not in rest
    assert not re.search(r"\b(?:fetch|XMLHttpRequest|WebSocket|EventSource|import)\s*\(", rest)
