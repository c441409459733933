"""What a journal's entries say of predictions."""

from acnn_nnunet.plausibility.cases import rows_of
from acnn_nnunet.plausibility.table import EXCLUDED, SCORED, PlausibilityRow


def test_rows_of_scored_and_failed_cases():
    row = PlausibilityRow("a", SCORED)

    rows = rows_of(
        [{"case": "a", "error": None, "row": row.as_plain(), "slice": None}, {"case": "b", "error": "b is spoilt"}]
    )

    assert rows == [row, PlausibilityRow("b", EXCLUDED, reason="b is spoilt")]
