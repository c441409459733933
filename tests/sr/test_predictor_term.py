"""The distance of codes that a frozen predictor reads from images."""

import copy

import pytest
import torch

from acnn_nnunet.shape_prior.loss.distances import SquaredDistance
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork
from acnn_nnunet.sr.image_target import ImageTarget
from acnn_nnunet.sr.predictor_term import PredictorTerm


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
