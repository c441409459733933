"""The published splits against nnU-Net's own function and SSL4MIS's own slice counts."""

import pytest

from acnn_nnunet.challenges.acdc_splits import nnunet_split, ssl4mis_split
from acnn_nnunet.challenges.command import convert

ALL = [f"patient{number:03d}" for number in range(1, 101)]


def cases_of(patients):
    return {name: [f"{name}_ED", f"{name}_ES"] for name in patients}


def test_the_folds_are_those_of_nnunets_own_conversion(tmp_path):
    from nnunetv2.dataset_conversion.Dataset027_ACDC import create_ACDC_split

    for name in ALL:
        (tmp_path / f"{name}_ED.nii.gz").touch()
        (tmp_path / f"{name}_ES.nii.gz").touch()
    expected = create_ACDC_split(str(tmp_path))
    ours = nnunet_split().of(cases_of(ALL))
    assert [{part: sorted(fold[part]) for part in ("train", "val")} for fold in expected] == ours


def test_patients_that_are_not_there_stay_out_of_folds_that_else_are_the_same():
    whole, part = nnunet_split().of(cases_of(ALL)), nnunet_split().of(cases_of(ALL[:80]))
    for one, other in zip(whole, part, strict=True):
        assert other["val"] == [case for case in one["val"] if case[:10] in ALL[:80]]
    assert nnunet_split().absent(ALL[:80]) == ALL[80:]


def test_ssl4mis_has_7_labelled_10_and_20_patients_apart():
    first, second = ssl4mis_split().folds
    assert (len(first[0]), len(first[1]), len(second[1])) == (7, 10, 20)
    assert first[0] == second[0]
    assert len(ssl4mis_split().patients) == 37
    # ACDC's training patients are numbered by group: 1 DCM, 21 HCM, 41 MINF, 61 NOR, 81 RV.
    groups = {("DCM", "HCM", "MINF", "NOR", "RV")[(int(name[7:]) - 1) // 20] for name in first[0]}
    assert groups == {"HCM", "MINF", "RV"}


def test_a_fold_without_patients_is_named():
    with pytest.raises(
        ValueError, match="fold 0 of the split has no patient to train on: none of patient099, patient038"
    ):
        ssl4mis_split().of(cases_of(ALL[:20]))


def test_a_split_of_another_challenge_is_refused(tmp_path):
    with pytest.raises(ValueError, match="--splits nnunet is a split of ACDC: leave it out for cetus"):
        convert("cetus", tmp_path, 28, splits="nnunet")
