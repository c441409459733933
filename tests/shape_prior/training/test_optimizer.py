"""Learning rates of a prior's training, before every step."""

import math

import pytest
import torch

from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork
from acnn_nnunet.shape_prior.training.optimizer import prior_optimizer


def learning_rates(architecture: str) -> list[list[float]]:
    """Return each group's learning rate at the 40 steps of 4 epochs."""
    network = TLNetwork((8, 8), num_classes=2, image_channels=1, code_size=2, architecture=architecture)
    optimizer, scheduler = prior_optimizer(
        network, architecture=architecture, weight_decay=0.0, num_epochs=4, steps_per_epoch=10
    )
    seen: list[list[float]] = []
    optimizer.register_step_post_hook(lambda *_: seen.append([group["lr"] for group in optimizer.param_groups]))
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))
    for epoch in range(4):
        scheduler.step(epoch)
        for _ in range(10):
            optimizer.step()
    return seen


def test_a_cnn_decays_by_epochs_as_the_host_does():
    rates = learning_rates("cnn")
    assert [rate for (rate,) in rates] == pytest.approx([3e-3 * (1 - i // 10 / 4) ** 0.9 for i in range(40)])


def test_a_hybrid_warms_up_and_falls_as_a_cosine():
    autoencoder, predictor = zip(*learning_rates("hybrid"), strict=True)
    assert autoencoder[:4] == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3])
    # Half of what is left after the warm-up: step 4 + 36 / 2.
    assert autoencoder[22] == pytest.approx(0.5e-3)
    assert autoencoder[13] == pytest.approx(0.5e-3 * (1 + math.cos(math.pi / 4)))
    assert autoencoder[-1] < 0.01e-3
    assert predictor == pytest.approx([3e-3 * (1 - i / 40) ** 0.9 for i in range(40)])


def test_a_state_goes_on():
    network = TLNetwork((8, 8), num_classes=2, image_channels=1, code_size=2, architecture="hybrid")
    options = {"architecture": "hybrid", "weight_decay": 0.0, "num_epochs": 4, "steps_per_epoch": 10}
    first, schedule = prior_optimizer(network, **options)
    schedule.step(2)
    second, schedule = prior_optimizer(network, **options)
    second.load_state_dict(first.state_dict())
    schedule.step(2)
    second.step()
    assert [g["lr"] for g in second.param_groups] == pytest.approx([g["lr"] for g in first.param_groups], rel=0.03)
    assert torch.tensor([g["lr"] for g in second.param_groups]).min() > 1e-4
