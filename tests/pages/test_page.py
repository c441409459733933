"""Pages: what is escaped, numbers that do not exist, and pictures inside the file."""

import base64

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from acnn_nnunet.pages.page import figure_data_uri, format_number, literal, new_figure, render_page


def test_what_a_template_needs_must_be_given():
    with pytest.raises(UndefinedError, match="rows"):
        render_page("clinical.html")


def test_values_are_escaped_unless_they_are_markup():
    page = render_page(
        "demo.html",
        num_test="<1>",
        num_iterations=2,
        picture=Markup("data:<b>"),
        steps=[],
        pages=[],
    )

    assert "&lt;1&gt;" in page
    assert "data:<b>" in page


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(None, 3, "–"), (float("nan"), 3, "–"), (0.12345, 3, "0.123"), (2.0, 0, "2")]
)
def test_numbers(value, digits, text):
    assert format_number(value, digits) == text


def test_names_that_matplotlib_would_read_otherwise():
    assert literal("_a$b$") == r" _a\$b\$"
    assert literal("plain") == "plain"


def test_a_figure_is_a_png_in_an_address():
    head, _, content = figure_data_uri(new_figure(1, 1), dpi=10).partition(",")

    assert head == "data:image/png;base64"
    assert base64.b64decode(content).startswith(b"\x89PNG")
