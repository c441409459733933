"""Which stacks have another half."""

import pytest
from real_pairs import DATASET

from acnn_nnunet.sr.pairs.finding import find_pairs, stacks_folder


def find(place, channels=1):
    model = place.model()
    references = place.preprocessed / "gt_segmentations"
    return find_pairs(DATASET, model.bundle.dataset_json, references, num_channels=channels)


def test_a_dataset_without_stacks(place, monkeypatch):
    assert stacks_folder(DATASET) is None
    assert find(place) == ({}, [])
    monkeypatch.delenv("nnUNet_raw")
    assert stacks_folder(DATASET) is None


def test_pairs_and_halves(place):
    whole, no_image, no_labels = (place.add(case) for case in ("whole", "no_image", "no_labels"))
    no_image.image[0].unlink()
    no_labels.labels.unlink()
    whole.stack[0].with_name("stray.nii.gz").write_bytes(b"")
    pairs, excluded = find(place)
    assert pairs == {"whole": whole}
    reasons = {each.case: each.reason for each in excluded}
    assert set(reasons) == {"stray", "no_image", "no_labels"}
    assert f"{no_image.stack[0]} lacks its other half: imagesTr holds no image of it. Add" in reasons["no_image"]
    assert f"lacks its other half: there are no labels {no_labels.labels}" in reasons["no_labels"]
    assert "stray.nii.gz has no channel number" in reasons["stray"]


def test_what_is_no_nifti_file_is_named(place):
    whole = place.add("whole")
    folder = whole.stack[0].parent
    (folder / "other_0000.mha").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    pairs, (excluded,) = find(place)
    assert pairs == {"whole": whole}
    assert excluded.reason == f"{folder / 'other_0000.mha'} is no NIfTI file: convert it to .nii.gz, or remove it."


def test_a_folder_without_stacks(place):
    stack = place.add("a").stack[0]
    stack.unlink()
    with pytest.raises(ValueError, match=r"imagesTr_lr holds no stack: add CASE_0000\.nii\.gz, or remove the folder"):
        find(place)


@pytest.mark.parametrize("make", [lambda path: path.touch(), lambda path: path.symlink_to("nowhere")])
def test_what_is_no_folder(place, make):
    stack = place.add("a").stack[0]
    folder = stack.parent
    stack.unlink()
    folder.rmdir()
    make(folder)
    with pytest.raises(ValueError, match="imagesTr_lr is no folder, or a link to none: mend or remove it"):
        stacks_folder(DATASET)


def test_a_missing_channel(place):
    place.add("a")
    pairs, (excluded,) = find(place, channels=2)
    assert not pairs
    assert "holds a_0000.nii.gz of a, but the model takes 2 channels" in excluded.reason
