"""What is read off preprocessed labels."""

from types import SimpleNamespace

import numpy as np
import pytest

from acnn_nnunet.nnunet.cases import fit_box_to_cases, foreground_extents, main_pieces
from acnn_nnunet.shape_prior.grids.roi_box import RoiBox


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


@pytest.mark.parametrize(
    ("identifier", "expected"),
    # Extents of 2, 3 and 5 voxels are 4, 3 and 5 mm, and 4.8, 3.6 and 6 mm with the margin: 1.2, 1.8 and 3 voxels.
    [("first", RoiBox((2, 2, 3), (4.0, 2.0, 2.0))), ("empty", None)],
)
def test_the_box_of_cases(cases, identifier, expected):
    cases.identifiers = [identifier]
    configuration = SimpleNamespace(spacing=[2.0, 1.0, 1.0], patch_size=[40, 40, 40])
    assert fit_box_to_cases(cases, configuration, margin=1.2, spacing_factor=2.0, ignore_label=9) == expected


def test_islands_are_pieces_under_a_quarter_of_the_largest():
    anatomy = np.zeros((3, 12, 12), dtype=bool)
    anatomy[0, :4, :5] = True  # 20 voxels
    anatomy[1, 4, 5] = True  # and one at its corner
    kidney, island = np.zeros_like(anatomy), np.zeros_like(anatomy)
    kidney[2, 8:10, 8:11] = True  # 6 of 21
    island[0, 10, :5] = True  # 5 of 21

    assert np.array_equal(main_pieces(anatomy | kidney | island), anatomy | kidney)
    assert not main_pieces(np.zeros_like(anatomy)).any()
