"""The hybrid autoencoder: sizes on any grid, pooling by spacing, and a gradient wherever a prediction may be."""

import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from acnn_nnunet.shape_prior.networks.architecture import plan_hybrid_autoencoder, plan_pooling
from acnn_nnunet.shape_prior.networks.hybrid_autoencoder import HybridDecoder, HybridEncoder, SoftDistance, pool
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork

HIPPOCAMPUS, ACDC = ((36, 48, 32), (1.0, 1.0, 1.0)), ((12, 72, 72), (10.0, 2.0, 2.0))


def hybrid(grid, spacing_mm=None, *, channels=3, code_size=6) -> TLNetwork:
    torch.manual_seed(0)
    return TLNetwork(
        grid,
        num_classes=channels,
        image_channels=1,
        code_size=code_size,
        architecture="hybrid",
        spacing_mm=spacing_mm,
    )


def test_thick_slices_are_halved_later():
    plans = [plan_hybrid_autoencoder(grid, spacing_mm=spacing) for grid, spacing in (HIPPOCAMPUS, ACDC)]
    assert plans[0].strides == ((2, 2, 2), (2, 2, 2), (1, 1, 1))
    assert plans[0].bottleneck == (8, 9, 12, 8)
    # 10 × 2 × 2 mm, 10 × 4 × 4 mm, 10 × 8 × 8 mm: only then is the slice as thick as a voxel is long.
    assert plans[1].strides == ((1, 2, 2), (1, 2, 2), (2, 2, 2), (1, 1, 1))
    assert plans[1].bottleneck == (8, 6, 9, 9)
    assert plan_pooling(HIPPOCAMPUS[0], spacing_mm=HIPPOCAMPUS[1], channels=3) == (2, 2, 2)
    assert plan_pooling(ACDC[0], spacing_mm=ACDC[1], channels=4) == (1, 2, 2)


def test_large_grids_are_pooled_more():
    # 3 · 64³ values are more than 131072, 3 · 32³ are not.
    assert plan_pooling((128, 128, 128), spacing_mm=(1.0, 1.0, 1.0), channels=3) == (4, 4, 4)
    # 20 slices of 64² voxels of 4 mm are too many, the slices of 8 mm still thicker.
    assert plan_pooling((20, 256, 256), spacing_mm=(8.0, 1.0, 1.0), channels=3) == (1, 8, 8)


def test_one_axis_is_refused():
    with pytest.raises(ValueError, match="2D or 3D"):
        plan_hybrid_autoencoder((64,), spacing_mm=(1.0,))


@pytest.mark.parametrize(
    ("grid", "spacing_mm"),
    [
        ((16, 12, 20), (1.0, 1.0, 1.0)),
        ((13, 17, 11), (1.0, 0.8, 1.2)),
        ((5, 21, 18), (10.0, 1.5, 1.5)),
        ((1, 16, 16), (5.0, 1.0, 1.0)),
        ((3, 2, 3), None),
        ((24, 17), (1.0, 1.0)),
        ((24, 17), None),
    ],
)
@pytest.mark.parametrize("channels", [1, 4])
def test_any_grid(grid, spacing_mm, channels):
    network = hybrid(grid, spacing_mm, channels=channels)
    maps = torch.rand(2, channels, *grid)
    assert network.encoder(maps).shape == (2, 6)
    assert network.reconstruct(maps).shape == maps.shape


def test_the_layout_that_cpus_convolve_faster():
    network = hybrid((8, 8, 8)).to(memory_format=torch.channels_last_3d)
    assert network.reconstruct(torch.rand(1, 3, 8, 8, 8)).shape == (1, 3, 8, 8, 8)


def test_averages_by_hand():
    maps = torch.arange(10.0).view(1, 1, 2, 5)
    # Rows 0…4 and 5…9; the last column goes on beyond the end.
    assert pool(maps, (1, 2)).tolist() == [[[[0.5, 2.5, 4], [5.5, 7.5, 9]]]]
    assert pool(maps, (2, 2)).tolist() == [[[[3, 5, 6.5]]]]


def test_code_and_logits_are_sums_of_both_branches():
    network = hybrid((8, 8, 8))
    encoder, decoder = network.encoder, network.decoder
    maps, code = torch.rand(1, 3, 8, 8, 8), torch.randn(1, 6)
    with torch.no_grad():
        both = encoder(maps), decoder(code)
        for layer in (encoder.to_code, decoder.upsampling[-1].convolution):
            layer.weight.zero_()
            layer.bias.zero_()
        # Blocks of 2×2×2 voxels, averaged by hand.
        blocks = maps.view(1, 3, 4, 2, 4, 2, 4, 2).mean((3, 5, 7))
        assert torch.allclose(encoder(maps), encoder.linear(encoder.distance(blocks).flatten(1)), atol=1e-5)
        constant = torch.full((3, 4, 4, 4), 2.0)
        decoder.linear.weight.zero_()
        decoder.linear.bias.copy_(constant.flatten())
        assert torch.allclose(decoder(code), torch.full((1, 3, 8, 8, 8), 2.0))
    assert not torch.allclose(both[0], encoder(maps))
    assert both[1].shape == (1, 3, 8, 8, 8)


@pytest.mark.parametrize("value", [0.0, 1 / 3, 0.5, 1.0])
def test_there_is_a_gradient_everywhere_however_far_from_any_anatomy(value):
    encoder = hybrid((8, 10, 6)).encoder.eval()
    maps = torch.full((1, 3, 8, 10, 6), value, requires_grad=True)
    encoder(maps).sum().backward()
    assert (maps.grad != 0).float().mean() > 0.999
    linear = maps.detach().requires_grad_()
    encoder.linear(encoder.distance(pool(linear, (2, 2, 2))).flatten(1)).sum().backward()
    assert (linear.grad != 0).all()


