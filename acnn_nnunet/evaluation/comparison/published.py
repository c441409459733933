"""Published results (`published.json`), each with its source, for `compare --published`. None of them was run here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DATA_FILE = Path(__file__).with_name("published.json")
NOT_RUN_HERE = "published, not run here"
RUN_HERE = "run here"


@dataclass(frozen=True)
class PublishedColumn:
    """A column of a published table.

    Attributes:
        title: heading.
        metric: the column of cases.csv that measures the same, if one does.
        structures: names under which a label of ours is the same structure ("LV").
        phase: ED or ES, if the column is of one phase.
    """

    title: str
    metric: str | None = None
    structures: tuple[str, ...] = ()
    phase: str | None = None


@dataclass(frozen=True)
class PublishedTable:
    """A published table, or the part of it that could be had.

    Attributes:
        title: what it shows.
        publication: where it was published.
        seen: where we read it.
        second_hand: whether that is another publication than the one the methods were published in.
        columns: without the method's.
        rows: method and cells as printed; an empty cell where the source has none.
        notes: what to know before comparing.
    """

    title: str
    publication: str
    seen: str
    second_hand: bool
    columns: tuple[PublishedColumn, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def load_published(name: str) -> list[PublishedTable]:
    """Return the published tables of a collection.

    Raises:
        ValueError: if there is no such collection; lists those there are.
    """
    collections = _read()
    if name not in collections:
        raise ValueError(f"There are no published results {name!r}; there are {', '.join(collections)}.")
    return [_parse_table(table) for table in collections[name]["tables"]]


def render_published(table: PublishedTable, *, ours: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return a published table as Markdown, our own rows below where there are any.

    Args:
        table: published.
        ours: arm to its cells, as many as the table has columns.
    """
    marked = [(f"{method} ({NOT_RUN_HERE})", *cells) for method, *cells in table.rows]
    marked += [(f"**{arm}** ({RUN_HERE})", *cells) for arm, cells in (ours or {}).items()]
    header = ["method", *(column.title for column in table.columns)]
    lines = [header, ["---"] + ["---:"] * len(table.columns), *marked]
    cells = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([f"### {table.title}", "", cells, "", *[f"- {line}" for line in sources(table)]])


def sources(table: PublishedTable) -> list[str]:
    """Return the sentences that say where a table is from and what to know before comparing."""
    hand = "second-hand" if table.second_hand else "from the publication itself"
    return [f"Source: {table.publication}. Seen {hand}: {table.seen}.", *table.notes]


def published_page() -> str:
    """Return docs/reference/published.md."""
    parts = [
        "# Published results",
        "",
        "`--published paper` (or `acdc`, `cetus`) of `acnn-nnunet compare` shows these results next to yours. None was",
        "run here: data, metric definitions and training differ. Numbers are copied as printed. `published_page` makes",
        "this page from `published.json`, both in `acnn_nnunet/evaluation/comparison/`.",
    ]
    for name, collection in _read().items():
        parts += ["", f"## `{name}`: {collection['title']}", "", *[f"- {line}" for line in collection["missing"]]]
        for table in map(_parse_table, collection["tables"]):
            parts += ["", render_published(table)]
    return "\n".join(parts) + "\n"


def _read() -> dict[str, dict]:
    return json.loads(DATA_FILE.read_text(encoding="utf-8"))


def _parse_table(table: Mapping) -> PublishedTable:
    columns = (
        PublishedColumn(column["title"], column.get("metric"), tuple(column.get("structures", ())), column.get("phase"))
        for column in table["columns"]
    )
    return PublishedTable(
        title=table["title"],
        publication=table["publication"],
        seen=table["seen"],
        second_hand=table["second_hand"],
        columns=tuple(columns),
        rows=tuple(tuple(row) for row in table["rows"]),
        notes=tuple(table.get("notes", ())),
    )
