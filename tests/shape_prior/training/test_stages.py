"""Stage boundaries."""

import math

import pytest

from acnn_nnunet.shape_prior.networks.tl_network import Stage, TLNetwork
from acnn_nnunet.shape_prior.training.stages import StageSchedule, TLLosses, set_training_mode


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


def test_a_run_that_goes_on_obeys_the_settings_of_today():
    begun = StageSchedule(26)
    run(begun, [1 / (epoch + 1) for epoch in range(5)])
    shorter, alone = StageSchedule(13), StageSchedule(13, with_predictor=False)
    for schedule in (shorter, alone):
        schedule.load_state(begun.state())
    # 13 epochs are 9 for the autoencoder, 1 for the predictor and 3 for both.
    stages = run(shorter, [1 / (epoch + 10) for epoch in range(8)])
    assert stages == [Stage.AUTOENCODER] * 4 + [Stage.PREDICTOR] + [Stage.JOINT] * 3
    assert run(alone, [1 / (epoch + 10) for epoch in range(8)]) == [Stage.AUTOENCODER] * 8


@pytest.mark.parametrize(("epochs", "expected"), [(1, "a"), (2, "ap"), (3, "apj"), (4, "aapj"), (6, "aaaapj")])
def test_short_trainings_keep_an_epoch_for_every_stage_they_can(epochs, expected):
    schedule = StageSchedule(epochs)
    stages = run(schedule, [1 / (epoch + 1) for epoch in range(epochs)])
    assert "".join(stage.value[0] for stage in stages) == expected
    assert schedule.trained_stage is stages[-1]


def test_losses_are_brought_to_one_range_once():
    schedule = StageSchedule(3)
    assert schedule.code_loss_scale == 1
    schedule.end_epoch(TLLosses(reconstruction=0.2, code=40.0))
    schedule.end_epoch(TLLosses(reconstruction=0.2, code=4.0))
    assert schedule.code_loss_scale == pytest.approx(0.05)
    schedule.end_epoch(TLLosses(reconstruction=0.2, code=0.1))
    assert schedule.code_loss_scale == pytest.approx(0.05)


def test_a_first_loss_that_is_no_number_is_no_mark():
    """As on a box, where no validation patch of an epoch may hold the whole anatomy; the first shares are 14 and 2."""
    stages = run(StageSchedule(20), [math.nan, *[1 / (epoch + 1) for epoch in range(19)]])
    assert stages == [Stage.AUTOENCODER] * 14 + [Stage.PREDICTOR] * 2 + [Stage.JOINT] * 4


def test_the_range_of_the_code_loss_is_that_of_the_last_epoch_that_knew_it():
    schedule = StageSchedule(4)  # two epochs of the autoencoder, one of the predictor
    schedule.end_epoch(TLLosses(reconstruction=0.2, code=40.0))
    schedule.end_epoch(TLLosses(reconstruction=math.nan, code=math.nan))
    schedule.end_epoch(TLLosses(reconstruction=math.nan, code=math.nan))
    assert schedule.stage is Stage.JOINT
    assert schedule.code_loss_scale == pytest.approx(0.2 / 40)


def test_a_checkpoint_goes_on_where_it_was():
    first = StageSchedule(20)
    run(first, [1.0, 1.0])
    second = StageSchedule(20)
    second.load_state(first.state())
    assert second == first
    assert isinstance(second.stage, Stage)
    assert run(first, [1.0] * 5) == run(second, [1.0] * 5)


@pytest.mark.parametrize(("epochs", "patience"), [(1, 3), (15, 3), (19, 3), (20, 4), (100, 20)])
def test_patience_is_a_fifth_of_the_training_but_three_at_least(epochs, patience):
    assert StageSchedule(epochs).patience == patience


def test_a_gain_below_the_tolerance_is_none():
    schedule = StageSchedule(20)
    schedule.end_epoch(TLLosses(reconstruction=1.0, code=1.0))
    schedule.end_epoch(TLLosses(reconstruction=0.995, code=1.0))  # half a percent, not more

    assert (schedule.best, schedule.stale_epochs) == (1.0, 1)
    schedule.end_epoch(TLLosses(reconstruction=0.99, code=1.0))
    assert (schedule.best, schedule.stale_epochs) == (0.99, 0)


def test_a_loss_that_is_no_number_is_no_gain():
    schedule = StageSchedule(20)
    schedule.end_epoch(TLLosses(reconstruction=1.0, code=1.0))
    schedule.end_epoch(TLLosses(reconstruction=float("nan"), code=1.0))

    assert (schedule.best, schedule.stale_epochs) == (1.0, 1)


def test_codes_that_are_predicted_exactly_need_no_scale():
    schedule = StageSchedule(3)
    schedule.end_epoch(TLLosses(reconstruction=0.2, code=0.0))

    assert schedule.stage is Stage.PREDICTOR
    assert schedule.code_loss_scale == 1.0


def test_the_predictors_stage_looks_at_the_code_loss():
    schedule = StageSchedule(20, stage=Stage.PREDICTOR)
    schedule.end_epoch(TLLosses(reconstruction=0.2, code=3.0))

    assert schedule.best == 3.0


def test_the_joint_stage_never_ends():
    schedule = StageSchedule(2, stage=Stage.JOINT)

    assert not any(schedule.end_epoch(TLLosses(1.0, 1.0)) for _ in range(10))
    assert schedule.epochs_in_stage == 10


@pytest.mark.parametrize(
    ("stage", "trained"),
    [
        (Stage.AUTOENCODER, "encoder decoder"),
        (Stage.PREDICTOR, "predictor"),
        (Stage.JOINT, "encoder decoder predictor"),
    ],
)
def test_a_stage_freezes_what_it_does_not_train(stage, trained):
    network = TLNetwork((8, 8), num_classes=2, image_channels=1, code_size=2)

    set_training_mode(network, stage)

    for name in ("encoder", "decoder", "predictor"):
        part = getattr(network, name)
        assert part.training == (name in trained.split())
        assert {parameter.requires_grad for parameter in part.parameters()} == {name in trained.split()}
