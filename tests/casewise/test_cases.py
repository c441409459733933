"""Channels and cases by name."""

from pathlib import Path

import pytest

from acnn_nnunet.casewise.cases import find_nifti, group_channels
from acnn_nnunet.casewise.work import Excluded


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


def test_the_nifti_files_of_a_folder_and_what_to_do_with_its_other_images(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no NIfTI file"):
        find_nifti(tmp_path)
    for name in ("a.nii", "b.mha", "notes.txt"):
        (tmp_path / name).touch()
    files, excluded = find_nifti(tmp_path)
    assert files == {"a": tmp_path / "a.nii"}
    assert excluded == [Excluded("b", f"{tmp_path / 'b.mha'} is no NIfTI file: convert it to .nii.gz, or remove it.")]
    (tmp_path / "a.nii").rename(tmp_path / "b.nii")
    with pytest.raises(ValueError, match=r"holds b twice, b\.mha and b\.nii: remove one"):
        find_nifti(tmp_path)
