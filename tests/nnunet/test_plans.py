"""Names of datasets and configurations, and plans by hand."""

import json
import re

import pytest

from acnn_nnunet.nnunet.plans import (
    check_configuration_name,
    check_has_configuration,
    dataset_id,
    find_plans,
    full_dataset_name,
    inherited,
    lineage,
    read_plans,
    train_command,
)

DATASET = "Dataset004_Hippocampus"
PLANS = {"configurations": {"2d": {}, "3d_fullres": {}}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The preprocessed folder of a dataset with two plans and a file that is none."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(tmp_path))
    folder = tmp_path / DATASET
    folder.mkdir()
    for name in ("nnUNetPlans", "nnUNetResEncUNetMPlans"):
        (folder / f"{name}.json").write_text(json.dumps(PLANS))
    (folder / "dataset.json").write_text('{"labels": {"background": 0}}')
    return folder


@pytest.mark.parametrize(("name", "number"), [(DATASET, 4), ("Dataset100_a_b", 100), ("Dataset999_X", 999)])
def test_the_number_of_a_dataset(name, number):
    assert dataset_id(name) == number


def test_the_command_leaves_out_the_plans_that_nnunet_takes_anyway():
    assert train_command(DATASET, "2d", 0, "ACNNTrainer") == "nnUNetv2_train 4 2d 0 -tr ACNNTrainer"


def test_the_command_names_other_plans():
    command = train_command(DATASET, "2d", "all", "ACNNTrainer", "nnUNetResEncUNetMPlans")

    assert command == "nnUNetv2_train 4 2d all -tr ACNNTrainer -p nnUNetResEncUNetMPlans"


@pytest.mark.parametrize("name", ["2d", "3d_fullres_x1.5", "a+b", "a-b", "_a"])
def test_names_that_can_be_part_of_a_folders(name):
    check_configuration_name(name)


@pytest.mark.parametrize("name", ["", "a b", "a__b", "-a", ".a", "a/b", "2d\n"])
def test_names_that_cannot_be_part_of_a_folders(name):
    with pytest.raises(ValueError, match=re.escape(f"nnU-Net cannot train a configuration named '{name}'")):
        check_configuration_name(name)


@pytest.mark.parametrize("name", ["4", "004", DATASET])
def test_a_dataset_is_known_by_number_and_by_name(folder, name):
    assert full_dataset_name(name) == DATASET


def test_a_number_that_no_dataset_has(folder):
    with pytest.raises(ValueError, match=r"^There is no dataset 5: [^\n]+$"):
        full_dataset_name("5")


def test_plans_are_found_by_their_identifier(folder):
    assert find_plans("4", "nnUNetPlans") == (DATASET, folder / "nnUNetPlans.json")


def test_plans_that_are_missing_are_told_beside_those_that_are_there(folder):
    with pytest.raises(FileNotFoundError) as caught:
        find_plans("4", "myPlans")

    assert str(caught.value) == (
        f"There are no plans {folder / 'myPlans.json'}: make them with nnUNetv2_plan_and_preprocess -d 4, or name with "
        "-p the plans that are there: nnUNetPlans, nnUNetResEncUNetMPlans."
    )


def test_a_dataset_without_any_plans(folder):
    for path in folder.glob("*Plans.json"):
        path.unlink()

    with pytest.raises(FileNotFoundError, match=r"make them with nnUNetv2_plan_and_preprocess -d 4\.$"):
        find_plans("4", "nnUNetPlans")


def test_plans_are_read_with_a_configuration_of_theirs(folder):
    assert read_plans("4", "nnUNetPlans", "2d") == (PLANS, folder / "nnUNetPlans.json")


def test_plans_without_the_configuration_list_theirs(folder):
    with pytest.raises(ValueError, match=r"nnUNetPlans\.json has no configuration 3d, only 2d, 3d_fullres\.$"):
        read_plans("4", "nnUNetPlans", "3d")


def test_a_configuration_is_known_by_its_whole_name(folder):
    check_has_configuration(PLANS, "2d", where=folder)
    with pytest.raises(ValueError, match="has no configuration 2, only 2d, 3d_fullres"):
        check_has_configuration(PLANS, "2", where=folder)


def test_a_configuration_has_what_the_nearest_of_its_line_has():
    configurations = {
        "base": {"patch_size": [8], "acnn": {}},
        "child": {"inherits_from": "base", "acnn": {"seed": 1}},
        "grandchild": {"inherits_from": "child"},
        "loop": {"inherits_from": "loop"},
        "orphan": {"inherits_from": "gone"},
    }
    assert list(lineage(configurations, "grandchild")) == ["grandchild", "child", "base"]
    assert list(lineage(configurations, "loop")) == ["loop"]
    assert list(lineage(configurations, "orphan")) == ["orphan"]
    assert list(lineage(configurations, None)) == []
    assert inherited(configurations, "grandchild", "acnn") == {"seed": 1}
    assert inherited(configurations, "grandchild", "patch_size") == [8]
    assert inherited(configurations, "orphan", "acnn") is None
