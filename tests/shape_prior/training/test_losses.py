"""The losses of a T-L network's training, and the measures of its validation, by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from acnn_nnunet.shape_prior.grids.samples import samples_on_grid
from acnn_nnunet.shape_prior.grids.views import PatchGrid, RoiGrid
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.networks.tl_network import Stage, TLNetwork
from acnn_nnunet.shape_prior.training.losses import (
    ReconstructionLoss,
    code_loss,
    measure_batch,
    summarise_epoch,
    tl_loss,
)
from acnn_nnunet.shape_prior.training.stages import set_training_mode

LABELS, THREE_LABELS = LabelSpace(2), LabelSpace(3)
WITH_IGNORED = LabelSpace(2, ignore_label=2)
# Four annotated voxels, two of them foreground.
TARGET = torch.tensor([[0, 0, 1], [1, 2, 2]])[None, None]


@pytest.mark.parametrize(
    # Probabilities of a half: -ln 0.5; overlap 2 · 0.5, sizes 2 and 4 · 0.5, one voxel of smoothing: (2 + 1) / (4 + 1).
    # Of each of the two classes -ln 0.5.
    ("kind", "expected"),
    [("ce", math.log(2)), ("dice_ce", math.log(2) + 1 - 3 / 5), ("ce_per_class", 2 * math.log(2))],
)
def test_an_undecided_reconstruction(kind, expected):
    loss = ReconstructionLoss(WITH_IGNORED, kind=kind)
    logits = torch.zeros(1, 2, 2, 3)
    samples = samples_on_grid(torch.zeros(1, 1, 2, 3), TARGET, grid=PatchGrid((2, 3)), labels=WITH_IGNORED)
    assert loss(logits, TARGET).item() == pytest.approx(expected)
    assert loss.of_samples(logits, samples).item() == pytest.approx(expected)


def network(decisions: torch.Tensor) -> SimpleNamespace:
    """Codes of 1 for labels and 3 for images; a decoder that is sure of the given classes (…)."""
    logits = torch.stack([1.0 - decisions, decisions.float()])[None] * 9
    return SimpleNamespace(
        encoder=lambda maps: torch.ones(len(maps), 2),
        decoder=lambda code: logits.expand(len(code), *logits.shape[1:]),
        predictor=lambda image: torch.full((len(image), 2), 3.0),
    )


def test_a_reconstruction_of_half_the_label():
    target = torch.tensor([[0, 1, 1], [0, 0, 0]])[None, None]
    samples = samples_on_grid(torch.zeros(1, 1, 2, 3), target, grid=PatchGrid((2, 3)), labels=LABELS)
    decided = network(torch.tensor([[0, 1, 0], [0, 0, 0]]))
    measured = measure_batch(decided, samples, LABELS, lambda logits, _: logits.amax())
    assert measured["reconstruction_loss"] == 9
    assert measured["code_loss"] == 8  # (3 - 1)² twice
    assert measured["reconstruction_overlap"].tolist() == [4, 1]
    assert measured["reconstruction_sizes"].tolist() == [9, 3]
    losses, dice = summarise_epoch([measured], LABELS)
    assert (losses.reconstruction, losses.code) == (9, 8)
    assert dice.tolist() == pytest.approx([2 / 3])


def test_a_batch_without_a_sample_knows_no_loss():
    grid = RoiGrid((2, 2), spacing_mm=(1.0, 1.0), patch_spacing_mm=(1.0, 1.0))
    nothing = torch.zeros(1, 1, 6, 6, dtype=torch.int64)
    samples = samples_on_grid(torch.zeros(1, 1, 6, 6), nothing, grid=grid, labels=LABELS)
    empty = measure_batch(network(nothing[0, 0]), samples, LABELS, lambda *_: pytest.fail("there is no sample"))
    known = {
        "reconstruction_loss": np.array(1.0),
        "code_loss": np.array(2.0),
        "reconstruction_overlap": np.array([5.0, 3.0]),
        "reconstruction_sizes": np.array([10.0, 8.0]),
    }
    losses, dice = summarise_epoch([empty, known], LABELS)
    assert (losses.reconstruction, losses.code, dice.tolist()) == (1.0, 2.0, [0.75])
    losses, dice = summarise_epoch([empty], LABELS)
    assert np.isnan(losses.reconstruction)
    assert np.isnan(dice).tolist() == [True]  # neither there nor drawn: no Dice


def test_every_region_counts():
    output = {
        "reconstruction_loss": 0.0,
        "code_loss": 0.0,
        "reconstruction_overlap": np.array([1.0, 2.0]),
        "reconstruction_sizes": np.array([2.0, 8.0]),
    }
    assert summarise_epoch([output], LabelSpace(2, regions=True))[1].tolist() == [1.0, 0.5]


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
        THREE_LABELS.target_maps(target),
        stage=stage,
        reconstruction_loss=lambda logits: ReconstructionLoss(THREE_LABELS, kind="ce")(logits, target),
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
    (0.5 * code_loss(network.predictor(image), network.encoder(THREE_LABELS.target_maps(target)))).backward()
    for name, parameter in joint.encoder.named_parameters():
        expected = reconstruction.encoder.get_parameter(name).grad + network.encoder.get_parameter(name).grad
        assert torch.allclose(parameter.grad, expected, atol=1e-5, rtol=1e-3), name
    assert network.encoder.to_code.weight.grad.abs().sum() > 0


def test_code_loss_by_hand():
    # (9 + 16) and 0, averaged over two samples.
    assert code_loss(torch.tensor([[3.0, 4.0], [1, 1]]), torch.tensor([[0.0, 0.0], [1, 1]])).item() == 12.5
