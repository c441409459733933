"""Tables IV and V, layer by layer, and what becomes of them on other grids."""

import math

import pytest
import torch
from torch import nn

from acnn_nnunet.shape_prior.networks.architecture import grid_sizes, plan_autoencoder, plan_predictor
from acnn_nnunet.shape_prior.networks.autoencoder import Decoder, Encoder
from acnn_nnunet.shape_prior.networks.tl_network import Predictor

PAPER = (120, 120, 60)
# (kernel, stride, kernels, normalised, non-linearity) row by row as printed.
TABLE_V_ENCODER = [
    ((3, 3, 3), (2, 2, 1), 16, True),
    ((3, 3, 3), (1, 1, 1), 16, True),
    ((3, 3, 3), (2, 2, 2), 32, True),
    ((3, 3, 3), (1, 1, 1), 32, True),
    ((3, 3, 3), (2, 2, 2), 64, True),
    ((3, 3, 3), (1, 1, 1), 64, True),
    ((3, 3, 3), (3, 3, 3), 1, True),
]
TABLE_V_DECODER = [
    ((7, 7, 7), (3, 3, 3), 64, True),
    ((3, 3, 3), (1, 1, 1), 64, True),
    ((4, 4, 4), (2, 2, 2), 32, True),
    ((3, 3, 3), (1, 1, 1), 32, True),
    ((4, 4, 4), (2, 2, 2), 16, True),
    ((3, 3, 3), (1, 1, 1), 16, True),
    ((4, 4, 1), (2, 2, 1), 16, True),
    ((3, 3, 3), (1, 1, 1), 3, False),
]
TABLE_IV = [
    ((3, 3, 3), (1, 1, 1), 32, True),
    ((3, 3, 3), (1, 1, 1), 32, True),
    ((3, 3, 3), (2, 2, 2), 64, True),
    ((3, 3, 3), (1, 1, 1), 64, True),
    ((3, 3, 3), (2, 2, 2), 128, True),
    ((3, 3, 3), (1, 1, 1), 128, True),
    ((3, 3, 3), (2, 2, 2), 256, True),
    ((3, 3, 3), (1, 1, 1), 1, False),
]


def rows(modules: list[nn.Module]) -> list[tuple]:
    """Read (kernel, stride, kernels, normalised) of each convolution off a list of modules in forward order."""
    table = []
    for module in modules:
        if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
            table.append([module.kernel_size, module.stride, module.out_channels, False])
        elif isinstance(module, nn.BatchNorm3d):
            table[-1][3] = True
    return [tuple(row) for row in table]


def leaves(module: nn.Module) -> list[nn.Module]:
    return [leaf for leaf in module.modules() if not list(leaf.children())]


def test_encoder_is_table_v():
    plan = plan_autoencoder(PAPER, num_classes=3)
    encoder = Encoder(plan, in_channels=3, code_size=64)
    assert rows(leaves(encoder)) == TABLE_V_ENCODER
    assert plan.sizes[1:] == ((60, 60, 60), (30, 30, 30), (15, 15, 15), (5, 5, 5))
    assert plan.bottleneck == (1, 5, 5, 5)
    assert (encoder.to_code.in_features, encoder.to_code.out_features) == (125, 64)
    # Every convolution is followed by a ReLU, the fully connected layer by nothing.
    assert sum(isinstance(leaf, nn.ReLU) for leaf in leaves(encoder)) == len(TABLE_V_ENCODER)
    assert leaves(encoder)[-1] is encoder.to_code


def test_decoder_is_table_v():
    plan = plan_autoencoder(PAPER, num_classes=3)
    decoder = Decoder(plan, out_channels=3, code_size=64)
    convolutions = [
        leaf for pair in zip(decoder.upsampling, decoder.refinement, strict=True) for m in pair for leaf in leaves(m)
    ]
    assert rows(convolutions) == TABLE_V_DECODER
    linear, relu = decoder.from_code
    assert (linear.in_features, linear.out_features) == (64, 125)
    assert isinstance(relu, nn.ReLU)
    assert not isinstance(convolutions[-1], nn.ReLU)


