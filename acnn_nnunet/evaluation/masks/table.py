"""`cases.csv`: one row per case and label, the table that everything after `evaluate` reads."""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from acnn_nnunet.evaluation.masks.scores import MEASURES, STATUSES, LabelScores
from acnn_nnunet.files.tables import PARQUET_ENDING, has_parquet, read_table, write_rows

CASES_FILE = "cases.csv"
LARGEST_COMPONENT_FILE = "cases_largest_component.csv"

VOXEL_COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
"""Fields of the scores that `summary.json` holds and the table does not."""
COLUMNS = tuple(field.name for field in fields(LabelScores) if field.name not in VOXEL_COUNTS)

_TEXT = ("case", "label", "status")
_COUNTS = ("components", "holes")
_PIECES = tuple(name for name in MEASURES if name.startswith("pieces_"))


LARGE_RUN = 2_000
"""Cases from which on the table is Parquet, `cases.parquet`, where pyarrow is installed."""


def write_scores(path: Path, scores: Iterable[LabelScores], *, num_cases: int = 0) -> Path:
    """Write the table atomically, floats with full precision, empty cells where a score does not apply.

    Args:
        path: file to write as CSV; a large run's has Parquet's ending instead.
        scores: rows; iterated over once.
        num_cases: that the rows are of.

    Returns:
        The file that was written.

    Raises:
        OSError: if it cannot be written.
    """
    parquet = path.with_suffix(PARQUET_ENDING)
    target, other = (parquet, path) if num_cases >= LARGE_RUN and has_parquet() else (path, parquet)
    kinds = {name: str if name in _TEXT else int if name in _COUNTS else float for name in COLUMNS}
    write_rows(target, kinds, ([getattr(score, name) for name in COLUMNS] for score in scores))
    other.unlink(missing_ok=True)
    return target


def read_scores(path: Path) -> list[LabelScores]:
    """Read a table that `write_scores` wrote, as CSV or Parquet; columns in any order, unknown ones are ignored.

    Raises:
        FileNotFoundError: if there is none; names the command that writes it.
        ValueError: naming file, line and column, if a column is missing, a status unknown, a cell no number or not
            finite, or a case and label come twice.
    """
    path = Path(path)
    if not path.is_file() and (parquet := path.with_suffix(PARQUET_ENDING)).is_file():
        path = parquet
    table = read_table(path, made_by=f"`acnn-nnunet evaluate GT PRED -o {path.parent}` writes it.")
    # Tables of earlier versions lack the later measures.
    if missing := [column for column in COLUMNS if column not in table.columns and column not in MEASURES]:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}: it is no table of `acnn-nnunet evaluate`.")
    scores = [_parse_row(row, where) for where, row in table.rows()]
    seen: set[tuple[str, str]] = set()
    for score in scores:
        if (score.case, score.label) in seen:
            raise ValueError(f"{path} holds case {score.case}, label {score.label} twice.")
        seen.add((score.case, score.label))
    return scores


def _parse_row(row: dict[str, str], where: str) -> LabelScores:
    if row["status"] not in STATUSES:
        raise ValueError(f"{where}: the status is {row['status']!r}; it is one of {', '.join(STATUSES)}.")
    values: dict[str, Any] = {column: row[column] for column in _TEXT}
    values |= {
        column: _parse_cell(row[column], column, where) for column in COLUMNS if column not in _TEXT and column in row
    }
    return LabelScores(**values)


def _parse_cell(cell: str, column: str, where: str) -> float | int | None:
    if not cell and column not in _COUNTS:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise ValueError(f"{where}: {column} is {cell!r}, not a finite number; evaluate the case again.")
    return int(value) if column in (*_COUNTS, *_PIECES) else value
