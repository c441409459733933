"""Trainers whose networks nnUNetv2_predict cannot run."""

import pytest
import torch

from acnn_nnunet.trainers import AESegTrainer, SRTrainer, SubPixelSegTrainer


@pytest.mark.parametrize(
    ("trainer_class", "command"),
    [(AESegTrainer, "acnn-nnunet refine"), (SubPixelSegTrainer, "predict-hr"), (SRTrainer, "predict-hr")],
)
def test_prediction_by_the_host_is_refused_with_the_command_that_predicts(trainer_class, command):
    with pytest.raises(NotImplementedError, match=command):
        trainer_class.build_network_architecture(None, None, 1, 2)


def test_training_builds_the_trainers_own_network_with_one_output(make_trainer):
    trainer = make_trainer(AESegTrainer)
    arguments = (trainer.plans_manager, trainer.configuration_manager, 4, 4)
    built, own = (build(*arguments) for build in (trainer.build_network_architecture, AESegTrainer.build_own_network))
    assert {n: p.shape for n, p in built.named_parameters()} == {n: p.shape for n, p in own.named_parameters()}
    assert trainer.enable_deep_supervision is False


def test_a_network_with_one_output_knows_no_deep_supervision(make_trainer):
    trainer = make_trainer(AESegTrainer, block={"deep_supervision": True})
    trainer.initialize()

    trainer.set_deep_supervision_enabled(True)  # the host asks for it before and after a validation

    assert trainer.enable_deep_supervision is False
    assert isinstance(trainer.network(torch.zeros(1, 4, *trainer.configuration_manager.patch_size)), torch.Tensor)
