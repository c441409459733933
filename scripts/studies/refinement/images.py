"""Test images of the study: clean, the study of defaults' corruptions, and TorchIO's, which nobody here wrote."""

import numpy as np

from scripts.studies.defaults.workplace import CORRUPTIONS, SEED_OF_TEST_IMAGES, corrupt

CLEAN = "clean"
OWN_KINDS = tuple(kind for kind in CORRUPTIONS if kind != CLEAN)
TORCHIO_KINDS = ("t_motion", "t_ghosting", "t_spike", "t_bias", "t_blur", "t_anisotropy")
KINDS = (CLEAN, *OWN_KINDS, *TORCHIO_KINDS)
# Of the kinds, as tables group them.
GROUPS = {CLEAN: "clean", **dict.fromkeys(OWN_KINDS, "corrupted"), **dict.fromkeys(TORCHIO_KINDS, "torchio")}


def make_image(
    image: np.ndarray, label: np.ndarray, kind: str, *, case: str, spacing_mm: tuple[float, ...], motion_mm: float
) -> np.ndarray:
    """Return the image (Z, Y, X) of a case, corrupted in one of `KINDS`, always the same for a case and kind."""
    seed = int(np.random.default_rng([SEED_OF_TEST_IMAGES, *case.encode()]).integers(2**31))
    if kind in TORCHIO_KINDS:
        return _by_torchio(image, kind, spacing_mm=spacing_mm, seed=seed)
    return corrupt(image.copy(), label, kind, spacing_mm=spacing_mm, motion_mm=motion_mm, seed=seed)


def _by_torchio(image: np.ndarray, kind: str, *, spacing_mm: tuple[float, ...], seed: int) -> np.ndarray:
    """Corrupt with TorchIO at its own defaults."""
    import torch
    import torchio

    transform = {
        "t_motion": torchio.RandomMotion,
        "t_ghosting": torchio.RandomGhosting,
        "t_spike": torchio.RandomSpike,
        "t_bias": torchio.RandomBiasField,
        "t_blur": torchio.RandomBlur,
        "t_anisotropy": torchio.RandomAnisotropy,
    }[kind]()
    values = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 1, 0)))[None]
    affine = np.diag([*spacing_mm[::-1], 1.0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        spoilt = transform(torchio.ScalarImage(tensor=values, affine=affine))
    return spoilt.data[0].numpy().transpose(2, 1, 0).astype(np.float32)
