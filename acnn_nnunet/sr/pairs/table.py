"""`pairs.csv`: every stack of `imagesTr_lr`, whether it is used, and how well it lies on its HR image."""

from collections.abc import Sequence
from pathlib import Path

from acnn_nnunet.casewise.work import Excluded
from acnn_nnunet.files.tables import write_table
from acnn_nnunet.sr.pairs.store import PairRecord

TABLE_FILE, PAGE_FILE = "pairs.csv", "pairs.html"
MEASURES = (
    "slices",
    "spacing_mm",
    "thickness_mm",
    "overlap",
    "information_before",
    "information_after",
    "misalignment_before_mm",
    "misalignment_after_mm",
)


def write_pairs_table(path: Path, records: Sequence[PairRecord], excluded: Sequence[Excluded]) -> None:
    """Write the table, refused stacks last; a cell is empty where nothing applies.

    Raises:
        OSError: if it cannot be written.
    """
    blank = [None] * len(excluded)
    columns: dict[str, list[object]] = {
        "case": [*(record.case for record in records), *(each.case for each in excluded)],
        "used": [*("yes" for _ in records), *("no" for _ in excluded)],
        **{name: [*(getattr(record, name) for record in records), *blank] for name in MEASURES},
        "shift_mm": [*(record.motion.shift_mm for record in records), *blank],
        "rotation_deg": [*(record.motion.rotation_deg for record in records), *blank],
        "remark": [*(record.remark for record in records), *(each.reason for each in excluded)],
    }
    write_table(path, columns, float_format="%.4f")
