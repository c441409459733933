"""Shares of labels, counted by hand."""

import numpy as np
import pytest
import SimpleITK

from scripts.studies.label_shares import log_shares


def test_shares_count_the_voxels_of_all_label_maps(tmp_path):
    # 6 + 18 voxels: of label 1 there are 3 + 3, of label 2 there is 0 + 6, the other 12 are background.
    first = np.zeros((1, 2, 3), np.uint8)
    first[0, 0] = 1
    second = np.zeros((2, 3, 3), np.uint8)
    second[0, 0], second[1, :2] = 1, 2
    for name, values in (("a", first.astype(np.float32)), ("b", second)):  # label files may hold floating-point numbers
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(tmp_path / f"{name}.nii.gz"))
    found = log_shares(sorted(tmp_path.iterdir()), 3)
    assert found == pytest.approx(np.log([12 / 24, 6 / 24, 6 / 24]))
