"""What `refine` says of a folder, which does not grow with the number of its cases."""

import weakref

import pytest

from acnn_nnunet.casewise.status import MOST_NAMED
from acnn_nnunet.refinement.overview import MOST_LISTED, Overview
from acnn_nnunet.refinement.table import RefinedRow, write_table


def row(case, status="refined", *, dice=1.0, voxels=0, reason=""):
    changes = {} if status == "excluded" else {"dice": dice, "voxels": voxels}
    return RefinedRow(case, status, reason, changes=changes)


class Counted:
    """Rows made anew at each iteration, and how many of them were alive at once."""

    def __init__(self, number):
        self.number, self.alive, self.most = number, 0, 0

    def __iter__(self):
        for number in range(self.number):
            made = row(f"case_{number:05d}", dice=number % 7 / 7, voxels=3, status="left", reason="not this anatomy")
            weakref.finalize(made, self.died)
            self.alive += 1
            self.most = max(self.most, self.alive)
            yield made
            del made

    def died(self):
        self.alive -= 1


def test_no_case_at_all_has_an_overview():
    overview = Overview.of([])

    assert (overview.counts, overview.num_cases, overview.most_changed) == ({}, 0, [])


def test_cases_are_counted_named_and_ordered_by_what_changed():
    rows = [row("a"), row("b", dice=0.5, voxels=9), row("c", "excluded", reason="no volume"), row("d", "left")]

    overview = Overview.of([*rows, row("e", "kept"), row("f", "repaired", dice=0.5, voxels=1)])

    assert overview.counts == {"refined": 2, "repaired": 1, "kept": 1, "left": 1, "excluded": 1}
    assert list(overview.counts) == ["refined", "repaired", "kept", "left", "excluded"]
    assert overview.num_changed == 2
    assert [each.case for each in overview.most_changed] == ["b", "f", "a", "d", "e", "c"]
    assert [each.case for each in overview.named] == ["c", "d"]
    assert [each.case for each in overview.excluded] == ["c"]


def test_the_summary_names_the_first_cases_and_where_the_others_are(tmp_path):
    rows = [row(f"case_{number:03d}", "left", reason="breaks a rule") for number in range(MOST_NAMED + 7)]

    outcome = Overview.of([*rows, row("last", "excluded", reason="no volume")]).outcome(tmp_path, "A remark.", "")

    lines = outcome.text.splitlines()
    assert lines[:2] == [f"{tmp_path}: {MOST_NAMED + 7} left, 1 excluded (of {MOST_NAMED + 8})", "A remark."]
    assert lines[2] == "  left: case_000: breaks a rule"
    assert lines[-2:] == ["… and 8 more: see refined.csv.", f"page: {tmp_path / 'refined.html'}"]
    assert len(lines) == MOST_NAMED + 4
    assert (outcome.exit_code, outcome.excluded[0].case) == (1, "last")


@pytest.mark.parametrize("number", [10, 2 * MOST_LISTED])
def test_only_the_listed_rows_are_in_memory_at_once(tmp_path, number):
    rows = Counted(number)

    overview = Overview.of(rows)

    assert rows.most <= MOST_LISTED + MOST_NAMED + 10
    assert len(overview.most_changed) == min(number, MOST_LISTED)
    assert overview.num_cases == overview.num_changed == number
    written = Counted(number)
    write_table(tmp_path / "refined.csv", written, label_names=["LV"])
    assert written.most <= 2
    assert len((tmp_path / "refined.csv").read_text().splitlines()) == number + 1
