"""`status.csv`: every case of a run, whether it was done, and why not."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from acnn_nnunet.files.tables import write_rows

STATUS_FILE = "status.csv"
DONE, FAILED = "done", "failed"
COLUMNS = {"case": str, "status": str, "error": str}
MOST_NAMED = 50
"""Cases that a command names before it points to the table."""


def write_status(folder: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Write the table of a run's entries, one row per case, in their order.

    Raises:
        OSError: if it cannot be written.
    """
    rows = ((entry["case"], DONE if entry["error"] is None else FAILED, entry["error"] or "") for entry in entries)
    write_rows(Path(folder) / STATUS_FILE, COLUMNS, rows)


def more_in_status(num_failed: int) -> list[str]:
    """Return the line that says where the cases stand that are not named."""
    more = num_failed - MOST_NAMED
    return [f"… and {more} more that failed: see {STATUS_FILE}."] if more > 0 else []
