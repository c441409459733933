"""Where a training looks for its prior, and which one it may take."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from phantom_prior import write_phantom_prior, write_raw

from acnn_nnunet.fold_prior.loading import (
    channel_names,
    choose_prior,
    largest_rotation_deg,
    load_finished_prior,
    load_fold_prior,
    locate_prior,
    prior_command,
    prior_warnings,
    record_prior,
    refuse_another_prior,
    spec_of_checkpoint,
)
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.prior_file import Prior, PriorSpec

PLANS = {
    "dataset_name": "Dataset004_Hippocampus",
    "plans_name": "nnUNetPlans",
    "configurations": {
        "3d_fullres": {},
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
        "quick": {"inherits_from": "3d_fullres"},
        "quicker": {"inherits_from": "quick"},
    },
}


def prior_of(results, configuration, fold=0):
    folder = results / "Dataset004_Hippocampus" / f"ShapePriorTrainer__nnUNetPlans__{configuration}" / f"fold_{fold}"
    folder.mkdir(parents=True)
    (folder / "checkpoint_final.pth").write_bytes(b"")
    return folder / "checkpoint_final.pth"


def test_its_own_comes_first_then_the_nearest_inherited_one(tmp_path):
    base = prior_of(tmp_path, "3d_fullres")
    assert locate_prior(tmp_path, PLANS, "quicker", 0) == base
    assert locate_prior(tmp_path, PLANS, "3d_cascade_fullres", 0) == base
    nearer = prior_of(tmp_path, "quick")
    assert locate_prior(tmp_path, PLANS, "quicker", 0) == nearer
    own = prior_of(tmp_path, "quicker")
    assert locate_prior(tmp_path, PLANS, "quicker", 0) == own


def test_another_folds_is_not_taken(tmp_path):
    prior_of(tmp_path, "3d_fullres", fold=1)
    with pytest.raises(FileNotFoundError) as error:
        locate_prior(tmp_path, PLANS, "quick", 0)
    message = str(error.value)
    assert "ShapePriorTrainer__nnUNetPlans__quick/fold_0/checkpoint_final.pth" in message
    assert "ShapePriorTrainer__nnUNetPlans__3d_fullres/fold_0/checkpoint_final.pth" in message
    assert message.endswith("nnUNetv2_train 4 quick 0 -tr ShapePriorTrainer")


def test_the_command_trains_what_can_be_trained():
    assert prior_command(PLANS, "3d_cascade_fullres", "all") == "nnUNetv2_train 4 3d_fullres all -tr ShapePriorTrainer"
    other = {**PLANS, "plans_name": "nnUNetResEncUNetMPlans"}
    assert prior_command(other, "quick", 2).endswith("-tr ShapePriorTrainer -p nnUNetResEncUNetMPlans")


def prior_file(folder, sha256, **spec) -> Prior:
    """A prior without its network."""
    described = SimpleNamespace(absent_labels=(), unlearnt_labels={}, **spec)
    return Prior(None, described, folder / "prior.pth", sha256)


def test_a_training_goes_on_with_the_prior_that_it_recorded(tmp_path):
    first, second = prior_file(tmp_path, "a" * 64), prior_file(tmp_path, "b" * 64)
    refuse_another_prior(second, tmp_path)  # nothing is recorded yet
    record_prior(first, tmp_path)
    assert json.loads((tmp_path / "acnn_run.json").read_text())["prior_sha256"] == "a" * 64
    refuse_another_prior(first, tmp_path)
    with pytest.raises(ValueError, match=r"sha256 aaaaaaaaaaaa….*--c found .*bring the first one back"):
        refuse_another_prior(second, tmp_path)


def test_a_prior_warns_of_labels_that_it_does_not_know(tmp_path):
    prior = prior_file(tmp_path, "")
    assert prior_warnings(prior) == []
    prior.spec.absent_labels, prior.spec.unlearnt_labels = ("LV",), {"RV": 0.021}
    absent, unlearnt = prior_warnings(prior)
    assert "never saw LV: no training case of its fold has that label" in absent
    assert "has not learnt to draw RV (Dice 0.02) back" in unlearnt


def test_a_prior_whose_training_has_not_ended_is_not_loaded(tmp_path):
    spec = PriorSpec(
        dataset="Dataset001_X", plans="nnUNetPlans", configuration="2d", fold=0, labels={"background": 0, "a": 1},
        num_channels=2, regions=False, ignore_label=None, image_channels=1, grid="patch", grid_size=(8, 8),
        spacing_mm=(1.0, 1.0), code_size=2,
    )  # fmt: skip
    path = tmp_path / "checkpoint_best.pth"
    for complete in (False, True):
        plain = replace(spec, complete=complete).as_plain()
        torch.save({"shape_prior": plain, "network_weights": spec.make_network().state_dict()}, path)
        assert spec_of_checkpoint(str(path)).complete is complete
        if complete:
            assert load_finished_prior(path).spec.complete
        else:
            with pytest.raises(ValueError, match=r"saved before its training ended.*take its checkpoint_final\.pth"):
                load_finished_prior(path)


def test_a_prior_is_named_by_its_file_or_by_its_dataset_and_not_by_both(tmp_path):
    nothing = {"dataset": None, "configuration": None, "fold": None, "plans_identifier": "nnUNetPlans"}

    assert choose_prior(tmp_path / "a.pth", **nothing) == tmp_path / "a.pth"
    with pytest.raises(ValueError, match=r"--prior names the prior: leave out -d"):
        choose_prior(tmp_path / "a.pth", **{**nothing, "dataset": "4"})
    with pytest.raises(ValueError, match=r"Name a prior with --prior, or with -d, -c and -f \(-c, -f missing\)"):
        choose_prior(None, **{**nothing, "dataset": "4"})


def test_the_prior_of_a_dataset_is_found(tmp_path, monkeypatch):
    results, folder = tmp_path / "results", tmp_path / "Dataset099_PhantomHeart"
    path = write_phantom_prior(write_raw(tmp_path / "raw", cases=3), results, steps=0)
    folder.mkdir()
    shutil.copyfile(path.parents[1] / "plans.json", folder / "nnUNetPlans.json")
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    monkeypatch.setenv("nnUNet_results", str(results))
    words = {"dataset": "99", "configuration": "quick", "fold": "0", "plans_identifier": "nnUNetPlans"}

    assert choose_prior(None, **words) == path
    (folder / "splits_final.json").write_text('[{"train": [], "val": []}]')
    with pytest.raises(ValueError, match=r"There is no fold 7: .*splits_final\.json has folds 0 to 0"):
        choose_prior(None, **{**words, "fold": "7"})
    (folder / "splits_final.json").unlink()
    with pytest.raises(ValueError, match=r"has no configuration 3d, only quick"):
        choose_prior(None, **{**words, "configuration": "3d"})
    with pytest.raises(FileNotFoundError, match=r"No shape prior for Dataset099_PhantomHeart, .* fold 1"):
        choose_prior(None, **{**words, "fold": "1"})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The raw dataset of phantoms, the results folder and an untrained prior of fold 0, which saw all three cases."""
    root = tmp_path_factory.mktemp("trained")
    raw = write_raw(root / "raw", cases=3)
    return raw, root / "results", write_phantom_prior(raw, root / "results", steps=0)


