"""What a journal's entries say of predictions."""

from acnn_nnunet.casewise.journal import Journal
from acnn_nnunet.plausibility.cases import JudgedRows, rows_of
from acnn_nnunet.plausibility.table import EXCLUDED, SCORED, PlausibilityRow


def test_judged_rows_are_read_again_and_again_in_the_order_of_looking_at_them(tmp_path):
    journal = Journal(tmp_path / "parts" / "part_0_of_1.jsonl")
    journal.start({})
    broken = {"a": 0.0, "b": 0.5, "c": 0.25}
    for case, value in broken.items():
        row = PlausibilityRow(case, SCORED, violations={"rule": value})
        journal.append({"case": case, "error": None, "row": row.as_plain(), "slice": None})
    journal.append({"case": "d", "error": "d is spoilt"})
    judged = []

    class Judge:
        def judged(self, rows):
            judged.append(len(rows))
            return rows

    rows = JudgedRows(journal.entries_of(["a", "b", "c", "d"]), Judge())

    assert len(rows) == 4
    assert [[row.case for row in rows] for _ in range(2)] == [["b", "c", "a", "d"]] * 2
    assert judged == [4, 4, 4]


def test_rows_of_scored_and_failed_cases():
    row = PlausibilityRow("a", SCORED)

    rows = rows_of(
        [{"case": "a", "error": None, "row": row.as_plain(), "slice": None}, {"case": "b", "error": "b is spoilt"}]
    )

    assert rows == [row, PlausibilityRow("b", EXCLUDED, reason="b is spoilt")]
