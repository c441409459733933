"""`cases.csv`: one row a case and label, the table that everything after `evaluate` reads."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from acnn_nnunet.files.tables import columns_of, read_table, write_table

CASES_FILE = "cases.csv"
LARGEST_COMPONENT_FILE = "cases_largest_component.csv"

OK, MISSED, SPURIOUS, BOTH_EMPTY = "ok", "missed", "spurious", "both_empty"
STATUSES = (OK, MISSED, SPURIOUS, BOTH_EMPTY)


@dataclass(frozen=True)
class CaseScore:
    """The scores of one label or region in one case; None where a score does not apply (an empty cell).

    Attributes:
        case: file name without its ending.
        label: as nnU-Net's summary.json writes it: "2" for a label, "(1, 2)" for a region.
        status: ok; missed (in the reference only), spurious (in the prediction only): Dice and IoU 0, distances the
            image's diagonal; both_empty: no overlap and no distance applies.
        dice: 0 to 1, as are `iou` and `surface_dice`.
        iou: intersection over union.
        hausdorff_mm: symmetric Hausdorff distance.
        hd95_mm: the larger of the two directed 95th percentiles.
        mean_surface_distance_mm: average symmetric surface distance.
        surface_dice: fraction of both surfaces within the tolerance of the other.
        volume_reference_ml: volume of the reference; does not apply where an image of 2 axes tells no slice thickness.
        volume_prediction_ml: the prediction's.
        components: connected pieces of the prediction.
        holes: cavities of the prediction.
    """

    case: str
    label: str
    status: str
    dice: float | None
    iou: float | None
    hausdorff_mm: float | None
    hd95_mm: float | None
    mean_surface_distance_mm: float | None
    surface_dice: float | None
    volume_reference_ml: float | None
    volume_prediction_ml: float | None
    components: int
    holes: int


COLUMNS = tuple(field.name for field in fields(CaseScore))
_TEXT = ("case", "label", "status")
_COUNTS = ("components", "holes")


def write_scores(path: Path, scores: Iterable[CaseScore]) -> None:
    """Write the table atomically, floats with full precision.

    Raises:
        OSError: if it cannot be written.
    """
    write_table(path, columns_of(scores, COLUMNS))


def read_scores(path: Path) -> list[CaseScore]:
    """Read a table that `write_scores` wrote; columns may stand in any order, unknown ones are ignored.

    Raises:
        FileNotFoundError: if there is none; names the command that writes it.
        ValueError: naming file, line and column, if a column is missing, a status unknown, a cell no number or not
            finite, or a case and label come twice.
    """
    path = Path(path)
    table = read_table(path, made_by=f"`acnn-nnunet evaluate GT PRED -o {path.parent}` writes it.")
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}: it is no table of `acnn-nnunet evaluate`.")
    scores = [_parse_row(row, where) for where, row in table.rows()]
    seen: set[tuple[str, str]] = set()
    for score in scores:
        if (score.case, score.label) in seen:
            raise ValueError(f"{path} holds case {score.case}, label {score.label} twice.")
        seen.add((score.case, score.label))
    return scores


def _parse_row(row: dict[str, str], where: str) -> CaseScore:
    if row["status"] not in STATUSES:
        raise ValueError(f"{where}: the status is {row['status']!r}; it is one of {', '.join(STATUSES)}.")
    values = {column: _parse_cell(row[column], column, where) for column in COLUMNS if column not in _TEXT}
    return CaseScore(**{column: row[column] for column in _TEXT}, **values)  # type: ignore[arg-type]


def _parse_cell(cell: str, column: str, where: str) -> float | int | None:
    if not cell and column not in _COUNTS:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise ValueError(f"{where}: {column} is {cell!r}, not a finite number; evaluate the case again.")
    return int(value) if column in _COUNTS else value
