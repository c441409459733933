"""`scripts/studies/defaults/workplace.py`: names, folds and settings of runs, and the time that they took."""

import json

import pytest

from acnn_nnunet.nnunet.settings import Settings
from scripts.studies.defaults.workplace import FEW_FOLD, Workplace, training_seconds


@pytest.fixture
def place(tmp_path) -> Workplace:
    made = Workplace("hippocampus", tmp_path)
    made.make()
    (tmp_path / "raw" / "Dataset004_Hippocampus").mkdir()
    return made


def test_a_run_has_a_name_and_settings_of_its_own(place):
    names = {place.configuration_of(arm, seed) for arm in place.arms for seed in (0, 1)}
    assert len(names) == 2 * len(place.arms)
    for arm in place.arms:
        assert Settings.from_block(place.settings_of(arm, 3)).seed == 3


def test_an_arm_with_adjusted_logits_predicts_with_the_network_of_another(place):
    assert place.folder_of("none_pc_unmirrored_adjusted", 2) == place.folder_of("none_pc_unmirrored", 2)
    assert place.settings_of("none_pc_unmirrored_adjusted", 2) == place.settings_of("none_pc_unmirrored", 2)


def test_a_line_of_steps_trains_longer_and_one_of_cases_in_its_own_fold_with_its_own_prior(place):
    assert place.settings_of("none_unmirrored_x16", 0)["num_epochs"] == 16 * 30
    assert place.fold_of("none_unmirrored_x16") == FEW_FOLD
    # Sizes are 5, 10, 40, 160.
    assert place.fold_of("hybrid_pc_unmirrored_n40") == FEW_FOLD + 3
    assert place.prior("roi20_unmirrored_n40").fold == FEW_FOLD + 3
    assert place.prior("roi20_unmirrored").fold == FEW_FOLD
    assert "ROI".lower() in place.settings_of("hybrid_pc_unmirrored_n40", 0)["grid"]


def test_folds_of_few_cases_are_nested_and_apart_from_the_selection(place):
    place.preprocessed.mkdir()
    cases = [f"case_{number:03d}" for number in range(200)]
    host = [{"train": cases[:160], "val": cases[160:]}] * 5
    (place.preprocessed / "splits_final.json").write_text(json.dumps(host))

    place.write_split()
    place.write_split()

    splits = json.loads((place.preprocessed / "splits_final.json").read_text())
    assert [len(each["train"]) for each in splits[5:]] == [20, 5, 10, 40, 160]
    few, *others = (set(each["train"]) for each in splits[5:])
    assert others[0] < others[1] < few < others[2] < others[3]
    selection = set(place.cases("selection"))
    assert len(selection) == 40
    assert not selection & (few | others[2])
    assert set(place.cases("confirmation")) == set(cases[160:]) == set(splits[9]["val"])


def test_seconds_of_a_training_are_those_of_its_epochs(tmp_path):
    (tmp_path / "training_log_1.txt").write_text("Epoch 0\n2026: Epoch time: 10.5 s\n2026: Epoch time: 2.25 s\n")
    (tmp_path / "training_log_2.txt").write_text("2026: Epoch time: 1.0 s\n")
    assert training_seconds(tmp_path) == 13.8


def test_a_training_without_a_log_is_not_one_of_no_time(tmp_path):
    with pytest.raises(FileNotFoundError, match="training_log"):
        training_seconds(tmp_path)
