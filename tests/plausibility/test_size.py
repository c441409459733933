"""Volume and thinness, worked out by hand."""

import numpy as np
import pytest

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.nnunet.label_files import LabelMap
from acnn_nnunet.plausibility.size import size_of


def label_map(values, spacing_mm):
    values = np.array(values, np.uint8)
    return LabelMap(values, Geometry(values.shape, spacing_mm))


def test_an_empty_map_has_no_sizes():
    assert size_of(label_map(np.zeros((2, 3, 4)), (1.0, 1.0, 1.0)), {"LV": (1,)}) == {}


def test_a_block_by_hand():
    values = np.zeros((3, 5, 6))
    values[0, 1:3, 1:5] = 1  # 1 × 2 × 4 voxels of 10 × 2 × 1.5 mm, at the volume's edge: 10 × 4 × 6 mm
    values[2, 4, 5] = 2
    found = size_of(label_map(values, (10.0, 2.0, 1.5)), {"LV": (1,), "RV": (2,), "both": (1, 2)})
    assert found["LV"]["volume_ml"] == pytest.approx(0.24)
    assert found["LV"]["thinness_per_mm"] == pytest.approx(2 * (4 * 6 + 10 * 6 + 10 * 4) / 240)
    assert found["RV"]["thinness_per_mm"] == pytest.approx(2 / 10 + 2 / 2 + 2 / 1.5)
    assert found["both"]["volume_ml"] == pytest.approx(0.27)


def test_a_hole_makes_it_thinner():
    values = np.zeros((5, 5, 5))
    values[1:4, 1:4, 1:4] = 1
    whole = size_of(label_map(values, (1.0, 1.0, 1.0)), {"a": (1,)})["a"]["thinness_per_mm"]
    values[2, 2, 2] = 0
    hollow = size_of(label_map(values, (1.0, 1.0, 1.0)), {"a": (1,)})["a"]["thinness_per_mm"]
    assert (whole, hollow) == (pytest.approx(54 / 27), pytest.approx(60 / 26))


def test_an_image_of_two_dimensions():
    found = size_of(label_map([[1, 1, 0]], (2.0, 1.0)), {"a": (1,)})["a"]
    assert found == {"volume_ml": pytest.approx(0.004), "thinness_per_mm": pytest.approx(2 / 2 + 2 / 2)}
    # One slice of a volume says how thick it is: 2 voxels of 2 × 1 × 8 mm.
    slice_of_volume = LabelMap(np.array([[1, 1, 0]], np.uint8), Geometry((1, 3), (2.0, 1.0), thickness_mm=8.0))
    found = size_of(slice_of_volume, {"a": (1,)})["a"]
    assert found == {"volume_ml": pytest.approx(0.032), "thinness_per_mm": pytest.approx(2 / 2 + 2 / 2)}
