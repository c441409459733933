"""Stage boundaries, what each stage trains, and the joint update."""

import pytest
import torch

from acnn_nnunet.shape_prior.label_space import LabelSpace
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork
from acnn_nnunet.shape_prior.training.stages import (
    Stage,
    StageSchedule,
    TLLosses,
    code_loss,
    set_training_mode,
    tl_loss,
)

LABELS = LabelSpace(3)


def run(schedule: StageSchedule, losses) -> list[Stage]:
    stages = []
    for loss in losses:
        stages.append(schedule.stage)
        schedule.end_epoch(TLLosses(reconstruction=loss, code=loss))
    return stages


def test_improving_stages_use_their_shares():
    stages = run(StageSchedule(20), [1 / (epoch + 1) for epoch in range(20)])
    assert stages == [Stage.AUTOENCODER] * 14 + [Stage.PREDICTOR] * 2 + [Stage.JOINT] * 4


def test_what_convergence_saves_goes_to_the_joint_stage():
    # Patience is 4: the first epoch sets the mark, four more do not improve on it.
    stages = run(StageSchedule(20), [1.0] * 20)
    assert stages == [Stage.AUTOENCODER] * 5 + [Stage.PREDICTOR] * 2 + [Stage.JOINT] * 13


def test_without_a_predictor_all_epochs_are_the_autoencoders():
    schedule = StageSchedule(20, with_predictor=False)
    assert run(schedule, [1.0] * 20) == [Stage.AUTOENCODER] * 20
    assert schedule.trained_stage is Stage.AUTOENCODER


@pytest.mark.parametrize(("epochs", "expected"), [(1, "a"), (2, "ap"), (3, "apj"), (4, "aapj"), (6, "aaaapj")])
def test_short_trainings_keep_an_epoch_for_every_stage_they_can(epochs, expected):
    schedule = StageSchedule(epochs)
    stages = run(schedule, [1 / (epoch + 1) for epoch in range(epochs)])
    assert "".join(stage.value[0] for stage in stages) == expected
    assert schedule.trained_stage is stages[-1]


def test_losses_are_brought_to_one_range_once():
    schedule = StageSchedule(3)
    schedule.end_epoch(TLLosses(reconstruction=0.2, code=40.0))
    schedule.end_epoch(TLLosses(reconstruction=0.2, code=4.0))
    assert schedule.code_loss_scale == pytest.approx(0.05)
    schedule.end_epoch(TLLosses(reconstruction=0.2, code=0.1))
    assert schedule.code_loss_scale == pytest.approx(0.05)


def test_a_checkpoint_goes_on_where_it_was():
    first = StageSchedule(20)
    run(first, [1.0, 1.0])
    second = StageSchedule(20)
    second.load_state(first.state())
    assert second == first
    assert isinstance(second.stage, Stage)
    assert run(first, [1.0] * 5) == run(second, [1.0] * 5)


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(4, 1, 16, 16, 16, generator=generator),
        torch.randint(3, (4, 1, 16, 16, 16), generator=generator),
    )


def gradients(stage: Stage, batch, *, scale: float = 1.0) -> tuple[TLNetwork, torch.Tensor]:
    torch.manual_seed(3)
    network = TLNetwork((16, 16, 16), num_classes=3, image_channels=1, code_size=8)
    set_training_mode(network, stage)
    image, target = batch
    loss = tl_loss(
        network,
        image,
        LABELS.target_maps(target),
        stage=stage,
        reconstruction_loss=lambda logits: LABELS.cross_entropy(logits, target),
        code_loss_scale=scale,
        corrupt=lambda maps: maps,
    )
    loss.backward()
    return network, loss.detach()


def has_gradient(module: torch.nn.Module) -> bool:
    return any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


@pytest.mark.parametrize(
    ("stage", "trained"),
    [
        (Stage.AUTOENCODER, {"encoder", "decoder"}),
        (Stage.PREDICTOR, {"predictor"}),
        (Stage.JOINT, {"encoder", "decoder", "predictor"}),
    ],
)
def test_each_stage_trains_its_networks_only(stage, trained, batch):
    network, _ = gradients(stage, batch)
    assert {name for name, module in network.named_children() if has_gradient(module)} == trained


def test_the_predictor_stage_leaves_batch_statistics_of_the_autoencoder_alone(batch):
    torch.manual_seed(3)
    before = TLNetwork((16, 16, 16), num_classes=3, image_channels=1, code_size=8).encoder.state_dict()
    network, _ = gradients(Stage.PREDICTOR, batch)
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items())


def test_both_gradients_reach_the_encoder_in_one_update(batch):
    """The joint gradient of the encoder is that of L_x plus the scaled one of L_h, each taken alone."""
    joint, _ = gradients(Stage.JOINT, batch, scale=0.5)
    reconstruction, _ = gradients(Stage.AUTOENCODER, batch)
    torch.manual_seed(3)
    network = TLNetwork((16, 16, 16), num_classes=3, image_channels=1, code_size=8)
    set_training_mode(network, Stage.JOINT)
    image, target = batch
    (0.5 * code_loss(network.predictor(image), network.encoder(LABELS.target_maps(target)))).backward()
    for name, parameter in joint.encoder.named_parameters():
        expected = reconstruction.encoder.get_parameter(name).grad + network.encoder.get_parameter(name).grad
        assert torch.allclose(parameter.grad, expected, atol=1e-5, rtol=1e-3), name
    assert network.encoder.to_code.weight.grad.abs().sum() > 0


def test_code_loss_by_hand():
    # (9 + 16) and 0, averaged over two samples.
    assert code_loss(torch.tensor([[3.0, 4.0], [1, 1]]), torch.tensor([[0.0, 0.0], [1, 1]])).item() == 12.5
