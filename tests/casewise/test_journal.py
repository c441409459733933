"""The journal survives what stops an evaluation."""

import numpy as np
import pytest

from acnn_nnunet.casewise.journal import Journal

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
