"""Pieces counted by hand."""

import numpy as np
import pytest

from acnn_nnunet.evaluation.masks.pieces import Pieces, count_pieces


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
