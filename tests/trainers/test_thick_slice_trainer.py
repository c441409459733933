"""Trainers for thick slices, SubPixelSegTrainer above all, in the host's hands."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.network_architecture.nnUNetTrainerNoDeepSupervision import (
    nnUNetTrainerNoDeepSupervision,
)
from started_trainers import made_up_batch, start, steps

from acnn_nnunet.nnunet.export import export_stock
from acnn_nnunet.sr.inference.command import PredictHROptions, predict_hr
from acnn_nnunet.sr.inference.sliding_window import predict_sliding_window
from acnn_nnunet.sr.training.in_plane import InPlane
from acnn_nnunet.trainers import ACNNSubPixelSegTrainer, ACNNTrainer, ShapePriorTrainer, SubPixelSegTrainer


def test_a_stack_goes_in_and_hr_logits_come_out(make_hr_trainer):
    trainer = start(make_hr_trainer(SubPixelSegTrainer))
    batch = next(trainer.dataloader_train)
    stack = trainer._with_stacks(batch)
    patch = tuple(trainer.configuration_manager.patch_size)
    axis = trainer.through_plane.axis
    halved = tuple(n // 2 if i == axis else n for i, n in enumerate(patch))
    assert stack["data"].shape == (2, 1, *halved)
    assert stack["target"] is batch["target"]
    assert trainer.network(stack["data"]).shape == (2, 4, *patch)
    assert np.isfinite(steps(trainer, 2)).all()
    assert not trainer.enable_deep_supervision


def test_the_loss_falls(make_hr_trainer):
    trainer = start(make_hr_trainer(SubPixelSegTrainer))
    batch = next(trainer.dataloader_train)
    losses = [float(trainer.train_step(dict(batch))["loss"]) for _ in range(15)]
    assert np.mean(losses[-3:]) < losses[0] - 0.1


def test_motion_moves_the_stack_and_not_the_target(make_hr_trainer):
    still = make_hr_trainer(SubPixelSegTrainer)
    moving = make_hr_trainer(SubPixelSegTrainer, block={"slice_motion_mm": 10.0, "slice_rotation_deg": 20})
    batch = made_up_batch(start(still))
    torch.manual_seed(1)
    first = moving._with_stacks(batch)
    torch.manual_seed(1)
    again = moving._with_stacks(batch)
    other = moving._with_stacks(batch)
    assert torch.equal(first["data"], again["data"])
    assert not torch.equal(first["data"], other["data"])
    assert not torch.equal(first["data"], still._with_stacks(batch)["data"])
    assert first["target"] is batch["target"]


def test_augmentation_stays_in_the_plane_of_the_slices_where_it_is_told_to(make_hr_trainer):
    def transforms(**block):
        trainer = make_hr_trainer(SubPixelSegTrainer, block=block)
        rotation, dummy, _, axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        patch = trainer.configuration_manager.patch_size
        return trainer.get_training_transforms(patch, rotation, None, axes, dummy, use_mask_for_norm=[False]).transforms

    assert not any(isinstance(each, InPlane) for each in transforms())
    found = transforms(in_plane_rotation=True)
    assert sum(isinstance(each, InPlane) for each in found) == 1
    assert not any(isinstance(each, SpatialTransform) for each in found)


def test_other_configurations_and_trainers_are_refused_by_name(make_trainer, hr_configuration):
    with pytest.raises(
        ValueError, match=r"ACNNTrainer does not train 3d_hr_x2 of Dataset077.*use -tr ACNNSubPixelSegTrainer"
    ):
        make_trainer(ACNNTrainer, configuration=hr_configuration)
    for trainer_class in (SubPixelSegTrainer, ACNNSubPixelSegTrainer):
        with pytest.raises(
            ValueError,
            match=rf"{trainer_class.__name__} trains .* 3d_fullres .* is none: .*plan-hr 77 --factor K -c 3d_fullres",
        ):
            make_trainer(trainer_class)
    for trainer_class in (nnUNetTrainer, nnUNetTrainerNoDeepSupervision):
        with pytest.raises(ValueError, match="nnU-Net's own trainers do not make any: use -tr SubPixelSegTrainer"):
            make_trainer(trainer_class, configuration=hr_configuration).initialize()


def test_the_whole_way(make_trainer, make_hr_trainer, hr_configuration, workspace, tmp_path, monkeypatch):
    """plan-hr, prior, training, --val, --c, predict-hr, and what the host must not do with the model."""
    monkeypatch.setattr("acnn_nnunet.trainers.thick_slice_trainer.default_num_processes", 1)
    make_trainer(ShapePriorTrainer, configuration=hr_configuration).run_training()
    block = {"slice_motion_mm": 2.0, "slice_rotation_deg": 3.0}
    trainer = make_hr_trainer(ACNNSubPixelSegTrainer, block=block)
    trainer.run_training()
    folder = Path(trainer.output_folder)
    assert trainer.prior.spec.configuration == hr_configuration
    log = json.loads((folder / "acnn_log.json").read_text())
    assert len(log["gradient_ratio"]) == 2

    trainer.perform_actual_validation()
    _, cases = trainer.do_split()
    (dataset,) = (workspace / "nnUNet_preprocessed").iterdir()
    raw = workspace / "nnUNet_raw" / dataset.name
    first = {}
    for case in cases:
        image = SimpleITK.ReadImage(str(raw / "imagesTr" / f"{case}_0000.nii.gz"))
        stack = SimpleITK.ReadImage(str(folder / "validation_stacks" / f"{case}_0000.nii.gz"))
        predicted = SimpleITK.ReadImage(str(folder / "validation" / f"{case}.nii.gz"))
        for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(predicted, get)() == pytest.approx(getattr(image, get)())
        assert stack.GetSize() == (*image.GetSize()[:2], image.GetSize()[2] // 2)
        assert stack.GetSpacing()[2] == pytest.approx(2 * image.GetSpacing()[2])
        first[case] = SimpleITK.GetArrayFromImage(predicted)
    summary = json.loads((folder / "validation" / "summary.json").read_text())
    assert {Path(each["prediction_file"]).name for each in summary["metric_per_case"]} == {
        f"{case}.nii.gz" for case in cases
    }
    assert set(summary["mean"]) == {"1", "2", "3"}

    # --val again, from the checkpoint, without the prior; and predict-hr on the very stacks that --val has simulated.
    resumed = make_hr_trainer(ACNNSubPixelSegTrainer, block={**block, "num_epochs": 3})
    resumed.load_checkpoint(str(folder / "checkpoint_final.pth"))
    resumed.perform_actual_validation()
    outcome = predict_hr(
        folder / "validation_stacks",
        tmp_path / "out",
        PredictHROptions("77", hr_configuration, "ACNNSubPixelSegTrainer", folds=(0,)),
    )
    assert outcome.complete, outcome.text
    for case in cases:
        for where in (folder / "validation", tmp_path / "out"):
            repeated = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(where / f"{case}.nii.gz")))
            np.testing.assert_array_equal(repeated, first[case])

    resumed.run_training()
    assert len(json.loads((folder / "acnn_log.json").read_text())["prior_loss"]) == 3

    predictor = nnUNetPredictor(device=torch.device("cpu"))
    with pytest.raises(NotImplementedError, match="predict with acnn-nnunet predict-hr -d DATASET"):
        predictor.initialize_from_trained_model_folder(str(folder.parent), (0,))
    with pytest.raises(ValueError, match="was trained by ACNNSubPixelSegTrainer, only ACNNTrainer's network"):
        export_stock(folder.parent, tmp_path / "exported")


def test_validation_without_raw_images_names_the_remedy(make_hr_trainer, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "elsewhere"))
    trainer = make_hr_trainer(SubPixelSegTrainer)
    trainer.on_train_start()
    assert "WARNING: validation after training, and --val, will not be possible" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match=r"elsewhere.*lacks images of .*set nnUNet_raw to the folder"):
        trainer.perform_actual_validation()
    monkeypatch.delenv("nnUNet_raw")
    with pytest.raises(FileNotFoundError, match="nnUNet_raw is not set"):
        trainer.perform_actual_validation()


def test_seeded_runs_repeat(make_hr_trainer):
    def run():
        return steps(start(make_hr_trainer(SubPixelSegTrainer, block={"seed": 3, "slice_motion_mm": 5.0})), 2)

    assert run() == run()


def test_distributed_processes_draw_their_own_motion(make_hr_trainer):
    moving = {"slice_motion_mm": 5.0}
    batch = made_up_batch(start(make_hr_trainer(SubPixelSegTrainer)))

    def stacks(rank, **block):
        torch.manual_seed(0)  # every process begins with the same
        trainer = make_hr_trainer(SubPixelSegTrainer, block={**moving, **block})
        trainer.local_rank = rank
        trainer.on_train_start()
        return trainer._with_stacks(batch)["data"]

    assert not torch.equal(stacks(0), stacks(1))
    assert torch.equal(stacks(0), stacks(0))
    assert not torch.equal(stacks(0, seed=None), stacks(1, seed=None))


def test_what_trains_is_what_predicts(make_hr_trainer):
    """A window of predict-hr is a forward pass of the training's network on a stack of the patch's size."""
    trainer = start(make_hr_trainer(SubPixelSegTrainer))
    stack = trainer._with_stacks(made_up_batch(trainer))["data"]
    model = trainer._simulated_validation().model
    with torch.no_grad():
        expected = trainer.network.eval()(stack[:1])[0]
    output = predict_sliding_window(
        model.bundle.network,
        stack[0],
        patch_size=model.lr_patch_size,
        factor=model.through_plane.factor,
        axis=model.through_plane.axis,
    )
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_one_network_for_several_factors_and_gaps(make_hr_trainer):
    trainer = start(make_hr_trainer(SubPixelSegTrainer, block={"factors": "2,4", "slice_gap_mm": "0,1"}))
    target = tuple(trainer.configuration_manager.patch_size)
    seen = set()
    for _ in range(8):
        batch = next(trainer.dataloader_train)
        made = trainer._stacks_of(batch)
        seen.add(made.factor)
        assert trainer.network(made.stack).shape == (2, 4, *target)
    assert seen == {2, 4}
    assert np.isfinite(steps(trainer, 2)).all()
    model = trainer._simulated_validation().model
    assert model.factors == (2, 4)
    assert trainer.acquisition.thickness_mm == pytest.approx(2 * trainer.configuration_manager.spacing[0] - 0.5)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"slice_gap_mm": 50}, r"slice_gap_mm=50 leaves no slice of the .* mm between two of 3d_hr_x2 of Dataset077"),
        ({"slice_gap_mm": -50}, r"slice_gap_mm of 3d_hr_x2 of .* makes slices of .* more than twice their spacing"),
        ({"factors": "1,2"}, r"factors must be whole numbers such as 4,5,6, got '1,2' \(a factor is 2 or more\)"),
    ],
)
def test_gaps_and_factors_that_cannot_be(make_hr_trainer, block, message):
    with pytest.raises(ValueError, match=message):
        make_hr_trainer(SubPixelSegTrainer, block=block)
