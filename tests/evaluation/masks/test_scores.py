"""Scores of two masks: overlap, volumes, pieces and cavities by hand, and what a miss costs."""

import numpy as np
import pytest

from acnn_nnunet.evaluation.masks.scores import count_holes, largest_component, score_masks
from acnn_nnunet.files.geometry import Geometry

GEOMETRY = Geometry((4, 8, 8), (3.0, 0.5, 1.5))  # 12 × 4 × 12 mm; a voxel is 2.25 mm³


def box(*ranges, shape=GEOMETRY.size):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*each) for each in ranges)] = True
    return mask


def test_two_blocks():
    reference, prediction = box((0, 2), (0, 4), (0, 4)), box((0, 2), (0, 4), (2, 6))

    scores = score_masks(reference, prediction, GEOMETRY, tolerance_mm=3.0)

    # 32 voxels each, 16 in common; the second is shifted by 2 voxels of 1.5 mm, and two slices are all surface.
    assert scores.status == "ok"
    assert scores.dice == 0.5
    assert scores.iou == pytest.approx(16 / 48)
    assert scores.hausdorff_mm == pytest.approx(3)
    # 8 of the 32 lie 3 mm off, 8 lie 1.5 mm off, the rest on the other's surface: 36 mm over 32.
    assert scores.hd95_mm == pytest.approx(3)
    assert scores.mean_surface_distance_mm == pytest.approx(36 / 32)
    assert scores.surface_dice == 1
    assert scores.volume_reference_ml == scores.volume_prediction_ml == pytest.approx(32 * 2.25 / 1000)
    assert (scores.components, scores.holes) == (1, 0)


def test_volumes_and_pieces():
    reference = box((0, 2), (0, 4), (0, 4))  # 32 voxels
    prediction = box((0, 2), (0, 4), (1, 4)) | box((3, 4), (6, 8), (6, 8))  # 24 of them, and 4 elsewhere

    scores = score_masks(reference, prediction, GEOMETRY, tolerance_mm=3.0)

    assert (scores.precision, scores.recall) == (24 / 28, 24 / 32)
    assert scores.rve == -4 / 32
    assert scores.ave_ml == pytest.approx(4 * 2.25 / 1000)
    assert (scores.pieces_detected, scores.pieces_missed, scores.pieces_invented) == (1, 0, 1)
    strict = score_masks(reference, prediction, GEOMETRY, tolerance_mm=3.0, piece_iou=0.8)  # 24 / 32 is less
    assert (strict.pieces_detected, strict.pieces_missed, strict.pieces_invented) == (0, 1, 2)


def test_volumes_of_an_empty_mask():
    mask, empty = box((0, 2), (0, 4), (0, 4)), box((0, 0), (0, 0), (0, 0))
    missed, spurious, neither = (
        score_masks(*masks, GEOMETRY, tolerance_mm=3.0) for masks in ((mask, empty), (empty, mask), (empty, empty))
    )
    assert (missed.precision, missed.recall, missed.rve) == (0, 0, -1)
    assert (spurious.precision, spurious.recall, spurious.rve) == (0, 0, None)
    assert missed.ave_ml == spurious.ave_ml == pytest.approx(32 * 2.25 / 1000)
    assert (missed.pieces_missed, spurious.pieces_invented) == (1, 1)
    assert (neither.precision, neither.rve, neither.pieces_missed) == (None, None, None)


def test_equal_masks():
    mask = box((1, 3), (2, 5), (3, 6))

    scores = score_masks(mask, mask.copy(), GEOMETRY, tolerance_mm=0.0)

    assert (scores.dice, scores.iou, scores.surface_dice) == (1, 1, 1)
    assert (scores.hausdorff_mm, scores.hd95_mm, scores.mean_surface_distance_mm) == (0, 0, 0)


@pytest.mark.parametrize("status", ["missed", "spurious"])
def test_a_miss_costs_the_diagonal_of_the_image(status):
    mask, empty = box((0, 1), (0, 2), (0, 2)), box((0, 0))
    masks = (mask, empty) if status == "missed" else (empty, mask)

    scores = score_masks(*masks, GEOMETRY, tolerance_mm=1e6)

    assert scores.status == status
    assert (scores.dice, scores.iou, scores.surface_dice) == (0, 0, 0)
    # √(12² + 4² + 12²) mm, from the image's size even where the masks are cut to a box.
    distances = (scores.hausdorff_mm, scores.hd95_mm, scores.mean_surface_distance_mm)
    assert distances == pytest.approx((np.sqrt(304),) * 3)
    assert scores.components == (0 if status == "missed" else 1)
    volumes = (scores.volume_reference_ml, scores.volume_prediction_ml)
    assert volumes == pytest.approx((0.009, 0) if status == "missed" else (0, 0.009))


