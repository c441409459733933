"""Label maps and images of folders, by case."""

import pytest

from acnn_nnunet.fold_prior.case_files import list_images, list_labels


def touch(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def test_an_empty_folder_has_no_label_maps_and_no_images(tmp_path):
    with pytest.raises(ValueError, match=r"holds no \.nii\.gz file"):
        list_labels(tmp_path, ".nii.gz")
    with pytest.raises(ValueError, match=r"holds no \.nii\.gz file"):
        list_images(tmp_path, ".nii.gz")
    touch(tmp_path, "a.nii.gz")
    with pytest.raises(ValueError, match=r"holds no image named as nnU-Net names them, CASE_0000\.nii\.gz"):
        list_images(tmp_path, ".nii.gz")


def test_hidden_files_and_other_endings_are_no_cases(tmp_path):
    touch(tmp_path, "b.nii.gz", "a.nii.gz", "._a.nii.gz", ".nii.gz", "a.json")
    assert list_labels(tmp_path, ".nii.gz") == {"a": tmp_path / "a.nii.gz", "b": tmp_path / "b.nii.gz"}


def test_channels_are_in_order_and_other_names_are_passed_over(tmp_path):
    touch(tmp_path, "b_0001.png", "b_0000.png", "a_1_0000.png", "._b_0000.png", "c.png", "d_000.png")
    assert list_images(tmp_path, ".png") == {
        "a_1": (tmp_path / "a_1_0000.png",),
        "b": (tmp_path / "b_0000.png", tmp_path / "b_0001.png"),
    }


def test_what_is_no_folder_is_refused(tmp_path):
    touch(tmp_path, "file")
    with pytest.raises(NotADirectoryError, match="is a file: name a folder"):
        list_labels(tmp_path / "file", ".png")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        list_images(tmp_path / "absent", ".png")
