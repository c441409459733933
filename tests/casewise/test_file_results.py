"""A file per case: parts, going on, and the table of what was done."""

import pytest

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.file_results import merge_files, write_files
from acnn_nnunet.casewise.recorded import header_of
from acnn_nnunet.casewise.work import Excluded


@pytest.fixture
def folders(tmp_path):
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    output.mkdir()
    for name in "abcd":
        (source / f"{name}.txt").write_text("bad" if name == "c" else name)
    return source, output


def copy(files):
    """Copy a file unless it is bad."""
    source, target = files
    if source.read_text() == "bad":
        raise ValueError(f"{source.name} is spoilt")
    target.write_text(source.read_text())


def run(folders, *, excluded=(), **where):
    source, output = folders
    cases = {path.stem: (path, output / path.name) for path in sorted(source.iterdir())}
    header = header_of("copy", source, None, [*cases, *(each.case for each in excluded)])
    return write_files(copy, cases, output, header=header, execution=Execution(**where), excluded=excluded)


def status_of(output):
    return (output / "status.csv").read_text().splitlines()[1:]


def test_every_case_has_its_row(folders):
    outcome = run(folders, excluded=[Excluded("e", "e.txt has no channel")])

    assert outcome.text.splitlines() == [f"{folders[1]}: 3 of 5 done", "c.txt is spoilt", "e.txt has no channel"]
    assert [each.case for each in outcome.excluded] == ["c", "e"]
    assert status_of(folders[1]) == [
        "a,done,",
        "b,done,",
        "c,failed,c.txt is spoilt",
        "d,done,",
        "e,failed,e.txt has no channel",
    ]


def test_parts_and_their_merge(folders):
    for part_id in (0, 1):
        outcome = run(folders, num_parts=2, part_id=part_id)
        assert f"Part {part_id} of 2 is done. After the last one: acnn-nnunet merge" in outcome.text
        assert not (folders[1] / "status.csv").exists()

    outcome = merge_files(folders[1])

    assert outcome.text.splitlines() == [f"{folders[1]}: 3 of 4 done", "c.txt is spoilt"]
    assert outcome.exit_code == 1
    assert len(status_of(folders[1])) == 4


def test_a_part_that_is_missing(folders):
    run(folders, num_parts=2, part_id=1)
    with pytest.raises(ValueError, match=r"Part 0 of 2 is missing in .*: run -part_id 0"):
        merge_files(folders[1])


def test_what_is_there_is_kept(folders):
    run(folders)
    (folders[0] / "c.txt").write_text("good")

    outcome = run(folders, go_on=True)

    assert outcome.text == f"{folders[1]}: 4 of 4 done; 3 were there already"
    assert (folders[1] / "c.txt").read_text() == "good"


def test_a_file_of_an_earlier_run_does_not_pass_for_one_that_failed(folders):
    (folders[0] / "c.txt").write_text("good")
    run(folders)
    (folders[0] / "c.txt").write_text("bad")

    assert run(folders).exit_code == 1
    assert not (folders[1] / "c.txt").exists()


def test_files_of_an_earlier_version_are_kept(folders):
    (folders[1] / "a.txt").write_text("from before")

    run(folders, go_on=True)

    assert (folders[1] / "a.txt").read_text() == "from before"
    assert (folders[1] / "b.txt").read_text() == "b"


def test_files_that_no_journal_knows_are_made_again(folders):
    run(folders)
    journal = folders[1] / "parts" / "part_0_of_1.jsonl"
    kept = [line for line in journal.read_text().splitlines() if '"case": "a"' not in line]
    journal.write_text("\n".join(kept) + "\n")  # killed between the file and its line
    (folders[1] / "a.txt").write_text("half")

    run(folders, go_on=True)

    assert (folders[1] / "a.txt").read_text() == "a"
