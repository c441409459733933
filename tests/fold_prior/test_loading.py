"""Where a training looks for its prior."""

import pytest

from acnn_nnunet.fold_prior.loading import locate_prior, prior_command

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
