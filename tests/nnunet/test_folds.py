"""A fold as the host sees it, and where the raw images of its cases are."""

import json
import math
from dataclasses import replace

import pytest
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from tiny_fold import CLASSES, SIZE, write_fold

from acnn_nnunet.nnunet.folds import raw_images, view_fold
from acnn_nnunet.nnunet.settings import Settings

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


@pytest.fixture(scope="module")
def fold_folder(tmp_path_factory):
    return write_fold(tmp_path_factory.mktemp("preprocessed"), settings={"prior_weight": 0.2})


@pytest.fixture
def preprocessed(fold_folder, monkeypatch):
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(fold_folder.parent))
    return fold_folder


def view(fold="0", configuration="quick"):
    return view_fold("99", configuration, fold, plans_identifier="nnUNetPlans")


def test_a_fold_has_cases_settings_and_labels(preprocessed):
    fold = view()

    assert fold.training_cases == tuple(f"ball_{i:02}" for i in range(7))
    assert fold.validation_cases == ("ball_07", "ball_08", "ball_09")
    assert (fold.fold, fold.settings.prior_weight, fold.label_names) == (0, 0.2, CLASSES)
    assert fold.folder == preprocessed / "nnUNetPlans_3d"
    assert fold.dataset(fold.validation_cases).identifiers == ["ball_07", "ball_08", "ball_09"]


def test_targets_depend_on_the_seed_alone(preprocessed):
    fold = view()
    first, second = (list(fold.training_targets(2, seed=seed)) for seed in (0, 1))
    torch.rand(7)
    again = list(fold.training_targets(2, seed=0))

    assert first[0].shape == (2, 1, SIZE, SIZE, SIZE)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize(("mirroring", "axes"), [(False, None), (True, (0, 1, 2)), ([0, 2], (0, 2)), ("auto", None)])
def test_targets_are_mirrored_and_turned_as_the_settings_say(preprocessed, mirroring, axes):
    fold = replace(view(), settings=Settings(mirroring=mirroring, rotation_deg=15))
    seen = []
    next(iter(fold.training_targets(1, seed=0, adapt=seen.append)))

    transforms = seen[0].transforms
    assert [each.allowed_axes for each in transforms if isinstance(each, MirrorTransform)] == ([axes] if axes else [])
    (spatial,) = (each for each in transforms if isinstance(each, SpatialTransform))
    assert spatial.rotation == pytest.approx((-math.pi / 12, math.pi / 12))


def test_the_hosts_loss_is_lower_for_the_truth_and_one_of_several_with_deep_supervision(preprocessed):
    fold = view()
    loss, alone = (
        replace(fold, settings=Settings(deep_supervision=each)).segmentation_loss() for each in (True, False)
    )
    target = torch.ones(1, 1, SIZE, SIZE, SIZE)
    right, wrong = (torch.full((1, 3, SIZE, SIZE, SIZE), -9.0) for _ in range(2))
    right[:, 1], wrong[:, 2] = 9.0, 9.0

    assert alone([right], [target]) < alone([wrong], [target])
    outputs = len(fold.bundle.configuration.pool_op_kernel_sizes) - 1
    share = 1 / sum(0.5**i for i in range(outputs - 1))  # the lowest does not count
    assert loss([wrong], [target]) == pytest.approx(share * alone([wrong], [target]).item())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fold": "all"}, "Fold all has no held-out cases"),
        ({"fold": "1"}, r"There is no fold 1: .*splits_final\.json has folds 0 to 0"),
        ({"fold": "-1"}, "There is no fold -1"),
        ({"configuration": "slow"}, r"nnUNetPlans\.json has no configuration slow, only quick"),
    ],
)
def test_folds_that_there_are_not(preprocessed, arguments, message):
    with pytest.raises(ValueError, match=message):
        view(**arguments)


def test_a_fold_without_held_out_cases(tmp_path, preprocessed, monkeypatch):
    folder = tmp_path / preprocessed.name
    (folder / "nnUNetPlans_3d").mkdir(parents=True)
    for file in preprocessed.glob("*.json"):
        (folder / file.name).write_text(file.read_text())
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["a"], "val": []}]))
    with pytest.raises(ValueError, match=r"Fold 0 of .* has no held-out cases to judge a prior on: add some"):
        view()
    (folder / "splits_final.json").write_text(json.dumps([{"train": [], "val": ["a"]}]))
    with pytest.raises(ValueError, match=r"Fold 0 of .* has no training cases"):
        view()
    for damaged in ('[{"train": ["a"]}]', '{"train": ["a"]}', '[{"train": ["a'):
        (folder / "splits_final.json").write_text(damaged)
        with pytest.raises(ValueError, match=r"splits_final\.json is no list of folds with train and val .*: mend it"):
            view()
    (folder / "splits_final.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"splits_final\.json: nnUNetv2_train writes it"):
        view()
    (folder / "nnUNetPlans_3d").rmdir()
    with pytest.raises(FileNotFoundError, match=r"no preprocessed cases in .*: make them with nnUNetv2_plan_and"):
        view()
