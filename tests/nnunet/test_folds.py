"""Where the raw images of cases are, by folder or by dataset.json."""

import pytest

from acnn_nnunet.nnunet.folds import raw_images

NAME = "Dataset005_Toy"


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    images = tmp_path / NAME / "imagesTr"
    images.mkdir(parents=True)
    for name in ("a_0000", "a_0001", "b_0000", "b_0001", "ab_0000", "c_0000"):
        (images / f"{name}.nii.gz").touch()
    return images


DATASET = {"channel_names": {"0": "T1", "1": "T2"}, "file_ending": ".nii.gz"}


def test_the_channels_of_each_case_in_order(raw):
    assert raw_images(NAME, DATASET, ["b", "a"]) == {
        case: [raw / f"{case}_0000.nii.gz", raw / f"{case}_0001.nii.gz"] for case in ("b", "a")
    }


def test_paths_in_dataset_json(raw):
    listed = {**DATASET, "dataset": {"x": {"images": ["imagesTr/c_0000.nii.gz"], "label": "labelsTr/c.nii.gz"}}}
    assert raw_images(NAME, listed, ["x"]) == {"x": [raw / "c_0000.nii.gz"]}
    assert listed["dataset"]["x"]["images"] == ["imagesTr/c_0000.nii.gz"]
    with pytest.raises(FileNotFoundError, match="lacks images of 1 of 2 cases"):
        raw_images(NAME, listed, ["x", "y"])


def test_what_is_missing_is_named_with_the_remedy(raw, monkeypatch):
    with pytest.raises(FileNotFoundError, match=rf"{NAME} lacks images of 1 of 2 cases \(for one c\): set nnUNet_raw"):
        raw_images(NAME, DATASET, ["a", "c"])
    monkeypatch.delenv("nnUNet_raw")
    with pytest.raises(FileNotFoundError, match="nnUNet_raw is not set: set nnUNet_raw to the folder"):
        raw_images(NAME, DATASET, ["a"])
