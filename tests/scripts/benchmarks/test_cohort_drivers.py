"""Cases that are done already, under many names."""

import json

import pytest

from acnn_nnunet.casewise.journal import Journal
from scripts.benchmarks.cohort_drivers import _renamed, _repeat, page_in


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("phantom_tr000_0000.nii.gz", "case_000007_0000.nii.gz"),
        ("phantom_tr000.nii.gz", "case_000007.nii.gz"),
        ("phantom_tr000_0000", "case_000007_0000"),
        ("phantom_tr000", "case_000007"),
    ],
)
def test_a_case_gets_another_name(name, expected):
    assert _renamed(name, 7) == expected


def test_a_run_is_repeated(tmp_path):
    few, many = tmp_path / "few", tmp_path / "many"
    journal = Journal.of_part(few, num_parts=1, part_id=0)
    journal.start({"source": "/in/few", "cases": ["a", "b"]})
    for case in "ab":
        journal.append({"case": case, "error": None, "row": {"case": case, "voxels": 3}})
        (few / f"{case}.nii.gz").write_text(case)

    _repeat(few, many, {"/in/few": "/in/many"}, 5)

    repeated = Journal.of_part(many, num_parts=1, part_id=0)
    cases = [f"case_{number:06d}" for number in range(5)]
    assert repeated.header() == {"source": "/in/many", "cases": cases}
    assert [entry["row"] for entry in repeated.entries()] == [{"case": case, "voxels": 3} for case in cases]
    assert [(many / f"{case}.nii.gz").read_text() for case in cases] == [*"ababa"]
    assert json.loads((few / "parts" / "part_0_of_1.jsonl").read_text().splitlines()[0])["cases"] == ["a", "b"]


def test_which_page_a_run_has(tmp_path):
    assert page_in(tmp_path) is None
    (tmp_path / "refined.html").touch()
    assert page_in(tmp_path) == "refined.html"
