"""What is done for an arm and in which order, and a training that failed is repeated with the remedy."""

import json
import pickle

import pytest

from scripts.studies.thick_slices import arms, converged
from scripts.studies.thick_slices.converged import ARMS_OF_TABLE_1, CONVERGED_ARMS, ConvergedWorkplace
from scripts.studies.thick_slices.converged_report import convergence_table
from scripts.studies.thick_slices.workplace import results_in

FLAT = [*[0.5] * 12, *[0.8] * 3]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A workplace whose trainings take no time; `curves` says what each of them logs, by configuration."""
    made = ConvergedWorkplace(tmp_path, tmp_path / "out", "ce_per_class", epochs=10)
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


def test_arms_are_arms():
    assert set(ARMS_OF_TABLE_1) <= set(CONVERGED_ARMS) <= set(arms.ARMS)


def test_only_the_arm_of_pairs_trains_on_pairs(place):
    for name in ("sub_pixel_b2", "pairs_b2"):
        place.train_to(name, 0, 10)
    shares = {name: settings["pair_share"] for _, name, settings in place.configured_with}
    assert shares == {place.configuration_of("sub_pixel_b2", 0): 0, place.configuration_of("pairs_b2", 0): 1}


def test_what_is_tested_on_which_stacks(place):
    assert place.tests_of(["unet_2d", "sub_pixel_motion_b2"]) == ["motion"]
    assert place.tests_of(["sub_pixel_b2", "factor_6_b2"]) == ["motion", "still", "mixed6"]


def test_priors_come_first_and_what_begins_with_another_arm_last(place):
    arms_of_run = ["ae_seg_b2", "acnn_sub_pixel_motion_b2", "image_bspline", "sub_pixel_b2"]
    calls = place.calls(arms_of_run, [0, 1])
    assert calls[0] == (place.trained_prior, ("all",))
    assert [words for _, words in calls[1:]] == [
        ("image_bspline", 0),
        *(("sub_pixel_b2", seed) for seed in (0, 1)),
        *(("acnn_sub_pixel_motion_b2", seed) for seed in (0, 1)),
        *(("ae_seg_b2", seed) for seed in (0, 1)),
    ]


def test_jobs_are_processes_that_do_what_children_would(tmp_path):
    place = ConvergedWorkplace(tmp_path, tmp_path / "out", "ce_per_class", device="cuda")
    ((job, run),) = place.calls(["image_bspline"], [3])
    sent = pickle.loads(pickle.dumps(job))
    assert (sent.__name__, run, sent.__self__.in_process) == ("train_and_score", ("image_bspline", 0), True)


def test_no_run_twice_but_with_more_epochs(place):
    results_in(place.results).add({"arm": "image_bspline", "seed": 0}, {})
    results_in(place.results).add({"arm": "sub_pixel_b2", "seed": 0, "training": {"num_epochs": 10}}, {})
    wanted = ["image_bspline", "sub_pixel_b2"]
    assert [words for _, words in place.calls(wanted, [0, 1])] == [("sub_pixel_b2", 1)]
    place.epochs = 20
    assert [words for _, words in place.calls(wanted, [0])] == [("sub_pixel_b2", 0)]


def test_images_and_adjusted_logits_under_the_loss_that_weighs_labels_alike_alone(place):
    wanted = ["sub_pixel_motion_b2", "sr_b2", "sub_pixel_motion_b2_adjusted"]
    assert [words[0] for _, words in place.calls(wanted, [0])] == wanted
    place.loss = "dice_ce"
    assert [words[0] for _, words in place.calls(wanted, [0])] == wanted[:1]


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


def test_a_training_goes_on_to_more_epochs_and_says_whether_it_is_flat(place):
    name = place.configuration_of("sub_pixel_b2", 0)
    place.curves[name, 10] = [*[0.4] * 12, 0.4, 0.5, 0.6]
    known = place.train_to("sub_pixel_b2", 0, 10)
    # Three values on a line: it rises by .2, without an error.
    assert (known["num_epochs"], known["flat"], known["last_rise"]) == (10, False, [0.2, 0.0])
    known = place.train_to("sub_pixel_b2", 0, 20)
    assert (known["num_epochs"], known["flat"], known["unlearnt"], known["remedy"]) == (20, True, [], False)
    assert known["cpu_s"] == 10.0  # of both
    assert place.trained("sub_pixel_b2", 0) == known
    assert place.train_to("sub_pixel_b2", 0, 20) == known
    assert len(place.configured_with) == 2  # nothing is done twice
    assert {settings["segmentation_loss"] for *_, settings in place.configured_with} == {"ce_per_class"}


def test_a_failed_label_gets_the_remedy_and_the_run_says_so(place, monkeypatch):
    name = place.configuration_of("sub_pixel_b2", 0)
    place.curves[name, 10] = [0.1] * 15
    scored = []
    monkeypatch.setattr(place, "run_arm", lambda *run: scored.append(run))
    place.train_and_score("sub_pixel_b2", 0)
    assert scored == [("sub_pixel_b2", 0)]
    known = place.trained("sub_pixel_b2", 0)
    assert (known["remedy"], known["failed_before"], known["unlearnt"]) == (True, [1, 2], [])
    assert known["configuration"] == place.configuration_of("sub_pixel_b2", 0) == f"{name}_remedy"
    plans = json.loads((place.preprocessed(arms.HR_ID) / "nnUNetPlans.json").read_text())
    doubled = plans["configurations"][f"{arms.THICK_IN_TWOS}_doubled"]
    assert doubled == {"inherits_from": arms.THICK_IN_TWOS, "batch_size": 4}
    assert "| sub_pixel_b2 | 0 | cpu | 7 | 500 | +0.000 ± 0.000 | yes | 1, 2 | none |" in convergence_table(
        {("sub_pixel_b2", 0): known}
    )
