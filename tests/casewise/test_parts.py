"""Parts of a run: all there, of one run, joined into one."""

import pytest

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.journal import Journal
from acnn_nnunet.casewise.parts import common_header, find_parts, joined_parts, part_done, run_folder

HEADER = {"labels": [1, [1, 2]], "cases": ["a", "b"]}


def test_finding_parts(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no parts"):
        find_parts(tmp_path)
    journals = [Journal.of_part(tmp_path, num_parts=12, part_id=part_id) for part_id in range(12)]
    for journal in journals[1:]:
        journal.start(HEADER)
    with pytest.raises(ValueError, match=r"Part 0 of 12 is missing in .*: run -part_id 0"):
        find_parts(tmp_path)
    journals[0].start(HEADER)

    assert find_parts(tmp_path) == journals

    Journal.of_part(tmp_path, num_parts=2, part_id=0).start(HEADER)
    with pytest.raises(ValueError, match=r"holds parts of \[2, 12\]: delete those of the other run"):
        find_parts(tmp_path)


def test_parts_of_different_runs(tmp_path):
    journals = [Journal.of_part(tmp_path, num_parts=2, part_id=part_id) for part_id in (0, 1)]
    for journal in journals:
        journal.start(HEADER)
    assert common_header(journals) == HEADER

    journals[1].start({**HEADER, "labels": [2]})
    with pytest.raises(ValueError, match="are of different runs: delete them and run all again"):
        common_header(journals)


def test_the_cases_of_all_parts(tmp_path):
    journals = [Journal.of_part(tmp_path, num_parts=2, part_id=part_id) for part_id in (0, 1)]
    for journal, case in zip(journals, "ab", strict=True):
        journal.start(HEADER)
        journal.append({"case": case})

    header, entries = joined_parts(tmp_path)

    assert header == HEADER
    assert [entry["case"] for entry in entries] == ["a", "b"]


def test_a_part_that_was_not_finished(tmp_path):
    for part_id in (0, 1):
        Journal.of_part(tmp_path, num_parts=2, part_id=part_id).start(HEADER)

    with pytest.raises(ValueError, match=r"part_0_of_2\.jsonl lacks 1 cases \(a, …\): finish it with --continue"):
        joined_parts(tmp_path)


def test_where_the_journals_lie(tmp_path):
    assert run_folder(tmp_path / "eval") == tmp_path / "eval"
    assert run_folder(tmp_path / "codes.csv") == tmp_path / "codes.csv.run"
    (tmp_path / "v1.2").mkdir()
    assert run_folder(tmp_path / "v1.2") == tmp_path / "v1.2"  # a folder whatever its name


def test_what_is_said_after_a_part(tmp_path):
    said = f"Part 1 of 3 is done. After the last one: acnn-nnunet merge {tmp_path}"
    execution = Execution(num_parts=3, part_id=1)
    assert part_done(tmp_path, execution).text == said

    outcome = part_done(tmp_path, execution, [{"case": "a", "error": None}, {"case": "b", "error": "b is cut short"}])
    assert outcome.text == f"b failed: b is cut short\n{said}"
    assert outcome.exit_code == 1
