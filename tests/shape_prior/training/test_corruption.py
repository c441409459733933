"""Label swaps, noise, softening, and a network's maps in place of labels."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from acnn_nnunet.shape_prior.training.corruption import (
    AutoencoderInput,
    add_noise,
    keep_some_clean,
    soften,
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


def test_an_impulse_becomes_the_gaussian_of_its_sample(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor([0.0, 0.5]))
    maps = torch.zeros(2, 1, 25, 31)
    maps[:, :, 12, 15] = 1
    softened = soften(maps, 3.0)
    assert torch.equal(softened[0], maps[0])
    expected = gaussian_filter(maps[1, 0].double().numpy(), 1.5, truncate=8)
    np.testing.assert_allclose(softened[1, 0], expected, atol=1e-6)


def test_classes_still_sum_to_one_and_regions_stay_in_range():
    maps = torch.nn.functional.one_hot(torch.randint(3, (2, 5, 6, 7)), 3).movedim(-1, 1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        softened = soften(maps, 2.0)
    assert softened.dtype == torch.float32
    assert not torch.equal(softened, maps)
    assert torch.allclose(softened.sum(1), torch.ones(2, 5, 6, 7), atol=1e-5)
    regions = soften(torch.ones(1, 2, 4, 1), 2.0)
    assert torch.allclose(regions, torch.ones(1, 2, 4, 1), atol=1e-6)
    assert soften(maps, 0) is maps


def test_without_the_new_inputs_the_same_numbers_are_drawn_as_ever():
    maps = one_hot_background(6, 3, 8, 8)
    torch.manual_seed(1)
    shown = AutoencoderInput(swap_probability=0.1, noise=0.2, clean_share=0.5, network_share=0.5)(maps)
    torch.manual_seed(1)
    assert torch.equal(shown, keep_some_clean(add_noise(swap_labels(maps, 0.1), 0.2), maps, 0.5))


def test_a_share_of_the_samples_is_a_networks_map():
    maps, made = torch.zeros(2000, 1, 1, 1), torch.ones(2000, 1, 1, 1)
    shown = AutoencoderInput(swap_probability=0, noise=0, clean_share=0.5, network_share=0.25)
    assert shown(maps, made).mean().item() == pytest.approx(0.25, abs=0.04)
    assert torch.equal(shown(maps), maps)


def test_clean_samples_are_not_softened_whosever_map_they_show():
    maps, made = one_hot_background(4, 2, 6, 6), one_hot_background(4, 2, 6, 6).flip(1)
    made[:, :, 3, 3] = made[:, :, 3, 3].flip(1)
    spoilt = AutoencoderInput(swap_probability=0.5, noise=0.5, clean_share=1.0, softening_voxels=2.0, network_share=1.0)
    assert torch.equal(spoilt(maps, made), made)
