"""The one writer and reader of tables: CSV as spreadsheets know it, or Parquet where a file name ends so."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.files.safe_writes import read_text, replace_atomically

CSV_ENDING, PARQUET_ENDING = ".csv", ".parquet"
ROWS_PER_GROUP = 5000


@dataclass(frozen=True)
class Table:
    """A table as it was read: text, nothing converted.

    Attributes:
        path: the file.
        columns: names, in the file's order.
        lines: number in the file and cells of each row; blank lines are left out.
    """

    path: Path
    columns: list[str]
    lines: list[tuple[int, list[str]]]

    def rows(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield "PATH, line N" and the cells by column of each row; cells that a short row lacks are empty."""
        for line, cells in self.lines:
            padded = [*cells, *[""] * (len(self.columns) - len(cells))]
            yield f"{self.path}, line {line}", dict(zip(self.columns, padded, strict=False))


def write_table(path: Path, columns: Mapping[str, Sequence[Any]], *, float_format: str | None = None) -> None:
    """Write columns of equal length as a table, atomically.

    In CSV (UTF-8, lines end in a line feed) None is an empty cell and numbers have full precision.

    Args:
        path: file to write; Parquet where the name ends in `.parquet`, CSV elsewhere.
        columns: values by column name; Parquet takes the type of each column from them.
        float_format: of floats in CSV, such as "%.4f".

    Raises:
        ValueError: for Parquet without pyarrow.
        OSError: if the file cannot be written.
    """
    import pandas

    if _is_parquet(path):
        require_parquet()
        frame = pandas.DataFrame(dict(columns))
        replace_atomically(path, lambda partial: frame.to_parquet(partial, index=False))
        return
    # As objects: pandas would turn whole numbers beside an empty cell into floats.
    cells = {name: [_cell(value, float_format) for value in values] for name, values in columns.items()}
    frame = pandas.DataFrame(cells, dtype=object)
    replace_atomically(path, lambda partial: frame.to_csv(partial, index=False, lineterminator="\n", encoding="utf-8"))


def write_rows(
    path: Path, columns: Mapping[str, type], rows: Iterable[Sequence[Any]], *, float_format: str | None = None
) -> None:
    """Write rows as a table, atomically, without holding more than a few thousand of them.

    Args:
        path: file to write; Parquet, in groups of rows, where the name ends in `.parquet`, CSV as by `write_table`
            elsewhere.
        columns: str, int, float or np.float32 by column name.
        rows: cells in the order of the columns; None where there is nothing.
        float_format: of floats in CSV, such as "%.4f".

    Raises:
        ValueError: for Parquet without pyarrow.
        OSError: if the file cannot be written.
    """
    if _is_parquet(path):
        require_parquet()
        replace_atomically(path, lambda partial: _write_row_groups(partial, columns, rows))
        return

    def write(partial: str) -> None:
        with open(partial, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_cell(value, float_format) for value in row] for row in rows)

    replace_atomically(path, write)


def has_parquet() -> bool:
    """Return whether Parquet can be written and read."""
    return find_spec("pyarrow") is not None


def columns_of(records: Iterable[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    """Return attributes of records as columns for `write_table`."""
    records = list(records)
    return {name: [getattr(record, name) for record in records] for name in names}


def read_table(path: Path, *, made_by: str) -> Table:
    """Read a CSV file in UTF-8, with or without a byte-order mark, or a Parquet file.

    Args:
        path: file to read.
        made_by: the sentence on where such a table comes from: "`acnn-nnunet codes` writes it."

    Raises:
        FileNotFoundError: if there is no such file; ends with `made_by`.
        ValueError: if it is no table, two columns have one name, or for Parquet without pyarrow.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: {made_by}")
    table = _read_parquet(path) if _is_parquet(path) else _read_csv(path)
    names = [name.strip() for name in table.columns if name.strip()]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{path}, line 1: there are two columns {twice}: rename one of them.")
    return table


def require_parquet() -> None:
    """Raise ValueError, with the remedy, if Parquet can be neither written nor read."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ValueError(f"Parquet needs {error.name}: pip install pyarrow, or name a .csv file.") from None


def _write_row_groups(path: str, columns: Mapping[str, type], rows: Iterable[Sequence[Any]]) -> None:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), np.float32: pyarrow.float32()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    rows = iter(rows)
    with ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, ROWS_PER_GROUP)):
            arrays = [
                pyarrow.array(cells, kind) for cells, kind in zip(zip(*group, strict=True), schema.types, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _cell(value: Any, float_format: str | None) -> Any:
    if not isinstance(value, (float, np.floating)):
        return value
    if float_format is not None:
        return float_format % value
    return "nan" if value != value else value  # an empty cell would hide it


def _is_parquet(path: Path) -> bool:
    return Path(path).suffix.lower() == PARQUET_ENDING


def _read_csv(path: Path) -> Table:
    try:
        text = read_text(path)
        first = text.partition("\n")[0]
        separator = next((each for each in ",;\t" if each in first), ",")  # some spreadsheets write semicolons
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        columns = next(reader, [])
        return Table(path, columns, [(reader.line_num, cells) for cells in reader if cells])
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV text file ({error}).") from error


def _read_parquet(path: Path) -> Table:
    require_parquet()
    import pyarrow
    from pyarrow.parquet import read_table as read_parquet

    try:
        table = read_parquet(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is no Parquet file ({error}).") from error
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    lines = [(number, ["" if value is None else str(value) for value in row]) for number, row in enumerate(rows, 1)]
    return Table(path, list(table.column_names), lines)
