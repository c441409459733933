"""Channels and cases by name."""

from pathlib import Path

from acnn_nnunet.casewise.cases import group_channels


def files(*names):
    return {name: Path(f"{name}.nii.gz") for name in names}


def test_channels_of_cases():
    cases, others = group_channels(files("b_0001", "b_0000", "a_0000"))

    assert cases == {"b": {1: Path("b_0001.nii.gz"), 0: Path("b_0000.nii.gz")}, "a": {0: Path("a_0000.nii.gz")}}
    assert list(cases) == ["b", "a"]
    assert others == {}


def test_names_that_are_no_channel():
    cases, others = group_channels(files("a", "a_000", "_0000", "a_00000", "2001_0000_0003"))

    assert cases == {"2001_0000": {3: Path("2001_0000_0003.nii.gz")}}
    assert list(others) == ["a", "a_000", "_0000", "a_00000"]


def test_no_files():
    assert group_channels({}) == ({}, {})