def test_a_halved_predictor_has_the_same_scales_each_of_them_coarser():
    plan = plan_predictor((40, 56, 6), halved=True)
    assert plan.features == plan_predictor((40, 56, 6)).features
    # Axes shorter than 8 voxels are left as they are.
    assert plan.strides == ((2, 2, 1), (2, 2, 1), (2, 2, 1), (1, 1, 1))
    assert plan_predictor((40, 56, 6)).strides == ((1, 1, 1), (2, 2, 1), (2, 2, 1), (2, 2, 1))


def test_predictor_is_table_iv():
    plan = plan_predictor(PAPER)
    predictor = Predictor(plan, in_channels=1, code_size=64)
    assert rows(leaves(predictor)) == TABLE_IV
    assert plan.sizes[-1] == (15, 15, 8)
    assert predictor.to_code.out_features == 64
    assert sum(isinstance(leaf, nn.ReLU) for leaf in leaves(predictor)) == len(TABLE_IV)
    assert leaves(predictor)[-1] is predictor.to_code


def test_paper_networks_return_the_printed_sizes():
    plan = plan_autoencoder(PAPER, num_classes=3)
    with torch.no_grad():
        code = Encoder(plan, in_channels=3, code_size=64).eval()(torch.rand(1, 3, *PAPER))
        assert code.shape == (1, 64)
        assert code.min() < 0 < code.max()
        assert Decoder(plan, out_channels=3, code_size=64).eval()(code).shape == (1, 3, *PAPER)
        assert Predictor(plan_predictor(PAPER), in_channels=1, code_size=64).eval()(
            torch.randn(1, 1, *PAPER)
        ).shape == (1, 64)


@pytest.mark.parametrize("grid", [(60, 120, 120), (120, 60, 120)])
def test_paper_grid_in_any_axis_order(grid):
    plan = plan_autoencoder(grid, num_classes=3)
    assert plan.bottleneck == (1, 5, 5, 5)
    assert plan.strides[0] == tuple(2 if n == 120 else 1 for n in grid)


@pytest.mark.parametrize(
    "grid",
    [(40, 56, 40), (16, 256, 224), (20, 320, 256), (128, 128, 128), (13, 37, 71), (56, 40), (512, 448), (8, 8, 8)],
)
@pytest.mark.parametrize("code_size", [64, 256])
def test_other_grids(grid, code_size):
    plan = plan_autoencoder(grid, num_classes=4, code_size=code_size)
    # The nearest a factor of 2 or 3 can bring an axis to 5 is within 4…7, unless the axis is shorter to begin with.
    assert all(min(n, 4) <= bottleneck <= 7 for n, bottleneck in zip(grid, plan.sizes[-1], strict=True))
    assert not plan.rectified_bottleneck
    features = math.prod(plan.bottleneck)
    assert features >= 2 * code_size
    assert features - math.prod(plan.sizes[-1]) < 2 * code_size
    if math.prod(grid) > 100_000:
        return
    labels = torch.rand(2, 4, *grid)
    with torch.no_grad():
        code = Encoder(plan, in_channels=4, code_size=code_size)(labels)
        assert code.shape == (2, code_size)
        assert Decoder(plan, out_channels=4, code_size=code_size)(code).shape == labels.shape
        predictor = Predictor(plan_predictor(grid, code_size=code_size), in_channels=2, code_size=code_size)
        assert predictor(torch.randn(2, 2, *grid)).shape == (2, code_size)


def test_one_axis_is_refused():
    with pytest.raises(ValueError, match="2D or 3D"):
        plan_autoencoder((64,), num_classes=2)


def test_grid_sizes_are_what_strided_convolutions_give():
    (_, size) = grid_sizes((7, 8, 9), [(2, 3, 2)])
    assert size == tuple(nn.Conv3d(1, 1, 3, stride=(2, 3, 2), padding=1)(torch.zeros(1, 1, 7, 8, 9)).shape[2:])


def test_a_far_off_prediction_still_has_a_gradient():
    """The uniform map of an untrained segmenter is no anatomy; with a ReLU in front of the code it may move nothing."""
    encoder = Encoder(plan_autoencoder((16, 16, 16), num_classes=4), in_channels=4, code_size=64)
    for _ in range(20):
        encoder(torch.rand(2, 4, 16, 16, 16).round())
    maps = torch.full((1, 4, 16, 16, 16), 0.25, requires_grad=True)
    encoder.eval()(maps).square().sum().backward()
    assert maps.grad.norm() > 0
