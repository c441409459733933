"""ACNNSubPixelSegTrainer and ACNNSRTrainer in the host's hands."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from started_trainers import made_up_batch, start, steps

from acnn_nnunet.sr.inference.command import PredictHROptions, predict_hr
from acnn_nnunet.trainers import (
    ACNNSRTrainer,
    ACNNSubPixelSegTrainer,
    ACNNTrainer,
    SRTrainer,
    SubPixelSegTrainer,
)

REGIONS = {
    "labels": {"background": 0, "heart": [1, 2, 3], "left": [2, 3], "cavity": [3]},
    "regions_class_order": [1, 2, 3],
}
IGNORE = {"labels": {"background": 0, "RV": 1, "MYO": 2, "ignore": 3}}


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


@pytest.fixture
def make_hr_prior(make_prior, hr_configuration):
    return lambda **kwargs: make_prior(configuration=hr_configuration, **kwargs)


@pytest.mark.parametrize("labels", [None, REGIONS, IGNORE], ids=["labels", "regions", "ignore"])
def test_every_kind_of_label_feels_the_prior_which_stays_frozen(make_hr_trainer, make_hr_prior, labels):
    make_hr_prior(labels=labels)
    trainer = make_hr_trainer(ACNNSubPixelSegTrainer, labels=labels, block={"prior_warm_up": 0})
    trainer.initialize()
    trainer.on_train_epoch_start()
    prior, weights = (copy.deepcopy(network.state_dict()) for network in (trainer.prior.network, trainer.network))
    assert all(np.isfinite(trainer.train_step(made_up_batch(trainer))["loss"]) for _ in range(2))
    statistics = trainer.loss.take_statistics()
    assert statistics["prior_distance"] > 0
    assert statistics["gradient_ratio"] == pytest.approx(0.3, rel=1e-3)
    assert any(not torch.equal(value, weights[name]) for name, value in trainer.network.state_dict().items())
    assert all(torch.equal(value, prior[name]) for name, value in trainer.prior.network.state_dict().items())
    optimised = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert optimised == {id(p) for p in trainer.network.parameters()}
    with torch.no_grad():
        trainer.on_validation_epoch_start()
        assert np.isfinite(trainer.validation_step(made_up_batch(trainer))["loss"])


def test_without_weight_it_is_3d_seg_step_for_step(make_hr_trainer):
    plain = start(make_hr_trainer(SubPixelSegTrainer))
    losses = steps(plain, 3)
    acnn = start(make_hr_trainer(ACNNSubPixelSegTrainer, block={"prior_weight": 0}))
    assert steps(acnn, 3) == losses
    assert all(torch.equal(v, plain.network.state_dict()[n]) for n, v in acnn.network.state_dict().items())


def test_the_base_configurations_prior_serves_where_the_patch_is_equal(make_trainer, make_prior, make_hr_trainer):
    path = make_prior()
    trainer = make_hr_trainer(ACNNSubPixelSegTrainer)
    base = make_trainer(ACNNTrainer).configuration_manager
    assert list(trainer.configuration_manager.patch_size) == list(base.patch_size)
    trainer.initialize()
    assert trainer.prior.path == path
