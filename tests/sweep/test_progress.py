"""The table of a sweep."""

import sys

import pytest
from stub_training import DATASET, make_workplace

from acnn_nnunet.sweep.plan import TrainingRun
from acnn_nnunet.sweep.progress import LiveTable
from acnn_nnunet.sweep.training import fold_folder, train

RUNS = [TrainingRun(arm, DATASET, f"3d_{arm}", 0, "ACNNTrainer", "nnUNetPlans", "cpu") for arm in "abc"]


@pytest.fixture
def table(tmp_path, monkeypatch):
    make_workplace(tmp_path, monkeypatch)
    (tmp_path / "logs").mkdir()
    return LiveTable(RUNS, tmp_path)


def test_how_far_each_run_is(table, tmp_path, capsys):
    table.show()
    assert capsys.readouterr().err.count("waiting") == 3

    train(tmp_path / "logs", RUNS[0])
    table.fail("b_fold0", "it failed twice")
    table.show()

    assert table.rows() == [
        ("a", 0, "done", 7, ""),
        ("b", 0, "failed", None, "it failed twice"),
        ("c", 0, "waiting", None, ""),
    ]
    shown = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in shown] == ["a", "b"]  # what has changed
    assert (tmp_path / "sweep.csv").read_text().splitlines()[:2] == ["arm,fold,state,epoch,error", "a,0,done,7,"]


def test_a_run_that_was_stopped_waits_until_it_goes_on(table, tmp_path):
    train(tmp_path / "logs", RUNS[0])
    folder = fold_folder(RUNS[0])
    (folder / "checkpoint_final.pth").unlink()
    stopped = LiveTable(RUNS[:1], tmp_path)

    assert stopped.rows() == [("a", 0, "waiting", 7, "")]
    (log,) = folder.glob("training_log_*.txt")
    log.write_text(log.read_text().replace("Epoch 7", "Epoch 8"))
    assert stopped.rows() == [("a", 0, "training", 8, "")]


def test_in_place_on_a_terminal(table, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    table.show()
    table.show()
    assert "\x1b[3F" in capsys.readouterr().err  # three lines up


def test_the_last_state_is_written(table, tmp_path):
    with table:
        train(tmp_path / "logs", RUNS[2])
    assert "c,0,done,7," in (tmp_path / "sweep.csv").read_text()
