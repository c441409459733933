"""Whatever is wrong, a command fails with one clear sentence as its last line, or carries on and says so."""

import json

import blosc2
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everyone writes it
from workspace import CONFIGURATION, DATASET, DERIVED, SETTINGS, Workspace, edit_json

pytestmark = [pytest.mark.slow, pytest.mark.real_data]

TRAIN_PRIOR = f"nnUNetv2_train 4 {CONFIGURATION} 0 -tr ShapePriorTrainer"
ODD_ID, ODD = 5, "Dataset005_Odd"


@pytest.fixture
def fresh(with_prior, tmp_path) -> Workspace:
    """The workspace with an empty results folder of its own."""
    return with_prior.with_results(tmp_path / "results")


@pytest.fixture
def edited(fresh, tmp_path):
    """The workspace with the quick configuration's `acnn` block replaced by hand."""

    def edit(**block) -> Workspace:
        workspace = fresh.with_preprocessed(tmp_path / "preprocessed")
        edit_json(workspace.plans_file, lambda plans: plans["configurations"][CONFIGURATION]["acnn"].update(block))
        return workspace

    return edit


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Workspace:
    """Random images in three folds: training labels all zero; a NaN in the training image; without one label."""
    root = tmp_path_factory.mktemp("odd")
    workspace = Workspace(root / "raw", root / "preprocessed", root / "results")
    for folder in (root / "preprocessed", root / "results"):
        folder.mkdir()
    folds = {"empty": {0}, "nan": {1, 2}, "partial": {1}, "whole": {1, 2}}
    generator = np.random.default_rng(0)
    for case, labels in folds.items():
        _write_case(workspace.raw / ODD, case, labels, generator)
    dataset = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "Left": 1, "Right": 2},
        "numTraining": len(folds),
        "file_ending": ".nii.gz",
    }
    (workspace.raw / ODD / "dataset.json").write_text(json.dumps(dataset))
    planning = ("nnUNetv2_plan_and_preprocess", "-d", ODD_ID, "-c", "3d_fullres", "-npfp", 1, "-np", 1)
    workspace.succeed(*planning, nnUNet_n_proc_DA="1")
    # ITK reads a NaN in a NIfTI as 0, and the host's planner refuses it in other formats: put it in behind both.
    preprocessed = workspace.preprocessed / ODD / "nnUNetPlans_3d_fullres" / "nan.b2nd"
    blosc2.open(str(preprocessed), mode="a")[0, 12, 12, 12] = np.nan
    splits = [{"train": [case], "val": ["whole"]} for case in ("empty", "nan", "partial")]
    (workspace.preprocessed / ODD / "splits_final.json").write_text(json.dumps(splits))
    settings = (*SETTINGS, "prior_weight=0", "num_epochs=1")
    workspace.succeed("acnn-nnunet", "configure", ODD_ID, "-c", "3d_fullres", "-n", CONFIGURATION, *settings)
    return workspace


def _write_case(folder, case, labels, generator):
    image = generator.normal(size=(24, 24, 24)).astype(np.float32)
    segmentation = np.zeros(image.shape, np.uint8)
    for label in labels:
        segmentation[8:16, 8:16, 4 + 8 * label : 8 + 8 * label] = label
    for name, array in ((f"imagesTr/{case}_0000", image), (f"labelsTr/{case}", segmentation)):
        path = folder / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path))


def test_missing_prior(fresh):
    message = fresh.refuse(*fresh.train("ACNNTrainer", configuration=DERIVED))
    places = [fresh.fold_folder("ShapePriorTrainer", name) for name in (DERIVED, CONFIGURATION, "3d_fullres")]
    assert message == (
        f"FileNotFoundError: No shape prior for {DATASET}, configuration {DERIVED}, fold 0: looked for "
        f"{' and '.join(f'{place}/checkpoint_final.pth' for place in places)}. Train it first with: "
        f"nnUNetv2_train 4 {DERIVED} 0 -tr ShapePriorTrainer"
    )


def test_prior_of_another_fold(fresh, with_prior):
    fresh.link_prior(with_prior, fold=0, as_fold=1)
    message = fresh.refuse(*fresh.train("ACNNTrainer", fold=1))
    prior = fresh.fold_folder("ShapePriorTrainer", fold=1) / "checkpoint_final.pth"
    assert message.startswith(f"ValueError: The shape prior {prior} was trained on fold 0 and saw the labels of 2 ")
    assert f"validation cases of {DATASET} fold 1" in message
    assert message.endswith(f"Train this fold's prior with: nnUNetv2_train 4 {CONFIGURATION} 1 -tr ShapePriorTrainer")


