"""Label swaps and noise at the encoder's input."""

import pytest
import torch

from acnn_nnunet.shape_prior.training.corruption import (
    AutoencoderInput,
    add_noise,
    keep_some_clean,
    swap_labels,
)


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


def test_a_share_of_the_samples_stays_clean():
    clean, corrupted = torch.zeros(2000, 1, 1), torch.ones(2000, 1, 1)
    assert keep_some_clean(corrupted, clean, 0.25).mean().item() == pytest.approx(0.75, abs=0.04)
    assert torch.equal(keep_some_clean(corrupted, clean, 0.0), corrupted)


def test_the_encoders_input_is_swapped_noisy_and_in_part_clean():
    maps = one_hot_background(6, 3, 8, 8)
    torch.manual_seed(1)
    shown = AutoencoderInput(swap_probability=0.1, noise=0.2, clean_share=0.5)(maps)
    torch.manual_seed(1)
    assert torch.equal(shown, keep_some_clean(add_noise(swap_labels(maps, 0.1), 0.2), maps, 0.5))
    assert torch.equal(AutoencoderInput(swap_probability=0.5, noise=0.5, clean_share=1.0)(maps), maps)
