"""One training: stock nnUNetv2_train, gone on with once."""

from dataclasses import replace

import pytest
from stub_training import DATASET, fail, make_workplace

from acnn_nnunet.sweep.gpus import lock
from acnn_nnunet.sweep.plan import TrainingRun
from acnn_nnunet.sweep.training import epoch_of, fold_folder, is_done, train

RUN = TrainingRun("a", DATASET, "3d_a", 0, "ACNNTrainer", "nnUNetPlans", "cpu")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    (tmp_path / "logs").mkdir()
    return make_workplace(tmp_path, monkeypatch)


def starts():
    return (fold_folder(RUN) / "starts.txt").read_text().split()


def test_a_training_that_ends_well(workplace, tmp_path):
    assert epoch_of(RUN) is None
    assert not is_done(RUN)

    assert train(tmp_path / "logs", RUN) == {"starts": 1, "dice": 1.0}

    assert starts() == ["False"]
    assert (epoch_of(RUN), is_done(RUN)) == (7, True)
    log = (tmp_path / "logs" / "a_fold0.txt").read_text()
    assert log.rstrip().endswith("nnUNetv2_train 5 3d_a 0 -tr ACNNTrainer -device cpu")


def test_what_is_done_is_not_started(workplace, tmp_path):
    train(tmp_path / "logs", RUN)

    assert train(tmp_path / "logs", RUN) == {"starts": 0, "dice": 1.0}
    assert starts() == ["False"]


def test_a_failed_run_goes_on_once(workplace, tmp_path):
    fail(workplace, "3d_a", 1)

    assert train(tmp_path / "logs", RUN)["starts"] == 2
    assert starts() == ["False", "True"]


def test_and_not_twice(workplace, tmp_path):
    fail(workplace, "3d_a", 5)

    with pytest.raises(ValueError, match=r"-device cpu` failed twice; .*a_fold0\.txt ends: CUDA out of memory"):
        train(tmp_path / "logs", RUN)
    assert starts() == ["False", "True"]


def test_a_run_with_a_checkpoint_goes_on_from_it(workplace, tmp_path):
    fold_folder(RUN).mkdir(parents=True)
    (fold_folder(RUN) / "checkpoint_latest.pth").touch()

    train(tmp_path / "logs", RUN)

    assert starts() == ["True"]


def test_settings_may_change_until_there_is_a_checkpoint(workplace, tmp_path):
    changed = replace(RUN, settings=("prior_weight=0.1",))
    fold_folder(RUN).mkdir(parents=True)
    (fold_folder(RUN) / ".sweep.json").write_text("[]")  # of a start that came to nothing

    assert train(tmp_path / "logs", changed)["starts"] == 1

    with pytest.raises(ValueError, match=r"was trained with prior_weight=0\.1, and now the setting is the defaults"):
        train(tmp_path / "logs", RUN)


def test_a_run_that_still_trains_is_left_alone(workplace, tmp_path):
    fold_folder(RUN).mkdir(parents=True)
    with open(fold_folder(RUN) / ".sweep.lock", "w") as file:
        assert lock(file.fileno())
        with pytest.raises(ValueError, match="is being trained by another process"):
            train(tmp_path / "logs", RUN)