def test_truncated_prior(fresh, with_prior):
    fresh.link_prior(with_prior)
    prior = fresh.fold_folder("ShapePriorTrainer") / "checkpoint_final.pth"
    whole = prior.read_bytes()
    prior.unlink()
    prior.write_bytes(whole[: len(whole) // 2])
    message = fresh.refuse(*fresh.train("ACNNTrainer"))
    assert message.startswith(f"ValueError: The shape prior {prior} cannot be read, it is truncated or no checkpoint")
    assert message.endswith(TRAIN_PRIOR)


def test_truncated_checkpoint(fresh, with_prior):
    fresh.link_prior(with_prior)
    source = with_prior.fold_folder("ShapePriorTrainer") / "checkpoint_best.pth"
    folder = fresh.fold_folder("ACNNTrainer")
    folder.mkdir(parents=True)
    whole = source.read_bytes()
    (folder / "checkpoint_latest.pth").write_bytes(whole[: len(whole) // 2])
    message = fresh.refuse(*fresh.train("ACNNTrainer", "--c"))
    assert message.startswith(f"ValueError: The checkpoint {folder}/checkpoint_latest.pth is truncated")
    assert message.endswith("move it away, and --c goes on from the next best one beside it or starts anew.")


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ({"prior_wieght": 1}, "unknown key 'prior_wieght', allowed are preset, num_epochs, "),
        ({"prior_weight": "much"}, "prior_weight must be a number of at least 0, got 'much'"),
    ],
    ids=["unknown key", "bad value"],
)
def test_bad_setting_in_the_plans(edited, block, complaint):
    workspace = edited(**block)
    message = workspace.refuse(*workspace.train("ACNNTrainer"))
    where = f"Bad setting in the 'acnn' block of nnUNetPlans.json of {DATASET}, configuration {CONFIGURATION}"
    assert message.startswith(f"ValueError: {where} (change it with acnn-nnunet configure): {complaint}")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("prior_wieght=1",), "Bad setting: unknown key 'prior_wieght', allowed are preset, num_epochs, "),
        (("num_epochs=0",), "Bad setting: num_epochs must be an integer of at least 1, got 0."),
        (("-c", "3d_nowhere"), "has no configuration 3d_nowhere, only "),
    ],
    ids=["unknown key", "bad value", "unknown base"],
)
def test_configure_refuses_in_one_line_and_leaves_the_plans(planned, words, complaint):
    before = planned.plans_file.read_text()
    finished = planned.run("acnn-nnunet", "configure", 4, "-c", CONFIGURATION, "-n", "3d_bad", *words)
    assert finished.returncode == 1
    assert finished.output.startswith("acnn-nnunet configure: ")
    assert finished.output.count("\n") == 1
    assert complaint in finished.output
    assert planned.plans_file.read_text() == before


@pytest.mark.parametrize("trainer", ["ShapePriorTrainer", "ACNNTrainer"])
def test_fold_beyond_the_splits(fresh, trainer):
    message = fresh.refuse(*fresh.train(trainer, fold=2))
    splits = fresh.preprocessed / DATASET / "splits_final.json"
    assert message.startswith(f"ValueError: Fold 2 of {DATASET} does not exist: {splits} has folds 0 to 1.")
    assert message.endswith("choose one of these folds, or add yours to that file.")


def test_results_folder_that_cannot_be_written(fresh, tmp_path):
    (tmp_path / "file").write_text("")
    message = fresh.refuse(*fresh.train("ACNNTrainer"), nnUNet_results=str(tmp_path / "file" / "results"))
    assert message.startswith(f"OSError: Cannot write results of {DATASET}, configuration {CONFIGURATION}, fold 0 (")
    assert message.endswith("point nnUNet_results to a folder that you may write to.")


def test_training_cases_without_foreground(odd):
    message = odd.refuse(*_train_odd("ShapePriorTrainer", 0))
    assert message == (
        f"ValueError: No training case of {ODD}, configuration {CONFIGURATION}, fold 0 has any foreground: a shape "
        "prior needs labelled anatomy. Check the labels in nnUNet_raw and preprocess again."
    )


@pytest.mark.parametrize(("trainer", "loader_workers"), [("ShapePriorTrainer", "0"), ("ACNNTrainer", "2")])
def test_nan_in_an_image_names_the_case(odd, trainer, loader_workers):
    message = odd.refuse(*_train_odd(trainer, 1), nnUNet_n_proc_DA=loader_workers)
    assert message.startswith(
        f"ValueError: NaN or infinity in the image of nan ({ODD}, configuration {CONFIGURATION}, fold 1): "
        "mend the image in nnUNet_raw and preprocess again"
    )


def test_label_absent_from_the_fold_carries_on_with_a_warning(odd):
    output = odd.succeed(*_train_odd("ShapePriorTrainer", 2))
    warning = (
        f"WARNING: no training case of {ODD}, configuration {CONFIGURATION}, fold 2 has the label Right: "
        "the prior will know nothing of its shape."
    )
    assert warning in output
    folder = odd.results / ODD / f"ShapePriorTrainer__nnUNetPlans__{CONFIGURATION}" / "fold_2"
    (log,) = folder.glob("training_log_*.txt")
    assert warning in log.read_text()
    report = json.loads((folder / "validation" / "shape_prior.json").read_text())
    assert set(report["reconstruction_dice"]) == {"Left", "Right"}


def _train_odd(trainer: str, fold: int) -> tuple:
    return ("nnUNetv2_train", ODD_ID, CONFIGURATION, fold, "-tr", trainer, "-device", "cpu")
