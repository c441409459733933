"""`scripts/studies/defaults/`: its arms hang together, its corruptions are what they say, seed by seed."""

import numpy as np
import pytest

from acnn_nnunet.nnunet.settings import Settings
from scripts.studies.defaults import workplace as study


def test_arms_are_settings_with_priors_that_there_are(tmp_path):
    place = study.Workplace("hippocampus", tmp_path)
    for arm, settings in study.ARMS.items():
        prior = settings.get("prior_of")
        assert (prior in study.PRIORS) == (settings.get("prior_weight") != 0)
        read = Settings.from_block(place.settings_of(arm, 3))
        assert read.seed == 3
        if prior:
            of_prior = Settings.from_block(study.PRIORS[prior][1])
            assert (read.grid, read.architecture, read.code_size) == (
                of_prior.grid,
                of_prior.architecture,
                of_prior.code_size,
            )
    names = {place.configuration_of(arm, seed) for arm in study.ARMS for seed in (0, 1)}
    assert len(names) == 2 * len(study.ARMS)


def corrupted(kind: str, seed: int = 1) -> np.ndarray:
    image = np.random.default_rng(0).normal(10, 2, (8, 30, 30)).astype(np.float32)
    label = np.zeros(image.shape, np.uint8)
    label[2:6, 5:25, 5:25] = 1
    return image, study.corrupt(image.copy(), label, kind, spacing_mm=(4.0, 1.0, 1.0), motion_mm=3.0, seed=seed)


@pytest.mark.parametrize("kind", ["noise", "slab", "motion", "dropped", "slab_mean"])
def test_a_corruption_is_the_same_for_the_same_seed(kind):
    image, first = corrupted(kind)
    assert np.array_equal(first, corrupted(kind)[1])
    assert not np.array_equal(first, corrupted(kind, seed=2)[1])
    assert not np.array_equal(first, image)


def test_what_each_corruption_does():
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
