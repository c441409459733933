"""What is read off preprocessed labels."""

import numpy as np
import pytest

from acnn_nnunet.nnunet.cases import foreground_extents, main_pieces


class Cases:
    """A host dataset of label maps (1, Z, Y, X)."""

    def __init__(self, **labels: np.ndarray):
        self.labels = labels

    def load_case(self, identifier):
        segmentation = self.labels[identifier][None]
        return np.zeros_like(segmentation, dtype=np.float32), segmentation, None, {}


@pytest.fixture
def cases() -> Cases:
    first = np.zeros((4, 6, 8), dtype=np.int16)
    first[1, 1:4, 2:7] = 1  # 1 × 3 × 5
    first[2, 2, 2] = 2  # one slice more
    first[0, 0, 0] = -1  # padding
    first[3, 5, 7] = 9  # unannotated
    return Cases(first=first, empty=np.zeros((2, 2, 2), dtype=np.int16))


def test_a_box_a_case(cases):
    extents = foreground_extents(cases, ["first", "empty"], axes=3, ignore_label=9)
    assert extents.tolist() == [[2, 3, 5]]


def test_a_box_a_slice(cases):
    extents = foreground_extents(cases, ["first", "empty"], axes=2, ignore_label=9)
    assert extents.tolist() == [[3, 5], [1, 1]]


def test_without_an_ignore_label_every_value_counts(cases):
    assert foreground_extents(cases, ["first"], axes=3, ignore_label=None).tolist() == [[3, 5, 6]]


def test_no_foreground_at_all(cases):
    assert foreground_extents(cases, ["empty"], axes=3, ignore_label=None).shape == (0, 3)


def test_islands_are_pieces_under_a_quarter_of_the_largest():
    anatomy = np.zeros((3, 12, 12), dtype=bool)
    anatomy[0, :4, :5] = True  # 20 voxels
    anatomy[1, 4, 5] = True  # and one at its corner
    kidney, island = np.zeros_like(anatomy), np.zeros_like(anatomy)
    kidney[2, 8:10, 8:11] = True  # 6 of 21
    island[0, 10, :5] = True  # 5 of 21

    assert np.array_equal(main_pieces(anatomy | kidney | island), anatomy | kidney)
    assert not main_pieces(np.zeros_like(anatomy)).any()
