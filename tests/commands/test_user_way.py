"""Prior, training, validation, prediction and export through the commands that a user types."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everyone writes it
import torch
from overlays import create_overlay
from workspace import CONFIGURATION, DATASET, DERIVED, PLANS

pytestmark = [pytest.mark.slow, pytest.mark.real_data]

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def without_prior_file(with_model, tmp_path_factory):
    """The finished model in a results folder that holds no prior, as on a machine that only predicts."""
    workspace = with_model.with_results(tmp_path_factory.mktemp("no_prior") / "results")
    shutil.copytree(
        with_model.model_folder("ACNNTrainer", DERIVED),
        workspace.model_folder("ACNNTrainer", DERIVED),
        ignore=shutil.ignore_patterns("validation"),
    )
    return workspace


@pytest.fixture(scope="module")
def predicted(without_prior_file, tmp_path_factory) -> np.ndarray:
    """What nnUNetv2_predict makes of the test case."""
    output = tmp_path_factory.mktemp("predicted")
    images = without_prior_file.raw / DATASET / "imagesTs"
    words = ("-d", 4, "-c", DERIVED, "-f", 0, "-tr", "ACNNTrainer", "-npp", 1, "-nps", 1, "-device", "cpu")
    without_prior_file.succeed("nnUNetv2_predict", *words, "-i", images, "-o", output)
    return _only_image(output)


def test_prior_file_holds_plain_values_and_what_is_needed_to_refuse_a_mismatch(with_prior):
    folder = with_prior.fold_folder("ShapePriorTrainer")
    checkpoint = torch.load(folder / "checkpoint_final.pth", weights_only=True)
    spec, weights = checkpoint["shape_prior"], checkpoint["network_weights"]
    plans = json.loads(with_prior.plans_file.read_text())["configurations"]["3d_fullres"]
    assert spec["labels"] == {"background": 0, "Anterior": 1, "Posterior": 2}
    assert (spec["grid"], spec["grid_size"]) == ("patch", plans["patch_size"])
    assert spec["spacing_mm"] == plans["spacing"]
    assert (spec["dataset"], spec["plans"], spec["configuration"], spec["fold"]) == (DATASET, PLANS, CONFIGURATION, 0)
    assert (spec["format_version"], spec["architecture"], spec["stage"]) == (4, "hybrid", "joint")
    splits = json.loads((with_prior.preprocessed / DATASET / "splits_final.json").read_text())
    assert sorted(spec["training_cases"]) == splits[0]["train"]
    assert weights["code_mean"].shape == (64,)
    assert weights["code_covariance"].shape == (64, 64)
    assert torch.linalg.eigvalsh(weights["code_covariance"].double()).min() > 0


def test_prior_s_training_leaves_the_host_s_records_and_its_own(with_prior):
    folder = with_prior.fold_folder("ShapePriorTrainer")
    assert json.loads((folder / "validation" / "summary.json").read_text())["foreground_mean"]["Dice"] >= 0
    report = json.loads((folder / "validation" / "shape_prior.json").read_text())
    assert set(report["reconstruction_dice"]) == {"Anterior", "Posterior"}
    splits = json.loads((with_prior.preprocessed / DATASET / "splits_final.json").read_text())
    assert sorted(report["cases"]) == splits[0]["val"]
    assert (folder / "progress.png").read_bytes().startswith(PNG)
    assert (folder / "acnn_progress.png").read_bytes().startswith(PNG)
    (log,) = folder.glob("training_log_*.txt")
    assert re.findall(r"\d: stage: (\w+)", log.read_text()) == ["autoencoder", "predictor", "joint"]
    assert len(json.loads((folder / "acnn_log.json").read_text())["reconstruction_dice"]) == 3


def test_acnn_trainer_finds_the_prior_of_the_configuration_it_inherits_from(with_model):
    record = json.loads((with_model.fold_folder("ACNNTrainer", DERIVED) / "acnn_run.json").read_text())
    prior = with_model.fold_folder("ShapePriorTrainer") / "checkpoint_final.pth"
    assert Path(record["prior"]) == prior
    assert len(record["prior_sha256"]) == 64


def test_both_losses_and_the_gradient_ratio_are_logged_each_epoch(with_model):
    folder = with_model.fold_folder("ACNNTrainer", DERIVED)
    log = json.loads((folder / "acnn_log.json").read_text())
    for name in ("segmentation_loss", "prior_distance", "prior_loss", "gradient_ratio"):
        assert len(log[name]) == 3
        assert all(map(math.isfinite, log[name]))
    # The first epoch is the warm-up's start, where the weight is 0; then it is λ1 = 0.2 of the other gradient.
    assert log["gradient_ratio"][1:] == pytest.approx([0.2, 0.2], rel=1e-4)
    assert (folder / "acnn_progress.png").read_bytes().startswith(PNG)
    assert (folder / "progress.png").read_bytes().startswith(PNG)


def test_nothing_of_the_prior_is_in_the_checkpoint(with_model):
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    plans = json.loads(with_model.plans_file.read_text())["configurations"]["3d_fullres"]["architecture"]
    stock = get_network_from_plans(
        plans["network_class_name"], plans["arch_kwargs"], plans["_kw_requires_import"], 1, 3, deep_supervision=True
    )
    path = with_model.fold_folder("ACNNTrainer", DERIVED) / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    assert list(checkpoint["network_weights"]) == list(stock.state_dict())
    assert set(checkpoint) == {
        "network_weights",
        "optimizer_state",
        "grad_scaler_state",
        "logging",
        "_best_ema",
        "current_epoch",
        "init_args",
        "trainer_name",
        "inference_allowed_mirroring_axes",
    }
    (group,) = checkpoint["optimizer_state"]["param_groups"]
    assert len(group["params"]) == len(list(stock.parameters()))


def test_validation_needs_no_prior(without_prior_file, with_model):
    command = without_prior_file.train("ACNNTrainer", "--val", configuration=DERIVED)
    without_prior_file.succeed(*command)
    summaries = [
        json.loads((w.fold_folder("ACNNTrainer", DERIVED) / "validation" / "summary.json").read_text())
        for w in (without_prior_file, with_model)
    ]
    np.testing.assert_equal(summaries[0]["mean"], summaries[1]["mean"])


def test_exported_model_predicts_the_same_where_this_package_is_not_installed(without_prior_file, predicted, tmp_path):
    exported = tmp_path / "exported"
    model = without_prior_file.model_folder("ACNNTrainer", DERIVED)
    without_prior_file.succeed("acnn-nnunet", "export-stock", model, "-o", exported)
    stock = create_overlay(tmp_path / "stock", without=("acnn_nnunet",))
    assert stock.run("-c", "import acnn_nnunet", check=False).returncode != 0
    script = stock.root / "predict.py"
    script.write_text(
        "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder\n"
        "if __name__ == '__main__':\n    predict_entry_point_modelfolder()\n"
    )
    images = without_prior_file.raw / DATASET / "imagesTs"
    words = (
        "-i",
        images,
        "-o",
        tmp_path / "out",
        "-m",
        exported,
        "-f",
        "0",
        "-device",
        "cpu",
        "-npp",
        "1",
        "-nps",
        "1",
    )
    stock.run(script, *words)
    again = _only_image(tmp_path / "out")
    assert np.array_equal(again, predicted)
    assert set(np.unique(again)) <= {0, 1, 2}


def _only_image(folder: Path) -> np.ndarray:
    (path,) = folder.glob("*.nii.gz")
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
