"""Which stacks have another half."""

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


def test_a_missing_channel(place):
    place.add("a")
    pairs, (excluded,) = find(place, channels=2)
    assert not pairs
    assert "holds a_0000.nii.gz of a, but the model takes 2 channels" in excluded.reason
