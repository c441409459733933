"""Label swaps, noise and affine maps."""

import math

import pytest
import torch

from acnn_nnunet.shape_prior.corruption import add_noise, random_affine, swap_labels, transform


def one_hot_background(*shape: int) -> torch.Tensor:
    maps = torch.zeros(shape)
    maps[:, 0] = 1
    return maps


def test_nothing_is_swapped_at_probability_zero():
    maps = one_hot_background(1, 3, 4, 4)
    assert swap_labels(maps, 0) is maps


def test_a_tenth_of_the_voxels_draws_a_label():
    maps = one_hot_background(1, 4, 50, 50, 50)
    swapped = swap_labels(maps, 0.1)
    assert torch.equal(swapped.sum(1), torch.ones(1, 50, 50, 50))
    # A quarter of the drawn labels is the old one: 0.1 · 3/4 change; the standard error is 0.0007.
    assert (swapped[:, 0] == 0).float().mean().item() == pytest.approx(0.075, abs=0.003)


def test_noise_has_the_given_standard_deviation():
    maps = one_hot_background(1, 2, 60, 60)
    assert (add_noise(maps, 0.1) - maps).std().item() == pytest.approx(0.1, rel=0.05)
    assert add_noise(maps, 0) is maps


@pytest.mark.parametrize("size", [(6, 8, 10), (8, 6)])
def test_no_transform_changes_nothing(size):
    theta = random_affine(2, size, rotation=0, scaling=0, translation=0)
    image, target = torch.randn(2, 1, *size), torch.randint(3, (2, 1, *size))
    moved_image, moved_target = transform(theta, image, target)
    assert torch.allclose(moved_image, image, atol=1e-5)
    assert torch.equal(moved_target, target)


def test_image_and_target_move_together_and_rigidly():
    """Voxels of a ball keep label and brightness together, and a rotation keeps the ball's volume on any grid."""
    size = (20, 32, 24)
    axes = torch.meshgrid(*(torch.arange(n) - (n - 1) / 2 for n in size), indexing="ij")
    ball = (sum(axis**2 for axis in axes).sqrt() < 7).expand(3, 1, *size)
    theta = random_affine(3, size, rotation=math.pi / 3, scaling=0, translation=0)
    image, target = transform(theta, ball.float(), ball.to(torch.int16))
    assert ((image > 0.5) == (target == 1)).float().mean() > 0.99
    assert (target.sum((1, 2, 3, 4)) / ball[:1].sum()).numpy() == pytest.approx([1, 1, 1], abs=0.02)
    assert target.dtype == torch.int16


def test_translation_is_a_share_of_the_size():
    theta = random_affine(1000, (10, 20, 40), rotation=0, scaling=0, translation=0.1)
    # affine_grid's coordinates span 2 over the size.
    assert theta[:, :, 3].abs().max().item() == pytest.approx(0.2, abs=0.002)
