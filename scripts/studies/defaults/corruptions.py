"""Corrupted test images: the study's own kinds, and TorchIO's, which nobody here wrote."""

import zlib

import numpy as np

from scripts.studies.defaults.arms import TORCHIO_KINDS

SEED_OF_TEST_IMAGES = 2017
_TORCHIO_SWAPS, _SWAPPED_PART = 10, 6


def seed_of(case: str, kind: str) -> int:
    """Return the seed of a case's corruption: another for each of TorchIO's kinds, one for the study's own."""
    seed = [SEED_OF_TEST_IMAGES, *case.encode()]
    if kind in TORCHIO_KINDS:
        seed.append(zlib.crc32(kind.encode()))
    return int(np.random.default_rng(seed).integers(2**31))


def corrupt(
    image: np.ndarray,
    label: np.ndarray,
    kind: str,
    *,
    spacing_mm: tuple[float, ...],
    motion_mm: float,
    seed: int,
) -> np.ndarray:
    """Return a corrupted image `(Z, Y, X)`, drawn from the seed.

    Args:
        image: float32 intensities `(Z, Y, X)`.
        label: its label map; the slab hides a part of its foreground.
        kind: one of `KINDS`, or "slab_mean", "dropped_mean": filled with the image's mean, not with its lowest value.
        spacing_mm: of the voxels.
        motion_mm: limit of in-plane slice translation of the kind "motion".
        seed: of everything drawn.
    """
    if kind in TORCHIO_KINDS:
        return corrupt_by_torchio(image, kind.removeprefix("torchio_"), spacing_mm=spacing_mm, seed=seed)
    return corrupt_as_study(image, label, kind, spacing_mm=spacing_mm, motion_mm=motion_mm, seed=seed)


def corrupt_as_study(
    image: np.ndarray,
    label: np.ndarray,
    kind: str,
    *,
    spacing_mm: tuple[float, ...],
    motion_mm: float,
    seed: int,
) -> np.ndarray:
    """Return an image corrupted by one of the study's own kinds.

    The noise has half the image's standard deviation; the slab hides a fifth of the anatomy's extent along one in-plane
    axis, somewhere within it; slices move by up to `motion_mm` and 5°; a quarter of the slices is dropped. What is
    hidden or dropped becomes the lowest value of the image, or with `_mean` its mean, which leaves the z-score of the
    rest as it was.
    """
    import torch

    from acnn_nnunet.sr.degradation.acquisition import add_noise
    from acnn_nnunet.sr.degradation.motion import draw_motion, drop_slices, move_slices

    volume = torch.from_numpy(image.copy())[None, None]
    kind, _, filled = kind.partition("_")
    value = volume.mean() if filled == "mean" else volume.min()
    generator = torch.Generator().manual_seed(int(seed))
    if kind == "noise":
        volume = add_noise(volume, 0.5 * float(volume.std()), generator=generator)
    elif kind == "slab":
        rng = np.random.default_rng(seed)
        axis = int(rng.integers(1, 3))
        found = np.flatnonzero(label.any(axis=tuple(each for each in range(3) if each != axis)))
        thickness = max(1, round(0.2 * len(found)))
        start = int(rng.integers(found[0], max(found[0], found[-1] - thickness) + 1))
        volume.narrow(2 + axis, start, thickness).fill_(value)
    elif kind == "motion":
        motion = draw_motion(1, image.shape[0], translation_mm=motion_mm, rotation_deg=5.0, generator=generator)
        volume = move_slices(volume, motion, (spacing_mm[1], spacing_mm[2]))
    elif kind == "dropped":
        lost = drop_slices(volume, 0.25, generator=generator)[1]
        volume[:, :, lost[0]] = value
    return volume[0, 0].numpy()


def corrupt_by_torchio(image: np.ndarray, name: str, *, spacing_mm: tuple[float, ...], seed: int) -> np.ndarray:
    """Return an image corrupted by one of TorchIO's transforms, with TorchIO's own default strengths.

    Two defaults presume another image. Noise of a standard deviation up to .25 is meant for z-scored images, so the
    image is z-scored for it and scaled back. A hundred swaps of 15³ voxels would leave nothing of a hippocampus: ten
    swaps of a sixth of each axis's length are made.
    """
    import torch
    import torchio

    transforms = {
        "motion": torchio.RandomMotion,
        "ghosting": torchio.RandomGhosting,
        "bias_field": torchio.RandomBiasField,
        "spike": torchio.RandomSpike,
        "blur": torchio.RandomBlur,
        "anisotropy": torchio.RandomAnisotropy,
        "gamma": torchio.RandomGamma,
        "noise": torchio.RandomNoise,
    }
    if name == "swap":
        patch = tuple(max(1, length // _SWAPPED_PART) for length in image.shape)
        transform = torchio.RandomSwap(patch_size=patch, num_iterations=_TORCHIO_SWAPS)
    else:
        transform = transforms[name]()
    scale, offset = (float(image.std()) or 1.0, float(image.mean())) if name == "noise" else (1.0, 0.0)
    given = torchio.ScalarImage(
        tensor=torch.from_numpy((image - offset) / scale)[None].float(), affine=np.diag([*spacing_mm, 1.0])
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        corrupted = transform(given)
    return (corrupted.data[0].numpy() * scale + offset).astype(np.float32)
