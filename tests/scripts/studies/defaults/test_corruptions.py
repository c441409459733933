"""`scripts/studies/defaults/corruptions.py`: what each kind does, the same for the same seed."""

import numpy as np
import pytest

from scripts.studies.defaults.arms import KINDS, STUDY_KINDS, TORCHIO_KINDS
from scripts.studies.defaults.corruptions import corrupt, seed_of


def corrupted(kind: str, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    image = np.random.default_rng(0).normal(10, 2, (8, 30, 30)).astype(np.float32)
    label = np.zeros(image.shape, np.uint8)
    label[2:6, 5:25, 5:25] = 1
    return image, corrupt(image.copy(), label, kind, spacing_mm=(4.0, 1.0, 1.0), motion_mm=3.0, seed=seed)


@pytest.mark.parametrize("kind", [*STUDY_KINDS, "slab_mean", *TORCHIO_KINDS])
def test_a_corruption_is_the_same_for_the_same_seed(kind):
    import torch

    state = torch.random.get_rng_state()
    image, first = corrupted(kind)
    assert np.array_equal(first, corrupted(kind)[1])
    assert not np.array_equal(first, corrupted(kind, seed=2)[1])
    assert not np.array_equal(first, image)
    assert first.shape == image.shape
    assert first.dtype == np.float32
    assert np.array_equal(torch.random.get_rng_state(), state)


def test_what_each_corruption_of_the_study_does():
    image, clean = corrupted("clean")
    assert np.array_equal(clean, image)
    image, noisy = corrupted("noise")
    assert (noisy - image).std() == pytest.approx(0.5 * image.std(), rel=0.05)
    image, hidden = corrupted("slab")
    dark = hidden == image.min()
    # A fifth of an extent of 20 voxels, through all slices, within the anatomy.
    assert sorted({int(dark.all(axis=(0, 1)).sum()), int(dark.all(axis=(0, 2)).sum())}) == [0, 4]
    image, dropped = corrupted("dropped")
    lost = (dropped == image.min()).all(axis=(1, 2))
    assert 0 < lost.sum() < 8
    assert np.array_equal(dropped[~lost], image[~lost])
    for kind, where in (("slab_mean", dark), ("dropped_mean", np.broadcast_to(lost[:, None, None], image.shape))):
        filled = corrupted(kind)[1]
        assert filled[where] == pytest.approx(image.mean(), abs=1e-4)
        assert np.array_equal(filled[~where], image[~where])


def test_noise_of_torchio_is_of_the_images_scale():
    image, noisy = corrupted("torchio_noise")
    # TorchIO's default: up to a quarter of a z-scored image's standard deviation, which is 2 here.
    assert 0 < (noisy - image).std() < 0.25 * image.std() * 1.05


def test_swaps_leave_the_values_and_move_less_than_all():
    image, swapped = corrupted("torchio_swap")
    assert np.array_equal(np.sort(image, axis=None), np.sort(swapped, axis=None))
    # Ten swaps of two patches of a sixth of each axis, 1 × 5 × 5 of 8 × 30 × 30 voxels.
    assert 0 < (image != swapped).sum() <= 10 * 2 * 25


def test_only_torchios_kinds_have_a_seed_each():
    seeds = {kind: seed_of("case_1", kind) for kind in KINDS}
    assert len({seeds[kind] for kind in STUDY_KINDS}) == 1
    assert len(set(seeds.values())) == 1 + len(TORCHIO_KINDS)
    assert seed_of("case_2", "torchio_motion") != seeds["torchio_motion"]
