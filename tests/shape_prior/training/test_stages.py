"""Stage boundaries."""

import pytest

from acnn_nnunet.shape_prior.networks.tl_network import Stage
from acnn_nnunet.shape_prior.training.stages import StageSchedule, TLLosses


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
