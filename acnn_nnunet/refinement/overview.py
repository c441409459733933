"""What a folder's refinement comes to: how many of each status, which changed most, which are to be named."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path

from acnn_nnunet.casewise.status import MOST_NAMED
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.refinement.anatomy_refiner import KEPT, LEFT, REFINED
from acnn_nnunet.refinement.table import EXCLUDED, RefinedRow

REPAIRED = "repaired"
"""Mended, and within the limit."""

TABLE_FILE, PAGE_FILE = "refined.csv", "refined.html"
MOST_LISTED = 1000
"""Rows of the page's table."""
_ORDER = (REFINED, REPAIRED, KEPT, LEFT, EXCLUDED)


@dataclass(frozen=True)
class Overview:
    """What page and summary say of all cases; its size does not grow with their number.

    Attributes:
        counts: number of cases by status.
        num_changed: cases that differ from the prediction.
        most_changed: the first `MOST_LISTED` rows in the order of looking at them: the less of the anatomy is common
            to prediction and result, the earlier.
        named: the first `MOST_NAMED` cases that were left as they are, or excluded.
        excluded: every excluded case.
    """

    counts: dict[str, int]
    num_changed: int
    most_changed: list[RefinedRow]
    named: list[RefinedRow]
    excluded: tuple[Excluded, ...]

    @classmethod
    def of(cls, rows: Iterable[RefinedRow]) -> "Overview":
        """Return the overview of rows, which are iterated over twice."""
        counts: Counter[str] = Counter()
        num_changed = 0
        named: list[RefinedRow] = []
        excluded: list[Excluded] = []
        for row in rows:
            counts[row.status] += 1
            num_changed += bool(row.changes.get("voxels"))
            if row.status in (LEFT, EXCLUDED) and len(named) < MOST_NAMED:
                named.append(row)
            if row.status == EXCLUDED:
                excluded.append(Excluded(row.case, row.reason))
        most_changed = nsmallest(MOST_LISTED, rows, key=_looked_at)
        told = {status: counts[status] for status in _ORDER if counts[status]}
        return cls(told, num_changed, most_changed, named, tuple(excluded))

    @property
    def num_cases(self) -> int:
        """Number of cases."""
        return sum(self.counts.values())

    def outcome(self, output: Path, *remarks: str) -> Outcome:
        """Return what the command says: counts, remarks, the first cases that were left or excluded, and the page."""
        told = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        lines = [f"{output}: {told} (of {self.num_cases})", *filter(None, remarks)]
        lines += [f"  {row.status}: {row.case}: {row.reason}" for row in self.named]
        more = self.counts.get(LEFT, 0) + self.counts.get(EXCLUDED, 0) - len(self.named)
        if more:
            lines.append(f"… and {more} more: see {TABLE_FILE}.")
        return Outcome("\n".join([*lines, f"page: {output / PAGE_FILE}"]), self.excluded)


def _looked_at(row: RefinedRow) -> tuple[float, str]:
    return row.changes.get("dice", 2.0), row.case