def test_the_diagonal_is_the_images_not_the_boxs():
    mask = np.ones((1, 1, 1), bool)

    assert score_masks(mask, ~mask, GEOMETRY, tolerance_mm=0.0).hausdorff_mm == pytest.approx(np.sqrt(304))


def test_both_empty_has_no_score_but_volumes_and_counts():
    scores = score_masks(box((0, 0)), box((0, 0)), GEOMETRY, tolerance_mm=1.0)

    assert scores.status == "both_empty"
    applicable = (scores.dice, scores.iou, scores.hausdorff_mm, scores.hd95_mm, scores.mean_surface_distance_mm)
    assert (*applicable, scores.surface_dice) == (None,) * 6
    assert (scores.volume_reference_ml, scores.volume_prediction_ml, scores.components, scores.holes) == (0, 0, 0, 0)


def test_a_flat_image_without_thickness_has_areas_only():
    mask = np.ones((2, 2), bool)

    scores = score_masks(mask, mask, Geometry((2, 2), (1.0, 1.0)), tolerance_mm=1.0)

    assert (scores.volume_reference_ml, scores.volume_prediction_ml) == (None, None)
    assert scores.dice == 1


def count_components(mask):
    return score_masks(mask, mask, Geometry(mask.shape, (1.0,) * mask.ndim), tolerance_mm=1.0).components


def test_pieces_that_share_a_corner_belong_together():
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert count_components(mask) == 1

    mask[3, 3, 3] = True
    assert count_components(mask) == 2
    assert count_components(np.eye(3, dtype=bool)) == 1
    assert count_components(np.array([[1, 0, 1]], bool)) == 2
    assert count_components(np.zeros((1, 1, 1), bool)) == 0
    assert count_components(np.ones((1, 1), bool)) == 1


def test_nested_shells():
    # A shell of 7³ around one of 3³ around a single background voxel: two pieces, two cavities (between, and inside).
    mask = box((0, 7), (0, 7), (0, 7), shape=(7, 7, 7))
    mask[1:6, 1:6, 1:6] = False
    mask[2:5, 2:5, 2:5] = True
    mask[3, 3, 3] = False

    assert (count_components(mask), count_holes(mask)) == (2, 2)

    mask[0, 3, 3] = False  # opens the outer one
    assert (count_components(mask), count_holes(mask)) == (2, 1)


def test_a_cavity_is_closed_to_faces_only():
    # The image's border is open: a cup whose mouth lies there has no cavity.
    cup = box((0, 3), (0, 3), (0, 3), shape=(3, 3, 3))
    cup[0:2, 1, 1] = False
    assert count_holes(cup) == 0

    # A ring of four in 2D closes its centre though its corners are open.
    ring = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    assert count_holes(ring) == 1
    assert count_components(ring) == 1
    assert count_holes(np.ones((3, 3), bool)) == 0
    assert count_holes(np.zeros((3, 3), bool)) == 0


def test_the_tunnel_of_a_ring_is_no_cavity_in_3d():
    ring = np.ones((1, 3, 3), bool)
    ring[0, 1, 1] = False

    assert count_holes(ring) == 0  # open above and below
    assert count_holes(ring[0]) == 1


def test_the_largest_piece():
    mask = np.array([[1, 0, 1, 1, 0, 1]], bool)

    assert largest_component(mask).tolist() == [[False, False, True, True, False, False]]
    assert not largest_component(np.zeros((2, 2, 2), bool)).any()


def test_the_largest_piece_of_a_2d_prediction():
    mask = np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]], bool)  # two voxels share a corner
    assert np.argwhere(largest_component(mask)).tolist() == [[2, 1], [3, 0]]


def test_of_equal_pieces_the_first_is_kept():
    mask = np.zeros((5, 5, 5), bool)
    mask[0, 4, 4] = mask[4, 0, 0] = mask[2, 2, 0] = True

    for view in (mask, np.asfortranarray(mask), np.pad(mask, 1)[1:-1, 1:-1, 1:-1]):
        assert np.argwhere(largest_component(view)).tolist() == [[0, 4, 4]]
    flat = np.array([[0, 0, 1], [1, 0, 0]], bool)
    for view in (flat, np.asfortranarray(flat), np.pad(flat, 1)[1:-1, 1:-1]):
        assert np.argwhere(largest_component(view)).tolist() == [[0, 2]]
