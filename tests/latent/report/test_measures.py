"""Volumes, wall thickness and mass of shapes whose measures are known."""

import math

import numpy as np
import pytest

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.latent.report.measures import measure_shape, wall_thickness_mm


def discs(radius, shape, spacing_mm):
    """A disc of a radius in mm in every slice (Z, Y, X)."""
    y, x = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape[1:], spacing_mm[1:], strict=True))
    return np.broadcast_to(np.hypot(y[:, None], x) < radius, shape).copy()


def test_nothing_has_no_volume_and_no_thickness():
    nothing = np.zeros((4, 6, 6), dtype=bool)

    measures = measure_shape({"RV": nothing, "MYO": nothing, "LV": nothing}, Geometry((4, 6, 6), (5.0, 2.0, 2.0)))

    assert [(m.name, m.unit, m.value) for m in measures] == [
        ("RV volume", "ml", 0.0),
        ("MYO volume", "ml", 0.0),
        ("LV volume", "ml", 0.0),
        ("MYO thickness", "mm", None),
        ("MYO mass", "g", 0.0),
    ]


def test_other_labels_have_volumes_only():
    mask = np.zeros((4, 6, 6), dtype=bool)
    mask[0, :2, :5] = True

    measures = measure_shape({"Anterior": mask}, Geometry((4, 6, 6), (5.0, 2.0, 4.0)))

    assert [(m.name, m.unit, m.value) for m in measures] == [
        ("Anterior volume", "ml", pytest.approx(0.4))
    ]  # 10 · 40 mm³


def test_two_axes_have_areas():
    mask = np.ones((5, 8), dtype=bool)

    measures = measure_shape({"MYO": mask, "LV": ~mask}, Geometry((5, 8), (2.0, 5.0)))

    assert [(m.name, m.unit, m.value) for m in measures] == [
        ("MYO area", "cm²", pytest.approx(4.0)),
        ("LV area", "cm²", 0.0),
        ("MYO thickness", "mm", None),
    ]


def test_mass_is_the_walls_volume_times_its_density():
    wall = np.zeros((10, 10, 10), dtype=bool)
    wall[:5] = True  # 500 voxels of 8 mm³ are 4 ml

    measures = {m.name: m.value for m in measure_shape({"lv": ~wall, "Myo": wall}, Geometry((10,) * 3, (2.0,) * 3))}

    assert measures["MYO mass"] == pytest.approx(4.2)  # 1.05 g/ml


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_tube_is_as_thick_as_its_radii_differ(axis):
    spacing_mm, shape = (8.0, 0.5, 0.5), (6, 140, 140)
    cavity, whole = discs(20.0, shape, spacing_mm), discs(29.0, shape, spacing_mm)
    wall = whole & ~cavity
    cavity[4:], wall[0] = False, False  # an apex without cavity, a slice without wall: neither counts
    turned = [np.moveaxis(mask, 0, axis) for mask in (cavity, wall)]
    spacing_mm = tuple(np.roll((8.0, 0.5, 0.5), axis)) if axis else spacing_mm

    thickness = wall_thickness_mm(*turned, spacing_mm)

    assert thickness == pytest.approx(9.0, abs=0.05)


def test_in_one_slice_the_thickness_is_that_of_the_areas():
    wall = np.ones((4, 4), dtype=bool)
    wall[1:3, 1:3] = False

    thickness = wall_thickness_mm(~wall, wall, (1.0, 1.0))

    assert thickness == pytest.approx(math.sqrt(16 / math.pi) - math.sqrt(4 / math.pi))
