"""Counting what a run has written down."""

from scripts.benchmarks.cohorts import cases_in, tables_of


def test_entries_count_and_names_inside_them_do_not(tmp_path):
    assert cases_in(tmp_path) == []
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "part_0_of_1.jsonl").write_text(
        '{"command": "evaluate", "cases": ["a", "b"]}\n\n{"case": "a", "scores": [{"case": "a"}]}\n\n{"case": "b", "sc'
    )

    assert cases_in(tmp_path) == ["a"]  # a kill cut the other one short


def test_tables_that_are_not_there_differ(tmp_path):
    (tmp_path / "cases.csv").write_text("case\n")

    assert tables_of(tmp_path) == {"cases.csv": b"case\n"}
