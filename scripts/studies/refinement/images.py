"""Test images of the study: clean, the study of defaults' corruptions, and TorchIO's, which nobody here wrote."""

import numpy as np

from scripts.studies.defaults.corruptions import corrupt, seed_of

CLEAN = "clean"
OWN_KINDS = ("noise", "slab", "motion", "dropped", "slab_mean", "dropped_mean")
TORCHIO_KINDS = tuple(f"torchio_{name}" for name in ("motion", "ghosting", "spike", "bias_field", "blur", "anisotropy"))
KINDS = (CLEAN, *OWN_KINDS, *TORCHIO_KINDS)
# The kinds as tables group them.
GROUPS = {"clean": (CLEAN,), "corrupted": OWN_KINDS, "TorchIO": TORCHIO_KINDS}


def make_image(
    image: np.ndarray, label: np.ndarray, kind: str, *, case: str, spacing_mm: tuple[float, ...], motion_mm: float
) -> np.ndarray:
    """Return the image (Z, Y, X) of a case, corrupted in one of `KINDS`, always the same for a case and kind."""
    seed = seed_of(case, kind)
    return corrupt(image, label, kind, spacing_mm=spacing_mm, motion_mm=motion_mm, seed=seed)
