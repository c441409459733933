"""One case: what costs its own case only, and what ends it all."""

import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from worker_cases import Load, LoadHere

from acnn_nnunet.casewise.work import Excluded, Outcome, PerWorker, Result, SetUpError, attempt, excluded_of, reason_of
from acnn_nnunet.files.safe_writes import WriteError


def failing(error):
    def work(item):
        raise error

    return work


def test_a_result():
    assert attempt(lambda item: item + 1, "a", 1) == Result("a", 2)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("a.nii.gz is\n  damaged"), "a.nii.gz is damaged"),
        (FileNotFoundError("no a.nii.gz"), "no a.nii.gz"),
        (RuntimeError("ITK says no"), "ITK says no"),
        (MemoryError("Unable to allocate"), "not enough memory: use a smaller -np"),
        (ValueError(), "ValueError"),
    ],
)
def test_what_costs_one_case(error, reason):
    assert attempt(failing(error), "a", None) == Result("a", None, reason)
    assert reason_of(error) == reason


@pytest.mark.parametrize("error", [WriteError("disk full"), SetUpError("no model"), TypeError("a mistake of ours")])
def test_what_ends_it_all(error):
    with pytest.raises(type(error), match=str(error)):
        attempt(failing(error), "a", None)


def test_what_was_left_out():
    results = [Result("a", 1), Result("b", error="bad"), Result("c", None)]

    assert excluded_of(results) == (Excluded("b", "bad"),)


def test_an_outcome_is_complete_without_exclusions():
    assert (Outcome("done").complete, Outcome("done").exit_code) == (True, 0)
    left_out = Outcome("done", (Excluded("a", "bad"),))
    assert (left_out.complete, left_out.exit_code) == (False, 1)


def test_a_model_is_loaded_once(tmp_path):
    model = PerWorker(Load(tmp_path))

    assert [model(), model()] == ["model", "model"]
    assert len(list(tmp_path.iterdir())) == 1


def test_only_the_way_to_load_a_model_travels(tmp_path):
    model = PerWorker(Load(tmp_path))
    model()

    assert pickle.loads(pickle.dumps(model))() == "model"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_model_that_another_process_cannot_load():
    there = pickle.loads(pickle.dumps(PerWorker(LoadHere())))
    there._load.process = -1

    with pytest.raises(SetUpError, match=r"prior\.pth is damaged"):
        there()


def test_a_model_that_cannot_be_loaded_says_so_before_the_work():
    with pytest.raises(FileNotFoundError, match="no model"):
        PerWorker(lambda: failing(FileNotFoundError("no model"))(None))


def test_threads_of_one_worker_share_what_is_loaded():
    loaded = []

    def load():
        time.sleep(0.05)
        loaded.append("model")
        return "model"

    model = PerWorker(load)
    model.__dict__.update(model.__getstate__())  # as it arrives at a worker
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: model(), range(4)))

    assert found == ["model"] * 4
    assert len(loaded) == 2  # for the errors that come before the work, then once
