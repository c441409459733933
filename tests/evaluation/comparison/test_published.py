"""Published numbers are those of the paper, carry their source, and the documentation shows the same."""

import re
from pathlib import Path

import pytest

from acnn_nnunet.evaluation.comparison.published import (
    NOT_RUN_HERE,
    PublishedColumn,
    PublishedTable,
    load_published,
    published_page,
    render_published,
)
from acnn_nnunet.evaluation.masks.scores import METRICS

ROOT = Path(__file__).parents[3]
PAPER = ROOT.parent / "shared" / "paper" / "oktay2017_acnn.txt"
COLLECTIONS = ("paper", "acdc", "cetus")
ALL_TABLES = [table for name in COLLECTIONS for table in load_published(name)]

each_table = pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.title)


def cells_of(table: PublishedTable, method: str) -> list[str]:
    (row,) = (row for row in table.rows if row[0].startswith(method))
    return list(row[1:])


@each_table
def test_tables_are_rectangular_and_sourced(table):
    assert {len(row) for row in table.rows} == {len(table.columns) + 1}
    assert re.search(r"\b(19|20)\d\d\b", table.publication)
    assert table.seen


@each_table
def test_columns_name_our_metrics(table):
    for column in table.columns:
        assert column.metric in (None, *METRICS)
        assert bool(column.metric) == bool(column.structures)
        assert column.phase in (None, "ED", "ES")


def test_rows_of_the_paper_by_hand():
    first, second, third = load_published("paper")

    assert cells_of(first, "ACNN-Seg")[:6] == [
        "1.37±0.42",
        "7.89±3.83",
        ".939±.017",
        "1.14±0.22",
        "7.31±3.59",
        ".811±.027",
    ]
    assert cells_of(second, "BEAS")[:3] == ["2.26±0.73", "8.10±2.66", ".894±.041"]
    assert cells_of(second, "FCN")[3:6] == ["2.83±1.89", "12.45±10.69", ".872±.050"]
    assert cells_of(third, "ACNN-SR") == [".796±.041", "4.36±0.62", "4.25±.68", ".06 s"]


@pytest.mark.skipif(not PAPER.is_file(), reason="the paper's text is not here")
def test_every_mean_of_the_paper_stands_in_its_text_in_order():
    """Tables I and III stand in the text row by row; Table II column by column of ours."""
    text = PAPER.read_text()
    first, second, third = load_published("paper")

    for heading, rows in (
        ("TABLE I:", [row[1:7] for row in first.rows]),
        ("TABLE II:", list(zip(*[row[1:4] for row in second.rows], strict=True))),
        ("TABLE III:", [row[1:] for row in third.rows]),
    ):
        section = text[text.index(heading) :][:3500]
        for row in rows:
            pattern = r"\s+".join(re.escape(cell) for cell in row)
            assert re.search(pattern, section), f"{heading} {row}"


def test_documentation_is_made_from_the_data():
    """Write it anew with `published_page()` where this fails."""
    assert (ROOT / "docs" / "reference" / "published.md").read_text() == published_page()


def test_what_could_not_be_had_is_said():
    page = published_page()

    assert page.count("Could not be had:") == 2


def test_every_published_row_is_marked():
    for table in ALL_TABLES:
        assert render_published(table).count(NOT_RUN_HERE) == len(table.rows)


def test_ours_are_told_apart():
    table = PublishedTable("t", "p 2000", "s", True, (PublishedColumn("Dice"),), (("theirs", "0.9"),), ())

    text = render_published(table, ours={"mine": ["0.8"]})

    assert "| theirs (published, not run here) | 0.9 |\n| **mine** (run here) | 0.8 |" in text
    assert "Seen second-hand: s." in text


def test_unknown_collection():
    with pytest.raises(ValueError, match=r"'x'; there are paper, acdc, cetus"):
        load_published("x")
