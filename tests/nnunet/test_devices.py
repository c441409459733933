"""Which devices there are, and when the CPU's autocast is on."""

import pytest
import torch

from acnn_nnunet.nnunet import devices
from acnn_nnunet.nnunet.devices import check_device, native_bfloat16, use_cpu_autocast


def test_every_machine_has_a_cpu():
    check_device("cpu")


def test_other_devices_are_refused():
    with pytest.raises(ValueError, match=r"There is no device tpu: -device takes cpu, cuda, mps"):
        check_device("tpu")


def test_a_device_that_this_machine_lacks(monkeypatch):
    monkeypatch.setitem(devices._AVAILABLE, "cuda", lambda: False)
    with pytest.raises(ValueError, match=r"This machine has no cuda device: take -device cpu"):
        check_device("cuda")


@pytest.mark.parametrize(("names", "native"), [([], False), (["_is_arm_bf16_supported"], True)])
def test_one_of_the_cpus_own_instructions_is_enough(names, native, monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name in names, raising=False)
    assert native_bfloat16() == native


@pytest.mark.parametrize(
    ("setting", "device", "native", "used"),
    [
        ("auto", "cpu", True, True),
        ("auto", "cpu", False, False),
        (True, "cpu", False, True),
        (False, "cpu", True, False),
        (True, "meta", True, False),
    ],
)
def test_autocast(setting, device, native, used, monkeypatch):
    monkeypatch.setattr(devices, "native_bfloat16", lambda: native)
    assert use_cpu_autocast(setting, torch.device(device)) == used
