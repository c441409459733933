"""Grids: diagonals and volumes by hand, differences by name."""

import dataclasses
import math

import numpy as np
import pytest

from acnn_nnunet.files.geometry import Geometry, foreground_box, longest_axis

HEART = Geometry((10, 256, 216), (5.0, 1.25, 1.5), (1.0, -2.0, 3.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def test_the_diagonal_runs_from_edge_to_edge():
    # 2 voxels of 1.5 mm, 4 of 1 mm, 6 of 2 mm: a box of 3 × 4 × 12 mm, whose diagonal is 13 mm.
    assert Geometry((2, 4, 6), (1.5, 1.0, 2.0)).diagonal_mm == 13
    # 3 × 4 mm in 2D; how thick the slice is does not count.
    assert Geometry((3, 2), (1.0, 2.0), thickness_mm=100.0).diagonal_mm == 5


def test_volumes():
    assert HEART.voxel_ml == pytest.approx(5 * 1.25 * 1.5 / 1000)
    assert Geometry((4, 4), (2.0, 3.0), thickness_mm=10.0).voxel_ml == pytest.approx(0.06)
    assert Geometry((4, 4), (2.0, 3.0)).voxel_ml is None


def test_no_difference_from_itself_nor_within_rounding():
    nearly = dataclasses.replace(HEART, spacing_mm=(5.0001, 1.25, 1.5), origin_mm=(1.001, -2.0, 3.0))

    assert HEART.differences(HEART) == []
    assert HEART.differences(nearly) == []


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("size", (10, 256, 215), "size (10, 256, 215) against (10, 256, 216)"),
        ("spacing_mm", (5.0, 1.25, 1.25), "spacing (5.0, 1.25, 1.25) against (5.0, 1.25, 1.5) mm"),
        ("origin_mm", (1.0, -2.0, 3.1), "origin (1.0, -2.0, 3.1) against (1.0, -2.0, 3.0)"),
        ("direction", (-1, 0, 0, 0, 1, 0, 0, 0, 1), "direction (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0) against"),
    ],
)
def test_the_one_difference_is_named(field, value, text):
    (difference,) = dataclasses.replace(HEART, **{field: value}).differences(HEART)

    assert difference.startswith(text)


def test_every_difference_is_named():
    other = Geometry((9, 256, 216), (4.0, 1.25, 1.5), (0.0, 0.0, 0.0), (0, 1, 0, 1, 0, 0, 0, 0, 1))

    assert [text.split()[0] for text in other.differences(HEART)] == ["size", "spacing", "origin", "direction"]


def test_a_slice_differs_from_a_volume_and_from_a_thicker_slice():
    thin = Geometry((4, 4), (1.0, 1.0), thickness_mm=5.0)

    assert thin.differences(dataclasses.replace(thin, thickness_mm=8.0)) == ["slice thickness 5 against 8 mm"]
    assert thin.differences(dataclasses.replace(thin, thickness_mm=None)) == []
    assert thin.differences(Geometry((3, 4, 4), (5.0, 1.0, 1.0))) == ["size (4, 4) against (3, 4, 4)"]


def test_what_a_format_does_not_tell_cannot_differ():
    assert Geometry((4, 4), (1.0, 1.0)).differences(Geometry((4, 4), (1.0, 1.0), (5.0, 5.0), (1, 0, 0, 1))) == []
    assert math.isclose(Geometry((1, 1), (3.0, 4.0)).diagonal_mm, 5)


def test_the_box_around_the_foreground():
    values = np.zeros((4, 6, 7), np.uint16)
    assert foreground_box(values) is None
    assert foreground_box(np.zeros((0, 3), bool)) is None

    values[2, 1, 6] = 300
    values[1, 4, 3] = 1
    assert foreground_box(values) == (slice(1, 3), slice(1, 5), slice(3, 7))
    assert foreground_box(values[1].T > 0) == (slice(3, 4), slice(4, 5))


def test_voxels_that_are_cubes_but_for_rounding_are_longest_along_the_first_axis():
    assert longest_axis((1.0, 1.0, 1.0000002)) == longest_axis((0.9995, 1.0, 1.0)) == 0
    assert longest_axis((0.99, 1.0, 1.0)) == 1