def test_a_sample_does_not_depend_on_its_batch():
    network = hybrid((8, 8, 8)).train()
    maps = torch.rand(3, 3, 8, 8, 8)
    with torch.no_grad():
        assert torch.allclose(network.reconstruct(maps)[:1], network.reconstruct(maps[:1]), atol=1e-5)


def test_float64_and_autocast():
    network = hybrid((8, 8, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network.reconstruct(torch.rand(1, 3, 8, 8, 8)).shape == (1, 3, 8, 8, 8)
    assert network.double().reconstruct(torch.rand(1, 3, 8, 8, 8).double()).dtype == torch.float64


def test_sub_voxel_channels_go_to_neighbouring_voxels():
    plan = plan_hybrid_autoencoder((4, 8, 8), spacing_mm=(8.0, 1.0, 1.0), code_size=2)
    assert plan.strides == ((1, 2, 2), (1, 1, 1))
    decoder = HybridDecoder(plan, out_channels=1, code_size=2, pooling=(1, 2, 2))
    upsample = decoder.upsampling[-1]
    with torch.no_grad():
        upsample.convolution.weight.zero_()
        upsample.convolution.bias.copy_(torch.arange(4.0))
        voxels = upsample(torch.zeros(1, 16, 4, 4, 4))
    assert voxels.shape == (1, 1, 4, 8, 8)
    assert voxels[0, 0, 0, :2, :2].tolist() == [[0, 1], [2, 3]]
    encoder = HybridEncoder(plan, in_channels=1, code_size=2, pooling=(1, 2, 2), spacing_mm=(8.0, 1.0, 1.0))
    assert encoder.linear.in_features == 4 * 4 * 4


def distance_of(maps: torch.Tensor, spacing_mm: tuple[float, ...]) -> torch.Tensor:
    return SoftDistance(tuple(maps.shape[2:]), spacing_mm=spacing_mm, finest=1.0)(maps)


def test_the_distance_of_a_flat_boundary_is_its_distance():
    # Label from voxel 12 on: the boundary lies at 11.5.
    maps = (torch.arange(24) >= 12).float().expand(1, 1, 30, 24)
    found = distance_of(maps, (1.0, 1.0))[0, 0, 15]
    # 0.02 + 0.96·Φ(d/2) in place of Φ(d/2) makes distances shorter, the more so the longer they are.
    expected = 2 * norm.ppf(0.02 + 0.96 * norm.cdf((torch.arange(24) - 11.5) / 2))
    assert found[8:16] == pytest.approx(expected[8:16], abs=0.02)
    assert found[12].item() == pytest.approx(0.5, abs=0.05)
    assert found[8].item() == pytest.approx(-3.5, abs=0.9)


def test_it_is_scipys_blur_in_mm():
    torch.manual_seed(0)
    maps = (torch.rand(1, 1, 6, 20, 20) > 0.5).float()
    found = distance_of(maps, (4.0, 1.0, 1.0))[0, 0]
    # Two voxels of the finest axis are half a thick slice; away from the ends, where SciPy's truncation does not count.
    blurred = gaussian_filter(maps[0, 0].double().numpy(), (0.5, 2, 2), mode="constant", truncate=8)
    expected = 2 * norm.ppf(0.02 + 0.96 * blurred)
    # A Gaussian integrated over thick slices is a little wider than one sampled at their centres.
    assert found[2:4, 8:12, 8:12].numpy() == pytest.approx(expected[2:4, 8:12, 8:12], abs=0.25)


def test_bounds_and_what_lies_beyond():
    bound = 2 * norm.ppf(0.98)
    full, empty = distance_of(torch.ones(1, 1, 40, 40), (1.0, 1.0)), distance_of(torch.zeros(1, 1, 40, 40), (1.0, 1.0))
    assert empty.unique().item() == pytest.approx(-bound, abs=1e-4)
    assert full[0, 0, 20, 20].item() == pytest.approx(bound, abs=1e-3)
    # Beyond the map lies nothing: its edge is a boundary, half a voxel away.
    assert full[0, 0, 20, 0].item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("value", [0.0, 1e-6, 0.5, 1.0])
def test_the_gradient_is_finite_and_nowhere_zero(value):
    maps = torch.full((1, 2, 8, 9, 10), value, requires_grad=True)
    distance_of(maps, (1.0, 1.0, 1.0)).sum().backward()
    assert torch.isfinite(maps.grad).all()
    assert (maps.grad > 0).all()
    # 2 · 0.96 over the normal density at its 2nd percentile.
    assert maps.grad.max() <= 2 * 0.96 / norm.pdf(norm.ppf(0.02)) + 1e-3


def test_values_beyond_probabilities_and_precision():
    noisy = torch.linspace(-0.5, 1.5, 64).view(1, 1, 8, 8)
    assert torch.isfinite(distance_of(noisy, (1.0, 1.0))).all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert distance_of(noisy.bfloat16(), (1.0, 1.0)).dtype == torch.float32
    assert distance_of(noisy.double(), (1.0, 1.0)).dtype == torch.float64


def test_it_adds_nothing_to_a_prior_file():
    assert SoftDistance((8, 8), spacing_mm=(1.0, 1.0), finest=1.0).state_dict() == {}
