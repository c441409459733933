"""Soft signed distances: exact at flat boundaries, bounded, alike in mm, and with a gradient everywhere."""

import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from acnn_nnunet.shape_prior.networks.soft_distance import SoftDistance


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
