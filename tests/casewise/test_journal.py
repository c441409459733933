"""The journal survives what stops an evaluation."""

import numpy as np
import pytest

from acnn_nnunet.casewise.journal import Entries, Journal, cases_of_part, without_links

HEADER = {"labels": [1, [1, 2]], "cases": ["a", "b"]}


def test_a_run_of_another_command_is_not_forgotten(tmp_path):
    first = Journal.of_part(tmp_path, num_parts=2, part_id=0)
    first.start({"command": "degrade", "cases": []})
    first.start({"command": "degrade", "cases": ["a"]})

    with pytest.raises(ValueError, match=r"holds a run of degrade: name another folder with -o\."):
        Journal.of_part(tmp_path, num_parts=1, part_id=0).start({"command": "evaluate-sr", "cases": []})
    assert first.header()["cases"] == ["a"]


@pytest.fixture
def journal(tmp_path):
    journal = Journal.of_part(tmp_path, num_parts=3, part_id=1)
    journal.start(HEADER)
    return journal


def test_what_is_written_is_read(journal):
    journal.append({"case": "a", "dice": np.float64(0.1)})
    journal.append({"case": "b\n\u2028", "dice": None})

    assert journal.path.name == "part_1_of_3.jsonl"
    assert read(journal) == (HEADER, [{"case": "a", "dice": 0.1}, {"case": "b\n\u2028", "dice": None}])


def read(journal):
    """Return the header and the last entry of each case."""
    return journal.header(), list(journal.entries())


@pytest.mark.parametrize("lost", [1, 2, 5, 20, 30])
def test_a_line_that_a_kill_cut_short_is_lost_alone(journal, lost):
    journal.append({"case": "a"})
    journal.append({"case": "b", "dice": 0.25, "text": "abc"})
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:-lost])

    journal.append({"case": "c"})

    entries = list(journal.entries())
    assert [entry["case"] for entry in entries] == (["a", "b", "c"] if lost == 1 else ["a", "c"])


def test_zeros_that_a_power_cut_left(journal):
    journal.append({"case": "a"})
    with open(journal.path, "ab") as file:
        file.write(b'\0\0\0\0{"case": "b\xff')
    journal.append({"case": "c"})

    assert [entry["case"] for entry in list(journal.entries())] == ["a", "c"]


def test_a_new_header_keeps_the_entries(journal):
    journal.append({"case": "a"})
    journal.renew({"cases": ["a", "b", "c"]})
    journal.append({"case": "c"})

    assert read(journal) == ({"cases": ["a", "b", "c"]}, [{"case": "a"}, {"case": "c"}])


def test_starting_again_forgets(journal):
    journal.append({"case": "a"})
    journal.start({"cases": []})

    assert read(journal) == ({"cases": []}, [])


def test_a_run_whose_files_would_stay_is_not_mixed_with_another(journal):
    journal.append({"case": "a", "error": "cannot be read"})
    journal.start({**HEADER, "labels": [2]}, alone=True)  # it had done nothing
    journal.append({"case": "a", "error": None})

    journal.start({**HEADER, "labels": [2]}, alone=True)  # the same run again
    journal.start(HEADER, alone=True)
    journal.append({"case": "a", "error": None})
    with pytest.raises(ValueError, match=r"holds a run with another labels .*: name another folder with -o"):
        journal.start({**HEADER, "labels": [2]}, alone=True)
    with pytest.raises(ValueError, match=r"holds a run of other cases: name another folder with -o"):
        journal.start({**HEADER, "cases": ["a"]}, alone=True)
    other_parts = Journal.of_part(journal.output, num_parts=1, part_id=0)
    with pytest.raises(ValueError, match=r"holds a run with another labels"):
        other_parts.start({**HEADER, "labels": [2]}, alone=True)


@pytest.mark.parametrize("content", ["", "{", '\n{"case": "a"}\n'])
def test_without_header(journal, content):
    journal.path.write_text(content)

    with pytest.raises(ValueError, match=r"part_1_of_3\.jsonl has no readable header: delete it"):
        journal.header()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(OSError, match=r"Could not write .*then go on with --continue"):
        Journal.of_part(tmp_path / "file", num_parts=1, part_id=0).start(HEADER)


def test_a_new_run_wants_a_folder_of_its_own(tmp_path):
    first, second = (Journal.of_part(tmp_path / "out", num_parts=2, part_id=part_id) for part_id in (0, 1))
    first.refuse_begun(alone=True)
    first.start(HEADER)
    second.refuse_begun(alone=True)  # other parts may be there
    second.start(HEADER)

    with pytest.raises(ValueError, match=r"out exists and is not empty: use --continue"):
        first.refuse_begun(alone=True)
    (tmp_path / "out" / "notes.txt").touch()
    third = Journal.of_part(tmp_path / "out", num_parts=3, part_id=2)
    with pytest.raises(ValueError, match=r"out exists and is not empty"):
        third.refuse_begun(alone=True)
    third.refuse_begun(alone=False)  # results may lie next to other files


