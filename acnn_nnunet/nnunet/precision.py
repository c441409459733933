"""Which precision a network runs in on the CPU."""

import torch


def native_bfloat16() -> bool:
    """Return whether this CPU computes in bfloat16 itself (AVX-512 BF16, AMX, or Arm's BF16), not by emulation."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")
    return any(check() for name in checks if (check := getattr(torch.cpu, name, None)) is not None)


def use_cpu_autocast(setting: str | bool, device: torch.device) -> bool:
    """Return whether to autocast to bfloat16: never off the CPU; "auto" where the CPU has it natively."""
    if device.type != "cpu" or setting is False:
        return False
    return setting is True or native_bfloat16()
