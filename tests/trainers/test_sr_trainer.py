"""SRTrainer, ACNNSRTrainer and SRCNNTrainer in the host's hands."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch

from acnn_nnunet.sr.inference.command import PredictHROptions, predict_hr
from acnn_nnunet.sr.srcnn import SRCNN
from acnn_nnunet.sr.upsampling import interpolate_slices
from acnn_nnunet.trainers import ACNNSRTrainer, SRCNNTrainer, SRTrainer


@pytest.fixture
def make_predicting_prior(make_prior, hr_configuration):
    """Return a function that leaves a prior whose file says that its predictor was trained."""

    def make(**kwargs) -> Path:
        path = make_prior(configuration=hr_configuration, **kwargs)
        checkpoint = torch.load(path, weights_only=True)
        checkpoint["shape_prior"]["stage"] = "joint"
        torch.save(checkpoint, path)
        return path

    return make


def start(trainer):
    trainer.initialize()
    trainer._seed()
    trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()
    trainer.on_train_epoch_start()
    return trainer


@pytest.mark.parametrize("trainer_class", [SRTrainer, SRCNNTrainer])
def test_training_begins_at_interpolation_and_the_loss_falls(make_hr_trainer, trainer_class):
    trainer = start(make_hr_trainer(trainer_class))
    batch = next(trainer.dataloader_train)
    stacks = trainer._with_stacks(batch)
    (target,) = stacks["target"]
    assert torch.equal(target.image, batch["data"])
    with torch.no_grad():
        output = trainer.network(stacks["data"])
    interpolated = interpolate_slices(stacks["data"], 2, axis=trainer.through_plane.axis)
    torch.testing.assert_close(output, interpolated)
    # In the image's own unit it is the interpolation of what the slices show of it.
    in_images_unit = interpolate_slices(trainer._simulate(target.image), 2, axis=trainer.through_plane.axis)
    torch.testing.assert_close(target.of_output(output), in_images_unit, rtol=1e-4, atol=1e-4)
    # Waves along the slices can be restored, the phantoms' noise cannot. The host's SGD takes a hundred steps to start.
    z = torch.arange(batch["data"].shape[2]).view(-1, 1, 1)
    wave = torch.sin(2 * torch.pi * z / 5) + torch.zeros_like(batch["data"])
    trainer.optimizer = torch.optim.Adam(trainer.network.parameters(), 1e-2)
    losses = [float(trainer.train_step({**batch, "data": wave})["loss"]) for _ in range(10)]
    assert losses[-1] < 0.8 * losses[0]


def test_srcnn_is_as_large(make_hr_trainer):
    sizes = []
    for trainer_class in (SRTrainer, SRCNNTrainer):
        trainer = make_hr_trainer(trainer_class)
        trainer.initialize()
        sizes.append(sum(parameter.numel() for parameter in trainer.network.parameters()))
    assert isinstance(trainer.network, SRCNN)
    # One hidden channel more or less is the nearest that a width can come.
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


def test_validation_measures_r_squared(make_hr_trainer):
    trainer = start(make_hr_trainer(SRTrainer))
    batches = [next(trainer.dataloader_val) for _ in range(2)]
    outputs = [trainer.validation_step(dict(batch)) for batch in batches]
    trainer.on_validation_epoch_end(outputs)
    error = total = 0.0
    for batch in batches:
        stacks = trainer._with_stacks(batch)
        (target,) = stacks["target"]
        with torch.no_grad():
            predicted = target.of_output(trainer.network(stacks["data"])).numpy()
        image = batch["data"].numpy()
        error += ((predicted - image) ** 2).sum()
        total += sum(sample.size * sample.var() for sample in image.astype(np.float64))
    assert trainer.logger.get_value("mean_fg_dice", step=-1) == pytest.approx(1 - error / total, rel=1e-4)
    assert trainer.acnn_log.values["r_squared"] == [pytest.approx(1 - error / total, rel=1e-4)]
    image = batches[-1]["data"].numpy()
    psnr = [
        10 * np.log10(np.ptp(sample) ** 2 / np.square(sample - other).mean())
        for sample, other in zip(image, predicted, strict=True)
    ]
    assert outputs[-1]["psnr_db"] == pytest.approx(np.mean(psnr), rel=1e-4)
    assert outputs[-1]["mae"] == pytest.approx(np.abs(image - predicted).mean(), rel=1e-4)


def test_the_prior_is_felt_and_stays_frozen(make_hr_trainer, make_predicting_prior):
    make_predicting_prior()
    trainer = start(make_hr_trainer(ACNNSRTrainer, block={"prior_warm_up": 0}))
    prior, weights = (copy.deepcopy(network.state_dict()) for network in (trainer.prior.network, trainer.network))
    for _ in range(2):
        assert np.isfinite(trainer.train_step(next(trainer.dataloader_train))["loss"])
    statistics = trainer.loss.take_statistics()
    assert statistics["image_loss"] > 0
    assert statistics["prior_distance"] > 0
    assert statistics["gradient_ratio"] == pytest.approx(0.3, rel=1e-3)
    assert any(not torch.equal(value, weights[name]) for name, value in trainer.network.state_dict().items())
    assert all(torch.equal(value, prior[name]) for name, value in trainer.prior.network.state_dict().items())
    optimised = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert optimised == {id(p) for p in trainer.network.parameters()}


def test_without_weight_it_is_sr_step_for_step(make_hr_trainer):
    def run(trainer_class, **block):
        trainer = start(make_hr_trainer(trainer_class, block=block))
        return [float(trainer.train_step(next(trainer.dataloader_train))["loss"]) for _ in range(3)]

    assert run(ACNNSRTrainer, prior_weight=0) == run(SRTrainer)


def test_what_a_predictor_cannot_do_is_refused(make_hr_trainer, make_prior, hr_configuration):
    make_prior(configuration=hr_configuration)
    with pytest.raises(ValueError, match=r"has no trained predictor.*nnUNetv2_train 77 3d_hr_x2 0 -tr ShapePrior"):
        make_hr_trainer(ACNNSRTrainer).initialize()
    with pytest.raises(NotImplementedError, match=r"compares codes of whole patches.*configure grid=patch"):
        make_hr_trainer(ACNNSRTrainer, block={"grid": "roi"}).initialize()
    with pytest.raises(NotImplementedError, match="with feature_weight=0 and reconstruction_weight=0"):
        make_hr_trainer(ACNNSRTrainer, block={"feature_weight": 1.0}).initialize()


def test_training_validation_and_prediction(make_hr_trainer, make_predicting_prior, hr_configuration, tmp_path):
    make_predicting_prior()
    trainer = make_hr_trainer(ACNNSRTrainer)
    trainer.run_training()
    folder = Path(trainer.output_folder)
    log = json.loads((folder / "acnn_log.json").read_text())
    assert set(log) >= {"image_loss", "gradient_ratio", "mae", "psnr_db", "r_squared"}
    assert all(len(values) == 2 and np.isfinite(values).all() for values in log.values())

    trainer.perform_actual_validation()
    _, cases = trainer.do_split()
    summary = json.loads((folder / "validation" / "summary.json").read_text())
    assert sorted(summary["metric_per_case"]) == [f"{case}_0000" for case in sorted(cases)]
    assert summary["num_scored"] == len(cases)
    assert summary["metrics"]["psnr_db"]["mean"] > 10
    outcome = predict_hr(
        folder / "validation_stacks",
        tmp_path / "out",
        PredictHROptions("77", hr_configuration, "ACNNSRTrainer", folds=(0,)),
    )
    assert outcome.complete, outcome.text
    for case in cases:
        expected, found = (
            SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(where / f"{case}_0000.nii.gz")))
            for where in (folder / "validation", tmp_path / "out")
        )
        # NIfTI keeps spacings in float32, so that intensities are resampled by almost the same numbers.
        np.testing.assert_allclose(found, expected, atol=1e-5)