def test_going_on_keeps_the_entries(journal):
    journal.append({"case": "a", "dice": 0.5})
    journal.append({"case": "a", "dice": 0.75})

    journal.go_on({**HEADER, "cases": ["a", "b", "c"]}, may_change=["cases"])

    assert journal.header()["cases"] == ["a", "b", "c"]
    assert list(journal.entries()) == [{"case": "a", "dice": 0.75}]


def test_going_on_with_something_else(journal, tmp_path):
    with pytest.raises(ValueError, match=r"with another labels \(\[1, \[1, 2\]\] instead of \[2\]\): name another"):
        journal.go_on({**HEADER, "labels": [2]}, may_change=["cases"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"other holds no run to go on with"):
        Journal.of_part(tmp_path / "other", num_parts=1, part_id=0).refuse_foreign()


def test_going_on_where_nothing_was_begun(tmp_path):
    journal = Journal.of_part(tmp_path / "out", num_parts=1, part_id=0)

    journal.go_on(HEADER, may_change=())

    assert read(journal) == (HEADER, [])


@pytest.mark.parametrize("content", ["", "\n", '{"labels": [1, [1'])
def test_going_on_where_a_kill_came_before_the_first_line(journal, content):
    journal.path.write_text(content)

    journal.go_on(HEADER, may_change=())

    assert read(journal) == (HEADER, [])


def test_a_folder_is_the_same_by_any_of_its_names(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    journal = Journal.of_part(tmp_path / "out", num_parts=1, part_id=0)
    journal.start({"folder": str(tmp_path / "real"), "groups": None})

    journal.go_on({"folder": str(tmp_path / "link"), "groups": None}, may_change=(), paths=["folder", "groups"])

    with pytest.raises(ValueError, match="with another folder"):
        journal.go_on({"folder": str(tmp_path / "else"), "groups": None}, may_change=(), paths=["folder", "groups"])


def test_entries_in_the_order_of_the_cases(journal):
    for case in "abc":
        journal.append({"case": case})

    entries = journal.entries_of(["c", "a"])
    assert len(entries) == 2
    for _ in range(2):  # as often as they are wanted
        assert list(entries) == [{"case": "a"}, {"case": "c"}]
    with pytest.raises(ValueError, match=r"part_1_of_3\.jsonl lacks 2 cases \(d, …\): finish it with --continue"):
        journal.entries_of(["a", "d", "e"])


@pytest.mark.parametrize(
    ("num_parts", "parts"), [(1, ["abcde"]), (2, ["ace", "bd"]), (6, ["a", "b", "c", "d", "e", ""])]
)
def test_every_case_is_in_one_part(num_parts, parts):
    found = [cases_of_part("abcde", num_parts=num_parts, part_id=part_id) for part_id in range(num_parts)]

    assert found == [list(part) for part in parts]


def test_entries_of_all_parts_in_one_order(tmp_path):
    parts = []
    for part_id, cases in enumerate(("ac", "b")):
        journal = Journal.of_part(tmp_path, num_parts=2, part_id=part_id)
        journal.start(HEADER)
        for case in cases:
            journal.append({"case": case, "part": part_id})
        parts.append(journal.entries_of(cases))

    joined = list(Entries.joined(parts))

    assert [(entry["case"], entry["part"]) for entry in joined] == [("a", 0), ("b", 1), ("c", 0)]


def test_one_run_at_a_time(tmp_path):
    first, second = (Journal.of_part(tmp_path, num_parts=1, part_id=0) for _ in range(2))
    refusal = pytest.raises(ValueError, match=r"Another run is writing to .*: wait for it")
    with first.locked(), refusal, second.locked():
        pass
    with second.locked():
        second.start(HEADER)


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


def test_entries_are_read_in_another_order(tmp_path):
    journal = Journal.of_part(tmp_path, num_parts=1, part_id=0)
    journal.start({})
    for number, case in enumerate("bac"):
        journal.append({"case": case, "error": None, "number": number})

    entries = journal.entries_of(["a", "b", "c"])

    assert [entry["number"] for entry in entries] == [1, 0, 2]  # a, b, c
    assert [entry["case"] for entry in entries.in_order([2, 0])] == ["c", "a"]
    assert len(entries.in_order([2, 0])) == 2
