"""When a training has converged, and which labels it failed to learn: what nnU-Net logs each epoch says so."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

LAST_SHARE = 0.2  # of the epochs, over which validation Dice has to be flat
FLAT_RISE = 0.005  # of Dice, by the straight line through them
UNLEARNT_DICE = 0.3  # a label's mean over the last epochs below this was not learnt


def last_rise(dice: Sequence[float]) -> tuple[float, float]:
    """Return how much validation Dice, one value an epoch, rises over the last fifth, and that rise's standard error.

    Both are those of the least-squares line through at least three values; not a number where there are fewer, which
    tell no noise from a rise, or where one of them is not.
    """
    last = np.asarray(dice, dtype=float)[-max(3, round(LAST_SHARE * len(dice))) :]
    if len(last) < 3 or not np.isfinite(last).all():
        return float("nan"), float("nan")
    epochs = np.arange(len(last)) - (len(last) - 1) / 2
    line = np.polyfit(epochs, last, 1)
    residual = float(((last - np.polyval(line, epochs)) ** 2).sum())
    error = float(np.sqrt(residual / (len(last) - 2) / (epochs**2).sum()))
    return float(line[0]) * (len(last) - 1), error * (len(last) - 1)


def is_flat(dice: Sequence[float]) -> bool:
    """Return whether validation Dice neither rises nor falls over the last fifth by more than `FLAT_RISE`.

    nnU-Net estimates this Dice on few patches, and its noise alone can tilt the line: what two standard errors explain
    does not count.
    """
    rise, error = last_rise(dice)
    return abs(rise) - 2 * error <= FLAT_RISE


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
