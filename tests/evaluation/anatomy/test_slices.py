"""Shapes whose voxels and depths are counted by hand, and hulls against scikit-image's."""

import numpy as np
import pytest
from skimage.morphology import convex_hull_image

from acnn_nnunet.evaluation.anatomy import slices

MM = (1.0, 1.0)
EMPTY = np.zeros((1, 12, 12), dtype=bool)


def box(rows, columns):
    mask = EMPTY.copy()
    mask[0, rows, columns] = True
    return mask


def ring():
    mask = box(slice(3, 9), slice(3, 9))
    mask[0, 4:8, 4:8] = False
    return mask


def test_pieces_belong_to_their_slice():
    mask = np.zeros((3, 6, 6), dtype=bool)
    mask[0, 1:3, 1:3] = mask[0, 3, 3] = True  # a corner joins
    mask[2, 1, 1] = mask[2, 4, 1:4] = True
    assert slices.main_piece_voxels(mask).tolist() == [5, 0, 3]


def test_a_pocket_leaks_through_a_corner():
    assert slices.pocket_voxels(ring(), EMPTY).tolist() == [16]
    assert slices.pocket_voxels(ring(), box(slice(4, 8), slice(4, 7))).tolist() == [4]
    leaking = ring()
    leaking[0, 3, 3] = False
    assert slices.pocket_voxels(leaking, EMPTY).tolist() == [0]


def test_a_gap_lies_between_two_and_is_no_hole_of_one():
    cavity = box(slice(4, 8), slice(4, 7))  # one column of four voxels is left
    assert slices.gap_voxels(ring(), cavity, slice_voxels=144).tolist() == [4]
    assert slices.gap_voxels(ring(), cavity, slice_voxels=4 * 2**14).tolist() == [0]  # as few as may be
    assert slices.gap_voxels(ring(), cavity, slice_voxels=4 * 2**14 - 1).tolist() == [4]
    assert slices.gap_voxels(ring(), box(1, 1), slice_voxels=144).tolist() == [0]


def test_a_gap_needs_both_to_close():
    half = ring()
    half[0, :, :5] = False
    other = box(slice(2, 10), slice(4, 5))
    # The half ring and a bar before it enclose columns 5 to 7 of rows 4 to 7.
    assert slices.gap_voxels(half, other, slice_voxels=144).tolist() == [12]


def test_a_corner_is_no_distance():
    one = box(slice(2, 4), slice(2, 4))
    assert slices.distance_beyond_a_corner_mm(one, box(4, 4), spacing_mm=MM).tolist() == [0]
    # Columns 3 and 7 lie 4 apart: 3 from the dilated mask, of 0.5 mm.
    assert slices.distance_beyond_a_corner_mm(one, box(2, 7), spacing_mm=(1.0, 0.5)).tolist() == [1.5]
    assert np.isnan(slices.distance_beyond_a_corner_mm(one, EMPTY, spacing_mm=MM)).all()
    assert np.isnan(slices.distance_beyond_a_corner_mm(EMPTY, one, spacing_mm=MM)).all()


def test_contact_of_a_single_voxel_is_none():
    one = box(slice(2, 4), slice(2, 4))
    assert slices.contact_voxels(one, box(4, 4)).tolist() == [0]
    assert slices.contact_voxels(one, box(4, 3)).tolist() == [2]


def test_a_notch_is_as_deep_as_its_inner_voxels():
    notched = box(slice(1, 10), slice(1, 10))
    notched[0, 4:7, 6:10] = False  # 3 rows, 4 columns deep; the rim leaves row 5, columns 7 and 8
    # Column 10 is the first beyond the hull: column 7 is 3 away.
    assert slices.concavity_mm(notched, spacing_mm=MM).tolist() == [pytest.approx(3, rel=1e-5)]
    assert slices.concavity_mm(notched, spacing_mm=(1.0, 0.5)).tolist() == [pytest.approx(1.5, rel=1e-5)]
    notched[0, 4:6, :] |= box(slice(1, 10), slice(1, 10))[0, 4:6]  # one row is all rim
    assert slices.concavity_mm(notched, spacing_mm=MM).tolist() == [0]


def test_a_depth_equal_to_the_limit_is_not_above_it():
    notched = box(slice(1, 10), slice(1, 10))
    notched[0, 4:7, 6:10] = False
    for mm in (0.7, 1.1, 1.367):
        assert slices.concavity_mm(notched, spacing_mm=(5.0, mm))[0] <= 3 * mm


def test_holes_and_single_voxels_are_not_concave():
    assert slices.concavity_mm(ring(), spacing_mm=MM).tolist() == [0]
    assert slices.concavity_mm(box(5, 5), spacing_mm=MM).tolist() == [0]
    assert slices.concavity_mm(EMPTY, spacing_mm=MM).tolist() == [0]


def test_circularity_is_area_over_squared_perimeter():
    # A filled square of 6 x 6: the line through the centres of its border is 20 long.
    assert slices.circularity(ring())[0] == pytest.approx(4 * np.pi * 36 / 20**2)
    assert np.isnan(slices.circularity(box(5, 5))).all()
    assert np.isnan(slices.circularity(EMPTY)).all()


def test_a_bound_never_exceeds_the_circularity():
    rng = np.random.default_rng(5)
    masks = np.pad(rng.random((40, 8, 8)) > 0.3, ((0, 0), (1, 1), (1, 1)))
    exact, bounded = slices.circularity(masks), slices.circularity(masks, enough=0.2)
    assert (bounded <= exact + 1e-12).all()
    assert ((bounded < 0.2) == (exact < 0.2)).all()


def test_hulls_equal_those_of_scikit_image():
    rng = np.random.default_rng(3)
    masks = np.zeros((60, 20, 24), dtype=bool)
    for index, mask in enumerate(masks):
        mask[1:-1, 1:-1] = rng.random((18, 22)) < (0.01, 0.05, 0.5)[index % 3]
    ours = slices.convex_hulls(masks)
    for mask, hull in zip(masks, ours, strict=True):
        expected = convex_hull_image(mask) if mask.any() else mask
        np.testing.assert_array_equal(hull, expected)
