"""SRTrainer and SRCNNTrainer in the host's hands."""

import numpy as np
import pytest
import torch
from started_trainers import start

from acnn_nnunet.sr.degradation.acquisition import acquire
from acnn_nnunet.sr.srcnn import SRCNN
from acnn_nnunet.sr.upsampling import interpolate_slices
from acnn_nnunet.trainers import SRCNNTrainer, SRTrainer


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
    spacing_mm, axis = trainer.configuration_manager.spacing, trainer.through_plane.axis
    in_images_unit = interpolate_slices(acquire(target.image, trainer.acquisition, spacing_mm, axis=axis), 2, axis=axis)
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
