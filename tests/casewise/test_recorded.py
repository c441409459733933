"""Runs that are written down: gone on with, nothing twice, nothing lost, one driver at a time."""

import dataclasses
from pathlib import Path

import pytest

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.recorded import CaseWork, header_of, opened_journal, record_cases, stamp_of


@dataclasses.dataclass(frozen=True)
class Options:
    factor: int = 2
    masks: Path | None = None
    execution: Execution = HERE


@pytest.fixture
def files(tmp_path):
    found = {}
    for name in "abc":
        found[name] = tmp_path / f"{name}.txt"
        found[name].write_text(name)
    return found


def work_that_counts(done):
    def read(path):
        done.append(path.stem)
        text = path.read_text()
        if text == "bad":
            raise ValueError(f"{path} is spoilt")
        return {"text": text}

    return CaseWork(read, lambda path: [path])


def record(tmp_path, files, *, go_on=False, header=None, done=None):
    execution = Execution(go_on=go_on)
    with opened_journal(tmp_path / "out", header or {"cases": [*files]}, execution) as journal:
        num_done = record_cases(work_that_counts([] if done is None else done), files, journal, execution=execution)
        return num_done, {entry["case"]: entry.get("text", entry["error"]) for entry in journal.entries()}


def test_each_case_is_written_down(tmp_path, files):
    files["b"].write_text("bad")

    assert record(tmp_path, files) == (0, {"a": "a", "b": f"{files['b']} is spoilt", "c": "c"})


def test_going_on_does_what_failed_changed_or_is_new(tmp_path, files):
    files["b"].write_text("bad")
    record(tmp_path, files)
    files["b"].write_text("good")
    files["c"].write_text("another")
    files["d"] = tmp_path / "d.txt"
    files["d"].write_text("d")
    done = []

    found = record(tmp_path, files, go_on=True, header={"cases": [*"abc"]}, done=done)

    assert found == (1, {"a": "a", "b": "good", "c": "another", "d": "d"})
    assert done == ["b", "c", "d"]


def test_a_target_that_is_gone_is_made_again(tmp_path, files):
    def write(path):
        path.with_suffix(".out").touch()

    work = CaseWork(write, lambda path: [path], lambda path: [path.with_suffix(".out")])
    execution = Execution(go_on=True)
    for num_done in (0, 3):
        with opened_journal(tmp_path / "out", {"cases": [*"abc"]}, execution) as journal:
            assert record_cases(work, files, journal, execution=execution) == num_done
    files["b"].with_suffix(".out").unlink()
    with opened_journal(tmp_path / "out", {"cases": [*"abc"]}, execution) as journal:
        assert record_cases(work, files, journal, execution=execution) == 2


def test_without_going_on_all_is_done_anew(tmp_path, files):
    record(tmp_path, files)
    done = []

    record(tmp_path, files, done=done)

    assert done == [*"abc"]


def test_two_drivers_on_one_folder(tmp_path):
    header, execution = {"cases": []}, Execution()
    with opened_journal(tmp_path, header, execution):
        refusal = pytest.raises(ValueError, match="Another run is writing to")
        with refusal, opened_journal(tmp_path, header, execution):
            pass


def test_a_part_is_not_begun_twice(tmp_path):
    part = Execution(num_parts=2, part_id=1)
    with opened_journal(tmp_path, {"cases": []}, part):
        pass
    refusal = pytest.raises(ValueError, match="exists and is not empty: use --continue")
    with refusal, opened_journal(tmp_path, {"cases": []}, part):
        pass


def test_an_option_that_changed_is_named(tmp_path):
    cases = ["a"]
    before, now = (header_of("degrade", tmp_path, Options(factor), cases) for factor in (2, 3))
    with opened_journal(tmp_path / "out", before, Execution()):
        pass
    refusal = pytest.raises(ValueError, match=r"holds a run with another factor \(2 instead of 3\): name another")
    with refusal, opened_journal(tmp_path / "out", now, Execution(go_on=True)):
        pass


def test_a_header_is_what_json_gives_back(tmp_path):
    options = Options(3, tmp_path / "masks", Execution(num_processes=4))

    header = header_of("degrade", tmp_path, options, {"b": 1, "a": 2}, more=(1, 2))

    assert header == {
        "command": "degrade",
        "source": str(tmp_path),
        "options": {"factor": 3, "masks": str(tmp_path / "masks")},
        "more": [1, 2],
        "cases": ["a", "b"],
    }


def test_stamps(tmp_path, files):
    assert stamp_of([files["a"], tmp_path / "nowhere", tmp_path]) == [[1, files["a"].stat().st_mtime_ns], None, None]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Could not write .*: free some space or fix its permissions"):
        record(tmp_path / "file", {})


def test_a_failure_is_told_at_once(tmp_path, files):
    files["b"].write_text("bad")
    told = []
    with opened_journal(tmp_path / "out", {"cases": []}, Execution()) as journal:
        work = work_that_counts([])
        record_cases(work, files, journal, execution=Execution(), on_failure=lambda *words: told.append(words))
    assert told == [("b", f"{files['b']} is spoilt")]


def test_the_spacing_file_of_a_tiff_belongs_to_its_stamp(tmp_path):
    image, beside = tmp_path / "a_0000.tif", tmp_path / "a.json"  # nnU-Net leaves the channel out
    image.touch()
    without = stamp_of([image])
    beside.write_text('{"spacing": [1, 1, 1]}')
    before = stamp_of([image])
    beside.write_text('{"spacing": [10, 1, 1]}')
    assert without[1] is None
    assert before[1] == [22, before[1][1]]
    assert stamp_of([image])[1][0] == 23
