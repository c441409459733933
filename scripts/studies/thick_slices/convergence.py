"""When a training has converged, and which labels it failed to learn: what nnU-Net logs each epoch says so."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

LAST_SHARE = 0.2  # of the epochs, over which validation Dice has to be flat
FLAT_RISE = 0.005  # of Dice, by the straight line through them
UNLEARNT_DICE = 0.3  # a label's mean over the last epochs below this was not learnt


def is_flat(dice: Sequence[float]) -> bool:
    """Return whether validation Dice, one value an epoch, neither rises nor falls over the last fifth."""
    last = np.asarray(dice, dtype=float)[-max(2, round(LAST_SHARE * len(dice))) :]
    if len(last) < 2 or not np.isfinite(last).all():
        return False
    slope = float(np.polyfit(np.arange(len(last)), last, 1)[0])
    return abs(slope) * (len(last) - 1) <= FLAT_RISE


def unlearnt_labels(dice_per_label: Sequence[Sequence[float]]) -> list[int]:
    """Return the labels, counted from 1, whose mean Dice over the last fifth of the epochs shows that they failed.

    Args:
        dice_per_label: one list an epoch.
    """
    last = np.asarray(dice_per_label, dtype=float)[-max(1, round(LAST_SHARE * len(dice_per_label))) :]
    means = np.nan_to_num(last, nan=0.0).mean(axis=0)
    return [label for label, mean in enumerate(means, start=1) if mean < UNLEARNT_DICE]


def read_log(checkpoint: Path) -> dict[str, Any]:
    """Return what nnU-Net logged up to a checkpoint, a list per quantity."""
    import torch

    return torch.load(checkpoint, map_location="cpu", weights_only=False)["logging"]