def find(trained, monkeypatch, *, fold=0, validation_cases=(), results=None, **acnn):
    """Load the prior of a fold of the phantoms, with other settings in the plans."""
    raw, default, path = trained
    monkeypatch.setenv("nnUNet_results", str(results or default))
    plans = json.loads((path.parents[1] / "plans.json").read_text())
    plans["configurations"]["quick"]["acnn"].update(acnn)
    dataset_json = json.loads((raw / "dataset.json").read_text())
    return load_fold_prior(
        PlansManager(plans), "quick", dataset_json, fold, validation_cases=validation_cases, device="cpu"
    )


def test_the_folds_own_prior_is_taken(trained, monkeypatch):
    assert find(trained, monkeypatch).path == trained[2]


def test_the_prior_that_the_settings_name_is_taken(trained, tmp_path, monkeypatch):
    other = shutil.copyfile(trained[2], tmp_path / "other.pth")

    assert find(trained, monkeypatch, prior=str(other)).path == other


def test_without_a_prior_the_command_that_trains_one_is_named(trained, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"nnUNetv2_train 99 quick 0 -tr ShapePriorTrainer$"):
        find(trained, monkeypatch, results=tmp_path)


def test_a_prior_that_is_named_and_not_there(trained, tmp_path, monkeypatch):
    remedy = (
        r"The setting prior of quick names this file: correct it or take it out\. Train one with: nnUNetv2_train 99"
    )
    with pytest.raises(FileNotFoundError, match=rf"no\.pth.* fold 0 needs a prior\. {remedy}"):
        find(trained, monkeypatch, prior=str(tmp_path / "no.pth"))


def test_a_prior_of_another_code_does_not_fit(trained, monkeypatch):
    with pytest.raises(ValueError, match=r"does not fit Dataset099_PhantomHeart, configuration quick, fold 0: .*code"):
        find(trained, monkeypatch, code_size=7)


def test_a_prior_that_saw_a_validation_case_is_refused(trained, monkeypatch):
    seen = "phantom_tr002"

    with pytest.raises(ValueError, match=rf"saw the labels of 1 validation cases .* \(for one {seen}\)"):
        find(trained, monkeypatch, validation_cases=[seen, "another"])


def test_fold_all_has_seen_everything(trained, monkeypatch):
    found = find(trained, monkeypatch, fold="all", validation_cases=["phantom_tr002"], prior=str(trained[2]))

    assert found.path == trained[2]


def test_channels_of_classes_are_named_by_value_whatever_their_order():
    names = {"b": 2, "background": 0, "ignore": 3, "a": 1}

    assert list(channel_names(names, LabelSpace(3, ignore_label=3)).items()) == [(1, "a"), (2, "b")]


def test_a_list_of_one_value_is_a_label_where_there_is_no_region():
    names = {"background": 0, "b": [2], "a": 1}
    assert LabelManager(names, None).foreground_labels == [1, 2]  # nnU-Net's reading
    assert channel_names(names, LabelSpace(3)) == {1: "a", 2: "b"}


def test_channels_of_regions_are_named_in_their_order():
    names = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    assert channel_names(names, LabelSpace(2, regions=True, ignore_label=3)) == {0: "whole", 1: "core"}


def test_a_dataset_of_background_alone_has_no_channel_to_name():
    assert channel_names({"background": 0}, LabelSpace(1)) == {}


@pytest.mark.parametrize(
    ("patch_size", "degrees"), [((40, 56, 40), 30), ((10, 160, 160), 180), ((56, 40), 180), ((80, 40), 15)]
)
def test_the_host_rotates_by_the_form_of_the_patch(patch_size, degrees):
    assert largest_rotation_deg(SimpleNamespace(patch_size=patch_size)) == degrees
