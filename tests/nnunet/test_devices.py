import pytest

from acnn_nnunet.nnunet.devices import check_device


def test_every_machine_has_a_cpu():
    check_device("cpu")


def test_other_devices_are_refused():
    with pytest.raises(ValueError, match=r"There is no device tpu: -device takes cpu, cuda, mps"):
        check_device("tpu")
