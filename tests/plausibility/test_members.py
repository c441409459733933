"""Disagreement of an ensemble's members, worked out by hand."""

import math

import numpy as np
import pytest

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.nnunet.label_files import LabelMap
from acnn_nnunet.plausibility.members import disagreement, find_members

LABELS = {"LV": (1,), "RV": (2,), "both": (1, 2), "nowhere": (3,)}


def line(values):
    """Return a label map (1, 1, N) of voxels of 2 mm along x."""
    values = np.array(values, np.uint8).reshape(1, 1, -1)
    return LabelMap(values, Geometry(values.shape, (3.0, 3.0, 2.0)))


def test_pairs_by_hand():
    members = [line([1, 1, 0, 2]), line([1, 0, 0, 2]), line([0, 1, 0, 0])]
    found = disagreement(members, LABELS)
    # LV: {0, 1}, {0}, {1}: Dice 2/3, 2/3, 0.
    assert found["LV"]["members_dice"] == pytest.approx(4 / 9)
    # Distances 0, 0 | 2 back: 2/3 mm in each of the first two pairs; 2 mm both ways in the last one.
    assert found["LV"]["members_distance_mm"] == pytest.approx((2 / 3 + 2 / 3 + 2) / 3)
    # RV: twice the same voxel, once missing: Dice 1, 0, 0; a miss is the diagonal.
    diagonal_mm = math.hypot(3, 3, 8)
    assert found["RV"]["members_dice"] == pytest.approx(1 / 3)
    assert found["RV"]["members_distance_mm"] == pytest.approx(2 * diagonal_mm / 3)
    # The region: {0, 1, 3}, {0, 3}, {1}: Dice 4/5, 2/4, 0.
    assert found["both"]["members_dice"] == pytest.approx((4 / 5 + 1 / 2) / 3)
    assert "nowhere" not in found


def test_a_pair_without_the_label_does_not_count():
    found = disagreement([line([1, 0]), line([0, 0]), line([0, 0])], {"LV": (1,)})
    assert found["LV"]["members_dice"] == 0
    assert disagreement([line([0, 0]), line([0, 0])], LABELS) == {}


def test_members_that_agree():
    found = disagreement([line([1, 2]), line([1, 2])], LABELS)
    assert all(each == {"members_dice": 1, "members_distance_mm": 0} for each in found.values())


def test_files_of_members_by_case(tmp_path):
    for folder, names in (("a", "xy"), ("b", "x")):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.nii.gz").touch()
    folders = [tmp_path / "a", tmp_path / "b"]
    found = find_members(folders, ["x", "y"], ".nii.gz")
    assert found["y"] == (tmp_path / "a" / "y.nii.gz", tmp_path / "b" / "y.nii.gz")  # one of them is not there
    for wrong, message in (
        (folders[:1], "names one folder, .*a: a disagreement takes two members or more"),
        ([folders[0], folders[0]], "names a folder twice"),
    ):
        with pytest.raises(ValueError, match=message):
            find_members(wrong, ["x"], ".nii.gz")
    with pytest.raises(ValueError, match=r"The member .*b holds no prediction of these cases, such as y\.nii\.gz"):
        find_members(folders, ["y"], ".nii.gz")
