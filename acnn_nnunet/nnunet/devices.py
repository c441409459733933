"""The devices that commands may compute on."""

from collections.abc import Callable

import torch

_AVAILABLE: dict[str, Callable[[], bool]] = {
    "cpu": lambda: True,
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
}


def check_device(device: str) -> None:
    """Raise ValueError, with the remedy, if there is no such device, or this machine has none."""
    if device not in _AVAILABLE:
        raise ValueError(f"There is no device {device}: -device takes {', '.join(_AVAILABLE)}.")
    if not _AVAILABLE[device]():
        raise ValueError(f"This machine has no {device} device: take -device cpu.")
