"""`scripts/benchmarks/kills.py`: moments lie everywhere, and every kind of damage is seen."""

import time

import pytest

from scripts.benchmarks import killed_commands, kills
from scripts.benchmarks.killed_commands import commands, describe_files, epochs_in, epochs_left, half_written


def test_a_moment_lies_in_each_part_of_the_time():
    shares = kills.shares(20, seed="a")

    assert sorted(int(20 * share) for share in shares) == list(range(20))
    assert shares == kills.shares(20, seed="a") != kills.shares(20, seed="b")
    assert shares != sorted(shares)  # a run that is stopped early has moments from everywhere


def test_differences_are_what_is_lost_too_much_or_another():
    assert kills.differences({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 5, "d": 4}) == [
        "c is lost",
        "d is too much",
        "b differs",
    ]
    assert kills.differences({"a": [1]}, {"a": [1]}) == []


def test_tables_count_by_their_lines_and_journals_by_their_cases(tmp_path):
    (tmp_path / "cases.csv").write_text("case,dice\nb,1\na,0.5\n")
    (tmp_path / "part.jsonl").write_text('{"labels": [1]}\n\n{"case": "b"}\n{"cas\n{"case": "a"}\n{"case": "b"}\n')
    (tmp_path / "page.html.partial").write_text("<ht")
    (tmp_path / ".writable_77").touch()
    (tmp_path / ".a.nii.gz.partial").mkdir()
    (tmp_path / ".a.nii.gz.partial" / "a.nii.gz").touch()

    assert describe_files(tmp_path) == {
        "cases.csv": [b"a,0.5\n", b"b,1\n", b"case,dice\n"],
        "part.jsonl": ["a", "b", "b"],  # b was done twice
    }
    assert describe_files(tmp_path / "none") == {}


def test_a_result_at_the_kill_is_whole_or_not_there():
    expected = {"a.nii.gz": b"whole", "b.nii.gz": b"other", "part.jsonl": ["a", "b"]}

    assert half_written(expected, {"a.nii.gz": b"whole", "part.jsonl": ["a"]}) == []
    assert half_written(expected, {"a.nii.gz": b"who"}) == ["a.nii.gz was half-written at the kill"]


@pytest.mark.parametrize(
    ("checkpoints", "left"),
    [({}, [0, 1, 2, 3]), ({"best": 1}, [1, 2, 3]), ({"latest": 3, "best": 1}, [3]), ({"final": 4, "latest": 3}, [])],
)
def test_epochs_go_on_where_the_checkpoint_stands(checkpoints, left):
    at_kill = {f"ACNNTrainer quick: checkpoint_{name} epoch": epoch for name, epoch in checkpoints.items()}

    assert list(epochs_left("ACNNTrainer", "quick", 4, at_kill)) == left


def test_epochs_that_a_training_says_it_begins():
    words = "2026-11-26 22:23:51.9: Epoch 0\n2026-11-26 22:23:52.1: Epoch time: 0.22 s\n22:23:53.9: Epoch 11 \n"

    assert epochs_in(words) == [0, 11]


def test_a_second_start_that_repeats_epochs_is_seen():
    command = commands()["acnn"]
    at_kill = {f"ACNNTrainer {killed_commands.QUICK}: checkpoint_latest epoch": 2}

    assert command.complaints({}, at_kill, "1: Epoch 2\n1: Epoch 3\n") == []
    assert command.complaints({}, at_kill, "1: Epoch 0\n") == ["the second start ran epochs [0], not [2, 3]"]


def test_a_group_is_killed_with_its_children_and_the_second_run_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "_run_line", lambda line: time.sleep(float(line)) or 0)

    def run(*lines: str) -> kills.Run:
        return kills.Run(lines, tmp_path, "out")

    start = time.monotonic()
    assert run("60").kill(kills.Moment(0.5, 0.4))
    assert not run("0").kill(kills.Moment(0.5, 10))
    assert run("0", "0.01").wait() == (0, "")
    assert time.monotonic() - start < 10


def test_a_moment_may_count_from_the_first_file(tmp_path, monkeypatch):
    def write_late(line: str) -> int:
        time.sleep(0.2)
        (tmp_path / "out" / "new").touch()
        time.sleep(60)
        return 0

    monkeypatch.setattr(kills, "_run_line", write_late)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()

    run = kills.Run(("line",), tmp_path, "out")

    assert run.kill(kills.Moment(0.1, 1.0, from_first_file=True))
    assert 0.2 <= run.first_file_s < 10
    assert (tmp_path / "out" / "new").exists()


def test_an_earlier_run_goes_on_with_the_moments_that_are_left(tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "undisturbed", lambda *_: ({}, 1.0, 3.0))
    monkeypatch.setattr(
        kills,
        "kill_once",
        lambda command, work, expected, moment: {"share": moment.share, "living": True, "differences": ["a is lost"]},
    )
    earlier = [{"share": 0.5, "living": True, "differences": []}] * 3
    all_shares = kills.shares(5, seed=f"{kills.SEED} acnn")

    found = list(kills.measure("acnn", commands()["acnn"], tmp_path, earlier, num_moments=5, minutes=1))

    assert [each["moments"] for each in found] == [4, 5]
    assert [kill["share"] for kill in found[-1]["kills"]] == [0.5, 0.5, 0.5, *all_shares[3:]]
    assert (found[-1]["undisturbed_s"], found[-1]["living"], found[-1]["equal"]) == (4, 5, 3)
