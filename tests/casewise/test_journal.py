"""The journal survives what stops an evaluation."""

import numpy as np
import pytest

from acnn_nnunet.casewise.journal import Journal, cases_of_part, common_header, find_parts, without_links

HEADER = {"labels": [1, [1, 2]], "cases": ["a", "b"]}


@pytest.fixture
def journal(tmp_path):
    journal = Journal.of_part(tmp_path, num_parts=3, part_id=1)
    journal.start(HEADER)
    return journal


def test_what_is_written_is_read(journal):
    journal.append({"case": "a", "dice": np.float64(0.1)})
    journal.append({"case": "b\n\u2028", "dice": None})

    assert journal.path.name == "part_1_of_3.jsonl"
    assert journal.read() == (HEADER, [{"case": "a", "dice": 0.1}, {"case": "b\n\u2028", "dice": None}])


@pytest.mark.parametrize("lost", [1, 2, 5, 20, 30])
def test_a_line_that_a_kill_cut_short_is_lost_alone(journal, lost):
    journal.append({"case": "a"})
    journal.append({"case": "b", "dice": 0.25, "text": "abc"})
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:-lost])

    journal.append({"case": "c"})

    entries = journal.read()[1]
    assert [entry["case"] for entry in entries] == (["a", "b", "c"] if lost == 1 else ["a", "c"])


def test_zeros_that_a_power_cut_left(journal):
    journal.append({"case": "a"})
    with open(journal.path, "ab") as file:
        file.write(b'\0\0\0\0{"case": "b\xff')
    journal.append({"case": "c"})

    assert [entry["case"] for entry in journal.read()[1]] == ["a", "c"]


def test_a_new_header_keeps_the_entries(journal):
    journal.append({"case": "a"})
    journal.renew({"cases": ["a", "b", "c"]})
    journal.append({"case": "c"})

    assert journal.read() == ({"cases": ["a", "b", "c"]}, [{"case": "a"}, {"case": "c"}])


def test_starting_again_forgets(journal):
    journal.append({"case": "a"})
    journal.start({"cases": []})

    assert journal.read() == ({"cases": []}, [])


@pytest.mark.parametrize("content", ["", "{", '\n{"case": "a"}\n'])
def test_without_header(journal, content):
    journal.path.write_text(content)

    with pytest.raises(ValueError, match=r"part_1_of_3\.jsonl has no readable header: delete it"):
        journal.read()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(OSError, match=r"Could not write .*then go on with --continue"):
        Journal.of_part(tmp_path / "file", num_parts=1, part_id=0).start(HEADER)


def test_a_new_run_wants_a_folder_of_its_own(tmp_path):
    first, second = (Journal.of_part(tmp_path / "out", num_parts=2, part_id=part_id) for part_id in (0, 1))
    first.begin(HEADER)
    second.begin(HEADER)  # other parts may be there

    with pytest.raises(ValueError, match=r"out exists and is not empty: use --continue"):
        first.begin(HEADER)
    (tmp_path / "out" / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"out exists and is not empty"):
        Journal.of_part(tmp_path / "out", num_parts=3, part_id=2).begin(HEADER)


def test_going_on_keeps_the_entries(journal):
    journal.append({"case": "a", "dice": 0.5})
    journal.append({"case": "a", "dice": 0.75})

    journal.go_on({**HEADER, "cases": ["a", "b", "c"]}, may_change=["cases"])

    assert journal.read()[0]["cases"] == ["a", "b", "c"]
    assert journal.latest() == {"a": {"case": "a", "dice": 0.75}}


def test_going_on_with_something_else(journal, tmp_path):
    with pytest.raises(ValueError, match=r"with another labels \(\[1, \[1, 2\]\] instead of \[2\]\): name another"):
        journal.go_on({**HEADER, "labels": [2]}, may_change=["cases"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"other holds no evaluation to go on with"):
        Journal.of_part(tmp_path / "other", num_parts=1, part_id=0).go_on(HEADER, may_change=())


def test_going_on_where_nothing_was_begun(tmp_path):
    journal = Journal.of_part(tmp_path / "out", num_parts=1, part_id=0)

    journal.go_on(HEADER, may_change=())

    assert journal.read() == (HEADER, [])


@pytest.mark.parametrize("content", ["", "\n", '{"labels": [1, [1'])
def test_going_on_where_a_kill_came_before_the_first_line(journal, content):
    journal.path.write_text(content)

    journal.go_on(HEADER, may_change=())

    assert journal.read() == (HEADER, [])


def test_a_folder_is_the_same_by_any_of_its_names(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    journal = Journal.of_part(tmp_path / "out", num_parts=1, part_id=0)
    journal.begin({"folder": str(tmp_path / "real"), "groups": None})

    journal.go_on({"folder": str(tmp_path / "link"), "groups": None}, may_change=(), paths=["folder", "groups"])

    with pytest.raises(ValueError, match="with another folder"):
        journal.go_on({"folder": str(tmp_path / "else"), "groups": None}, may_change=(), paths=["folder", "groups"])


def test_entries_in_the_order_of_the_cases(journal):
    for case in "abc":
        journal.append({"case": case})

    assert journal.entries_of(["c", "a"]) == [{"case": "c"}, {"case": "a"}]
    with pytest.raises(ValueError, match=r"part_1_of_3\.jsonl lacks 2 cases \(d, …\): finish it with --continue"):
        journal.entries_of(["a", "d", "e"])


@pytest.mark.parametrize(
    ("num_parts", "parts"), [(1, ["abcde"]), (2, ["ace", "bd"]), (6, ["a", "b", "c", "d", "e", ""])]
)
def test_every_case_is_in_one_part(num_parts, parts):
    found = [cases_of_part("abcde", num_parts=num_parts, part_id=part_id) for part_id in range(num_parts)]

    assert found == [list(part) for part in parts]


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
    with pytest.raises(ValueError, match=r"holds parts of \[2, 12\]: delete those of the other evaluation"):
        find_parts(tmp_path)


def test_parts_of_different_runs(tmp_path):
    journals = [Journal.of_part(tmp_path, num_parts=2, part_id=part_id) for part_id in (0, 1)]
    for journal in journals:
        journal.start(HEADER)
    assert common_header(journals) == HEADER

    journals[1].start({**HEADER, "labels": [2]})
    with pytest.raises(ValueError, match="are of different evaluations: delete them and run all again"):
        common_header(journals)


def test_paths_without_links(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    header = {"folder": str(tmp_path / "link" / "a"), "groups": None, "other": str(tmp_path / "link")}

    assert without_links(header, ["folder", "groups", "absent"]) == {
        "folder": str((tmp_path / "real" / "a").resolve()),
        "groups": None,
        "other": str(tmp_path / "link"),
    }
    assert without_links(header, []) == header
