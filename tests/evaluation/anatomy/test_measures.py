"""What a measure counts, slice by slice."""

import numpy as np

from acnn_nnunet.evaluation.anatomy.measures import MEASURES, Scene


def scene(structure, other=None, *, axis=0, limit=0.0, left_mm=None):
    return Scene(
        structure=structure,
        other=np.zeros_like(structure) if other is None else other,
        axis=axis,
        spacing_mm=(8.0, 1.0, 1.0)[-structure.ndim :],
        limit=limit,
        slice_voxels=100,
        left_mm=left_mm,
    )


def ring_and_cavity():
    ring = np.zeros((4, 9, 9), dtype=bool)
    ring[1:3, 2:7, 2:7] = True
    ring[:, 3:6, 3:6] = False
    cavity = np.zeros_like(ring)
    cavity[1, 3:6, 3:6] = True  # slice 2 has none
    return ring, cavity


def test_slices_count_only_where_the_structure_is():
    ring, cavity = ring_and_cavity()
    broken, total = MEASURES["no_pockets"](scene(ring, cavity))
    assert (broken.tolist(), total.tolist()) == ([0, 0, 1, 0], [0, 1, 1, 0])


def test_a_neighbour_that_is_absent_does_not_apply():
    ring, cavity = ring_and_cavity()
    broken, total = MEASURES["adjoins"](scene(ring, cavity))
    assert (broken.tolist(), total.tolist()) == ([0, 0, 0, 0], [0, 1, 0, 0])


def test_a_limit_is_kept_by_what_equals_it():
    square = np.zeros((1, 6, 6), dtype=bool)
    square[0, 1:5, 1:5] = True
    value = 4 * np.pi * 16 / 12**2
    for limit, expected in ((value, 0), (value * 1.001, 1)):
        broken, total = MEASURES["circularity"](scene(square, limit=limit))
        assert (broken.tolist(), total.tolist()) == ([expected], [1])


def test_an_image_of_two_axes_is_one_slice():
    ring, cavity = ring_and_cavity()
    broken, total = MEASURES["no_gap"](scene(ring[1], cavity[1] & (np.arange(9) < 5), axis=None))
    assert (broken.tolist(), total.tolist()) == ([1], [1])


def test_slices_may_lie_along_any_axis():
    ring, cavity = ring_and_cavity()
    turned = [np.moveaxis(mask, 0, 2) for mask in (ring, cavity)]
    broken, _ = MEASURES["no_pockets"](scene(*turned, axis=2))
    assert broken.tolist() == [0, 0, 1, 0]
