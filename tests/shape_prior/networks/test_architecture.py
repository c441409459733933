"""Tables IV and V, layer by layer, and what becomes of them on other grids."""

import math

import pytest
import torch
from torch import nn

from acnn_nnunet.shape_prior.networks.architecture import (
    EncoderPlan,
    grid_sizes,
    plan_autoencoder,
    plan_hybrid_autoencoder,
    plan_pooling,
    plan_predictor,
)
from acnn_nnunet.shape_prior.networks.autoencoder import Decoder, Encoder
from acnn_nnunet.shape_prior.networks.tl_network import Predictor


def test_a_halved_predictor_has_the_same_scales_each_of_them_coarser():
    plan = plan_predictor((40, 56, 6), halved=True)
    assert plan.features == plan_predictor((40, 56, 6)).features
    # Axes shorter than 8 voxels are left as they are.
    assert plan.strides == ((2, 2, 1), (2, 2, 1), (2, 2, 1), (1, 1, 1))
    assert plan_predictor((40, 56, 6)).strides == ((1, 1, 1), (2, 2, 1), (2, 2, 1), (2, 2, 1))


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


def test_sizes_and_bottleneck_of_a_plan_by_hand():
    plan = EncoderPlan((9, 8), ((2, 2), (3, 1)), (16,), 7, rectified_bottleneck=False)

    assert plan.sizes == ((9, 8), (5, 4), (2, 4))
    assert plan.bottleneck == (7, 2, 4)


def test_a_grid_of_one_voxel_keeps_it():
    plan = plan_autoencoder((1, 1), num_classes=2, code_size=3)

    # One scale that halves nothing, and 6 channels: twice as many numbers as the code has.
    assert (plan.strides, plan.features, plan.bottleneck) == (((1, 1), (1, 1)), (16,), (6, 1, 1))


def test_the_papers_grid_with_other_classes_is_not_the_papers():
    plan = plan_autoencoder((60, 120, 120), num_classes=4)

    # 5 × 5 × 5 voxels: two channels are the fewest that hold 2 · 64 numbers.
    assert (plan.bottleneck, plan.rectified_bottleneck) == ((2, 5, 5, 5), False)


def test_a_hybrid_of_a_grid_of_one_voxel():
    plan = plan_hybrid_autoencoder((1, 1), spacing_mm=(1.0, 1.0), code_size=2)

    assert (plan.strides, plan.features, plan.bottleneck) == (((1, 1), (1, 1)), (16,), (8, 1, 1))


def test_thick_slices_of_a_hybrid_are_spared_until_the_plane_is_as_coarse():
    # 16 · 64 · 64 voxels of 4 × 1 × 1 mm: halved in the plane to 2 and 4 mm, which leaves 16 · 16 · 16 = 4096 voxels,
    # then along all axes to 8 · 8 · 8 = 512, fewer than 1500.
    plan = plan_hybrid_autoencoder((16, 64, 64), spacing_mm=(4.0, 1.0, 1.0))

    assert plan.strides == ((1, 2, 2), (1, 2, 2), (2, 2, 2), (1, 1, 1))


def test_pooling_by_hand():
    # One map of 64 · 64 voxels is less than 131072 values: halved once.
    assert plan_pooling((64, 64), spacing_mm=(1.0, 1.0), channels=1) == (2, 2)
    # With 128 channels 1024 voxels are allowed: 32 · 32 are as many.
    assert plan_pooling((64, 64), spacing_mm=(1.0, 1.0), channels=128) == (2, 2)
    assert plan_pooling((64, 64), spacing_mm=(1.0, 1.0), channels=129) == (4, 4)


def test_a_slice_that_is_thick_is_not_pooled():
    assert plan_pooling((16, 64, 64), spacing_mm=(8.0, 1.0, 1.0), channels=2) == (1, 2, 2)


def test_no_strides_leave_the_grid():
    assert grid_sizes((7, 8), []) == ((7, 8),)
