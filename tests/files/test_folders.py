"""Images of folders, by name: hidden and double ones, and spellings."""

import pytest

from acnn_nnunet.files.folders import (
    existing_folder,
    find_images,
    image_ending,
    image_name,
    image_path,
)
from acnn_nnunet.files.headers import NIFTI_ENDINGS


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is a file: name a folder"):
        existing_folder(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        existing_folder(tmp_path / "absent")
    assert existing_folder(tmp_path) == tmp_path


def test_names_and_endings(tmp_path):
    assert (image_ending(tmp_path / "a.b.NII.gz"), image_name(tmp_path / "a.b.NII.gz")) == (".NII.gz", "a.b")
    assert (image_ending(tmp_path / "a.png"), image_name(tmp_path / "a.png")) == ("", "a.png")
    assert image_name(tmp_path / "a.png", (".png",)) == "a"


def test_the_images_of_a_folder(tmp_path):
    for name in ("b.nii", "a.nii.gz", ".hidden.nii", "._a.nii.gz", "notes.txt", "C.NII.GZ"):
        (tmp_path / name).touch()
    (tmp_path / "folder.nii").mkdir()
    found = find_images(tmp_path)
    assert {name: path.name for name, path in found.items()} == {"C": "C.NII.GZ", "a": "a.nii.gz", "b": "b.nii"}
    (tmp_path / "a.nii").touch()
    with pytest.raises(ValueError, match=r"holds a twice, a\.nii and a\.nii\.gz: remove one"):
        find_images(tmp_path)


def test_a_folder_without_images(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no image; the endings known are \.nii\.gz, \.nii, \.mha"):
        find_images(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no NIfTI file"):
        find_images(tmp_path, NIFTI_ENDINGS)
    assert find_images(tmp_path, may_be_none=True) == {}
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        find_images(tmp_path / "nowhere", may_be_none=True)


def test_composed_and_decomposed_unicode_are_one_name(tmp_path):
    composed, decomposed = "M\u00fcller", "Mu\u0308ller"  # the second is how macOS spells it
    (tmp_path / f"{decomposed}.nii.gz").touch()
    assert find_images(tmp_path) == {composed: tmp_path / f"{decomposed}.nii.gz"}
    assert image_path(tmp_path, composed, ".nii.gz").name == f"{decomposed}.nii.gz"
    (tmp_path / f"{composed}.nii.gz").touch()
    assert image_path(tmp_path, composed, ".nii.gz").name == f"{composed}.nii.gz"
    with pytest.raises(ValueError, match="twice"):
        find_images(tmp_path)


def test_where_an_image_lies_or_should_lie(tmp_path):
    (tmp_path / "a.NII.GZ").touch()
    assert image_path(tmp_path, "a", ".nii.gz") == tmp_path / "a.NII.GZ"
    assert image_path(tmp_path, "b", ".nii.gz") == tmp_path / "b.nii.gz"


def test_an_ending_may_begin_without_a_dot(tmp_path):
    (tmp_path / "a_seg.nii.gz").touch()

    assert find_images(tmp_path, ("_seg.nii.gz",)) == {"a": tmp_path / "a_seg.nii.gz"}
