"""The devices that commands and trainers compute on, and the precision of a network on the CPU."""

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


def native_bfloat16() -> bool:
    """Return whether this CPU computes in bfloat16 itself (AVX-512 BF16, AMX, or Arm's BF16), not by emulation."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")
    return any(check() for name in checks if (check := getattr(torch.cpu, name, None)) is not None)


def use_cpu_autocast(setting: str | bool, device: torch.device) -> bool:
    """Return whether to autocast to bfloat16: never off the CPU; "auto" where the CPU has it natively."""
    if device.type != "cpu" or setting is False:
        return False
    return setting is True or native_bfloat16()
