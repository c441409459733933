"""Pieces counted by hand."""

import numpy as np
import pytest
from scipy import ndimage

from acnn_nnunet.evaluation.masks.pieces import Pieces, count_pieces, number_pieces


def bars(*runs, length=30):
    mask = np.zeros((1, length), dtype=bool)
    for start, stop in runs:
        mask[0, start:stop] = True
    return mask


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        (bars(), bars(), Pieces(0, 0, 0)),
        (bars((0, 4)), bars(), Pieces(0, 1, 0)),
        (bars(), bars((0, 4)), Pieces(0, 0, 1)),
        # IoU 4/8 = 0.5 matches, 3/7 does not.
        (bars((0, 8)), bars((0, 4)), Pieces(1, 0, 0)),
        (bars((0, 7)), bars((0, 3)), Pieces(0, 1, 1)),
        # One found, one missed, one invented.
        (bars((0, 4), (10, 14)), bars((0, 5), (20, 24)), Pieces(1, 1, 1)),
    ],
)
def test_pieces_match_from_half_an_iou(reference, prediction, expected):
    assert count_pieces(reference, prediction, least_iou=0.5) == expected


def test_a_piece_matches_only_once_and_the_best_first():
    reference, prediction = bars((0, 10)), bars((0, 4), (5, 10))
    # Both overlap by 0.4 and 0.5: the second takes it.
    assert count_pieces(reference, prediction, least_iou=0.3) == Pieces(1, 0, 1)
    # A bridge joins two pieces of the reference: the larger overlap, 6/14, counts.
    assert count_pieces(bars((0, 6), (9, 14)), bars((0, 14)), least_iou=0.3) == Pieces(1, 1, 0)


def test_every_small_2d_mask_has_scipys_pieces():
    for bits in range(2**12):
        mask = np.array([bits >> place & 1 for place in range(12)], dtype=bool).reshape(4, 3)
        pieces, count = number_pieces(mask)
        expected, expected_count = ndimage.label(mask, structure=np.ones((3, 3)))
        assert count == expected_count
        # As many pairs of numbers as there are numbers: each piece, and the background, is the same voxels.
        assert len(np.unique(np.stack([pieces.ravel(), expected.ravel()]), axis=1).T) == len(np.unique(expected))
        assert not pieces[~mask].any()


@pytest.mark.parametrize("length", range(1, 9))
def test_a_line_of_voxels_has_pieces(length):
    for bits in range(2**length):
        mask = np.array([[[bits >> place & 1 for place in range(length)]]], dtype=bool)
        assert number_pieces(mask)[0].tolist() == ndimage.label(mask)[0].tolist()


def test_a_2d_mask_has_all_pieces_of_its_own():
    mask = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]], dtype=bool)
    assert count_pieces(mask, mask, least_iou=0.5) == Pieces(2, 0, 0)
