"""Arms scored against other references: by volumes, voxels of each label, digests and voxel sizes."""

from dataclasses import replace

import pytest
from compared_folders import both_empty, score

from acnn_nnunet.evaluation.comparison.references import check_same_files, check_same_volumes


def summary(reader: str = "SimpleITKIO", *, voxels: int = 400, **noted) -> dict:
    return {"reader": reader, "metric_per_case": [{"case": "c", "metrics": {"1": {"n_ref": voxels}}, **noted}]}


def test_the_same_references():
    check_same_volumes({"a": {("c", "1"): score("c")}, "b": {("c", "1"): score("c", dice=0.5)}})
    noted = {"reference_digest": "12ab", "reference_spacing_mm": [5, 1.5, 1.5]}
    rounded = {**noted, "reference_spacing_mm": [5, 1.5, 1.50001]}
    assert check_same_files({"a": summary(**noted), "b": summary(**rounded)}) == []


def test_other_volumes():
    with pytest.raises(ValueError, match=r"Case c, label 1: the reference has 10\.0 ml in arm a and 11\.0 ml in arm b"):
        check_same_volumes({"a": {("c", "1"): score("c")}, "b": {("c", "1"): score("c", volume_ml=11.0)}})
    unknown = replace(both_empty("c"), volume_reference_ml=None)
    with pytest.raises(ValueError, match="evaluate both against the same references"):
        check_same_volumes({"a": {("c", "1"): score("c")}, "b": {("c", "1"): unknown}})


def test_other_voxels_of_a_label():
    with pytest.raises(ValueError, match="Case c, label 1: the reference has 400 voxels in arm a and 900 in arm b"):
        check_same_files({"a": summary(), "b": summary(voxels=900)})


def test_as_many_voxels_in_other_places():
    arms = {"a": summary(reference_digest="12ab"), "b": summary(reference_digest="34cd")}
    with pytest.raises(ValueError, match="Case c: the reference has other voxels in arm b than in arm a: "):
        check_same_files(arms)


def test_two_arms_that_differ_behind_one_of_an_earlier_version():
    arms = {"a": summary(), "b": summary(reference_digest="12ab"), "c": summary(reference_digest="34cd")}
    with pytest.raises(ValueError, match="Case c: the reference has other voxels in arm c than in arm b"):
        check_same_files(arms)


def test_another_voxel_size_of_the_same_volume():
    arms = {arm: summary(reference_digest="1", reference_spacing_mm=mm) for arm, mm in (("a", [5, 1]), ("b", [1, 5]))}
    with pytest.raises(ValueError, match="Case c: the reference has another voxel size in arm b than in arm a"):
        check_same_files(arms)


def test_readers_that_turn_label_maps_have_digests_of_their_own():
    arms = {
        "a": summary(reference_digest="12ab"),
        "b": summary("SimpleITKIOWithReorient", reference_digest="34cd"),
    }
    assert check_same_files(arms) == []


def test_arms_of_an_earlier_version_are_named():
    arms = {"a": summary(), "b": summary(reference_digest="34cd"), "c": summary(reference_digest=None)}
    assert check_same_files(arms) == ["a", "c"]


def test_summaries_without_cases():
    assert check_same_files({"a": {}, "b": {"metric_per_case": [{"metrics": {}}]}}) == []
