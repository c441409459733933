"""The smooth ℓ1 loss, by hand, and the unit that it is taken in; the distance of codes of a frozen predictor."""

import copy

import pytest
import torch

from acnn_nnunet.shape_prior.loss.distances import SquaredDistance
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork
from acnn_nnunet.sr.training.image_loss import HuberLoss, ImageTarget, PredictorTerm


def target_of(values, scale=1.0, offset=0.0) -> ImageTarget:
    shape = (len(values), 1, 1, 1, 1)
    return ImageTarget(
        torch.tensor(values).view(shape), torch.full((len(values), 1, 1, 1, 1), scale), torch.full(shape, offset)
    )


def test_the_papers_smooth_l1():
    # Ψ(0) = 0, Ψ(0.5) = 0.125, Ψ(1) = 0.5, Ψ(−3) = 2.5.
    output = torch.tensor([1.0, 0.5, 3.0, -3.0]).view(4, 1, 1, 1, 1)
    loss = HuberLoss()(output, [target_of([1.0, 0.0, 2.0, 0.0])])
    torch.testing.assert_close(loss, torch.tensor((0 + 0.125 + 0.5 + 2.5) / 4))


def test_outputs_are_brought_to_the_images_unit():
    # 2·0.5 + 1 = 2: no error; in bfloat16, as under autocast, the loss is float32.
    output = torch.full((1, 1, 1, 1, 1), 0.5, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = HuberLoss()(output, [target_of([2.0], scale=2.0, offset=1.0)])
    assert loss.dtype == torch.float32
    assert loss == 0


def test_a_target_goes_to_a_device_as_a_tensor_does():
    moved = target_of([1.0]).to(torch.device("meta"), non_blocking=True)
    assert {each.device.type for each in (moved.image, moved.scale, moved.offset)} == {"meta"}


@pytest.fixture
def predictor():
    network = TLNetwork((8, 16, 16), num_classes=2, image_channels=1, code_size=4)
    for _ in range(10):  # batch statistics of some training: with the initial ones a ReLU may be dead
        network.predictor(torch.randn(4, 1, 8, 16, 16))
    return network.predictor


def test_zero_for_the_same_image_whatever_its_unit(predictor):
    image = torch.randn(2, 1, 8, 16, 16)
    target = ImageTarget(image, torch.full((2, 1, 1, 1, 1), 0.5), torch.full((2, 1, 1, 1, 1), 3.0))
    term = PredictorTerm(predictor, distance=SquaredDistance())
    values = term((image - 3) / 0.5, target)
    assert values.terms["distance"].item() == pytest.approx(0, abs=1e-6)
    assert values.shares == {}


def test_the_mean_squared_distance_of_codes(predictor):
    image, output = torch.randn(2, 2, 1, 8, 16, 16)
    term = PredictorTerm(predictor, distance=SquaredDistance())
    with torch.no_grad():
        expected = ((predictor.eval()(output) - predictor(image)) ** 2).sum(1).mean()
    ones = torch.ones(2, 1, 1, 1, 1)
    values = term(output, ImageTarget(image, ones, 0 * ones))
    torch.testing.assert_close(values.terms["distance"], expected)


def test_gradient_flows_through_the_output_alone_and_nothing_of_the_predictor_changes(predictor):
    output = torch.randn(2, 1, 8, 16, 16, requires_grad=True)
    image = torch.randn(2, 1, 8, 16, 16, requires_grad=True)
    ones = torch.ones(2, 1, 1, 1, 1)
    term = PredictorTerm(predictor, distance=SquaredDistance()).train()
    before = copy.deepcopy(predictor.state_dict())
    term(output, ImageTarget(image, ones, 0 * ones)).terms["distance"].backward()
    assert output.grad.abs().sum() > 0
    assert image.grad is None
    assert all(parameter.grad is None for parameter in predictor.parameters())
    assert not any(module.training for module in term.modules())
    assert all(torch.equal(value, before[name]) for name, value in predictor.state_dict().items())


def test_float32_under_autocast(predictor):
    ones = torch.ones(1, 1, 1, 1, 1)
    output, image = torch.randn(2, 1, 1, 8, 16, 16)
    term = PredictorTerm(predictor, distance=SquaredDistance())
    target = ImageTarget(image, ones, 0 * ones)
    expected = term(output, target).terms["distance"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = term(output, target).terms["distance"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
