"""Trainings go on together until all are flat, and one that failed is repeated with the remedy."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from scripts.studies.thick_slices import arms, converged
from scripts.studies.thick_slices.converged import ARMS_OF_TABLE_1, CONVERGED_ARMS, ConvergedWorkplace
from scripts.studies.thick_slices.converged_report import convergence_table

FLAT = [*[0.5] * 12, *[0.8] * 3]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A workplace whose trainings take no time; `curves` says what each of them logs, by configuration."""
    made = ConvergedWorkplace(tmp_path, tmp_path / "out", "ce_per_class", lengths=(10, 20, 40))
    made.make()
    plans = {"configurations": {arms.THICK_IN_TWOS: {"batch_size": 2}}}
    made.preprocessed(arms.HR_ID).mkdir(parents=True)
    (made.preprocessed(arms.HR_ID) / "nnUNetPlans.json").write_text(json.dumps(plans))
    made.configured_with, made.curves = [], {}

    def log_of(checkpoint):
        name = checkpoint.parents[1].name.split("__")[2]
        dice = made.curves.get((name, made.configured_with[-1][2]["num_epochs"]), FLAT)
        return {"mean_fg_dice": dice, "dice_per_class_or_region": [[value, value] for value in dice]}

    monkeypatch.setattr(made, "configure", lambda *words: made.configured_with.append(words[1:]))
    monkeypatch.setattr(made, "train_here", lambda *words, **kwargs: {"cpu_s": 5.0, "parameters": 7, **kwargs})
    monkeypatch.setattr(converged, "read_log", log_of)
    return made


def converge(place, names=("sub_pixel_b2", "sub_pixel_motion_b2"), ends=None):
    with ThreadPoolExecutor(1) as pool:
        return place.converged(list(names), 0, ends=time.monotonic() + 60 if ends is None else ends, pool=pool)


def test_arms_are_arms():
    assert set(ARMS_OF_TABLE_1) <= set(CONVERGED_ARMS) <= set(arms.ARMS)


def test_only_the_arm_of_pairs_trains_on_pairs(place):
    assert converge(place, ("sub_pixel_b2", "pairs_b2"))
    shares = {name: settings["pair_share"] for _, name, settings in place.configured_with}
    assert shares == {place.configuration_of("sub_pixel_b2", 0): 0, place.configuration_of("pairs_b2", 0): 1}


def test_what_is_tested_on_which_stacks(place):
    assert place.tests_of(["unet_2d", "sub_pixel_motion_b2"]) == ["motion"]
    assert place.tests_of(["sub_pixel_b2", "factor_6_b2"]) == ["motion", "still", "mixed6"]


def test_all_seeds_of_a_run_and_no_run_twice(place, monkeypatch):
    done = []
    monkeypatch.setattr(place, "run_arm", lambda arm, seed: done.append((arm, seed)))
    place.run(["sub_pixel_b2", "image_bspline"], [0, 1], minutes=1, jobs=2)
    assert sorted(done) == [("image_bspline", 0), ("sub_pixel_b2", 0), ("sub_pixel_b2", 1)]


def test_logits_are_adjusted_under_the_loss_that_weighs_labels_alike_alone(place, monkeypatch):
    done = []
    monkeypatch.setattr(place, "run_arm", lambda arm, seed: done.append(arm))
    for place.loss in ("dice_ce", "ce_per_class"):
        place.run(["sub_pixel_motion_b2", "sub_pixel_motion_b2_adjusted"], [0], minutes=1, jobs=1)
    assert sorted(done) == [*["sub_pixel_motion_b2"] * 2, "sub_pixel_motion_b2_adjusted"]


def test_the_raw_folder_has_room_for_pairs(place, tmp_path):
    source = tmp_path / "elsewhere" / "Dataset004_Hippocampus"
    (source / "imagesTr").mkdir(parents=True)
    (tmp_path / "raw" / source.name).symlink_to(source)
    link = place.link_raw(source)
    (link / "imagesTr_lr").mkdir()
    assert (link / "imagesTr").resolve() == source / "imagesTr"
    assert [path.name for path in source.iterdir()] == ["imagesTr"]


def test_a_gpu_trains_and_loads_in_processes(tmp_path, monkeypatch):
    place, called = ConvergedWorkplace(tmp_path, tmp_path / "out", "dice_ce", device="cuda"), []
    monkeypatch.setattr(place, "child", lambda *words, workers: called.append((words[1]["device"], workers)))
    place.train(4, "a", "SRTrainer")
    place.train(4, "a", "ShapePriorTrainer")
    assert called == [("cuda", 1), ("cuda", 6)]


def test_all_go_on_until_all_are_flat(place):
    name = place.configuration_of("sub_pixel_b2", 0)
    place.curves[name, 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert converge(place)
    for training in ("sub_pixel_b2", "sub_pixel_motion_b2"):
        known = place.trained(training, 0)
        assert (known["num_epochs"], known["flat"], known["unlearnt"], known["remedy"]) == (20, True, [], False)
        assert known["cpu_s"] == 10.0  # of both lengths
    assert {settings["segmentation_loss"] for *_, settings in place.configured_with} == {"ce_per_class"}


def test_the_last_length_ends_it(place):
    name = place.configuration_of("sub_pixel_b2", 0)
    for epochs in place.lengths:
        place.curves[name, epochs] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert converge(place)
    assert place.trained("sub_pixel_b2", 0)["num_epochs"] == 40
    assert not place.trained("sub_pixel_b2", 0)["flat"]


def test_a_failed_label_gets_the_remedy_and_the_run_says_so(place):
    name = place.configuration_of("sub_pixel_b2", 0)
    place.curves[name, 10] = [0.1] * 15
    assert converge(place)
    known = place.trained("sub_pixel_b2", 0)
    assert (known["remedy"], known["failed_before"], known["unlearnt"]) == (True, [1, 2], [])
    assert known["configuration"] == place.configuration_of("sub_pixel_b2", 0) == f"{name}_remedy"
    plans = json.loads((place.preprocessed(arms.HR_ID) / "nnUNetPlans.json").read_text())
    doubled = plans["configurations"][f"{arms.THICK_IN_TWOS}_doubled"]
    assert doubled == {"inherits_from": arms.THICK_IN_TWOS, "batch_size": 4}
    assert "| sub_pixel_b2 | 0 | 7 | 500 | yes | 1, 2 | none |" in convergence_table({("sub_pixel_b2", 0): known})


def test_when_time_is_over_it_stops_and_goes_on_later(place):
    assert not converge(place, ends=time.monotonic() - 1)
    assert not place.configured_with
    assert converge(place)
    count = len(place.configured_with)
    assert converge(place)  # nothing is done twice
    assert len(place.configured_with) == count
