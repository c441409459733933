"""What is read off preprocessed labels."""

import pickle

import numpy as np
import pytest

from acnn_nnunet.nnunet.cases import as_label, centred_patch, foreground_extents, labels_present, main_pieces


class Cases:
    """A host dataset of label maps (1, Z, Y, X)."""

    source_folder = "folder"

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


def test_a_case_that_cannot_be_read_is_named(cases, monkeypatch):
    def fail(identifier):
        raise pickle.UnpicklingError("pickle data was truncated")

    monkeypatch.setattr(cases, "load_case", fail)
    message = r"case first in folder cannot be read \(pickle data was truncated\): preprocess the dataset again"
    with pytest.raises(ValueError, match=message):
        foreground_extents(cases, ["first"], axes=3, ignore_label=None)


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


class Located(Cases):
    """A host dataset that knows where the labels of its one case are."""

    def __init__(self, locations: dict):
        self.locations = locations

    def load_case(self, identifier):
        return None, None, None, {"class_locations": self.locations}


@pytest.mark.parametrize(("value", "label"), [(3, 3), (np.int64(3), 3), ([1, 2], (1, 2)), ((4,), (4,))])
def test_labels_are_integers_or_tuples(value, label):
    assert as_label(value) == label


def test_labels_that_preprocessing_found_somewhere():
    found = [[0, 1, 2, 3]]
    # (-1, …) are all annotated voxels, and the host's list of a label that is nowhere is empty.
    dataset = Located({1: found, 2: [], (1, 2): found, (-1, 1, 2): found})

    assert labels_present(dataset, ["a"]) == {1, (1, 2)}
    assert labels_present(dataset, []) == set()


def test_a_patch_around_the_anatomy():
    labels = np.zeros((1, 4, 9, 9), np.int16)
    labels[0, 1, 6:9, 6:9] = 2
    labels[0, 3, 0, 0] = -1  # padding is background
    data = np.arange(4 * 9 * 9, dtype=np.float32).reshape(1, 4, 9, 9)

    image, patch = centred_patch(data, labels, (4, 3, 3))

    # The box of rows and columns 6 … 8 has its middle at (6 + 8 + 1) // 2 = 7, so the patch takes 6, 7 and 8.
    np.testing.assert_array_equal(image, data[:, :, 6:9, 6:9])
    assert patch.sum() == 9 * 2


def test_a_patch_of_a_case_without_anatomy_is_its_middle():
    data = np.arange(5 * 5 * 5, dtype=np.float32).reshape(1, 5, 5, 5)

    image, patch = centred_patch(data, np.zeros((1, 5, 5, 5), np.int16), (1, 1, 1))

    assert (image.tolist(), patch.tolist()) == ([[[[62.0]]]], [[[[0]]]])  # voxel (2, 2, 2) is number 50 + 10 + 2


def test_a_flat_patch_takes_the_slice_with_most_anatomy():
    labels = np.zeros((1, 3, 4, 4), np.int16)
    labels[0, 0, 1, 1] = labels[0, 2, 1:3, 1:3] = 1
    data = np.stack([np.full((4, 4), z, np.float32) for z in range(3)])[None]

    image, patch = centred_patch(data, labels, (2, 2))

    assert (image.shape, patch.shape) == ((1, 2, 2), (1, 2, 2))
    assert (image.min(), image.max(), patch.sum()) == (2, 2, 4)


def test_a_small_case_is_padded_with_zeros():
    image, patch = centred_patch(np.ones((2, 1, 1, 1)), np.ones((1, 1, 1, 1)), (3, 3, 3))

    assert (image.shape, patch.shape) == ((2, 3, 3, 3), (1, 3, 3, 3))
    assert (image[:, 1, 1, 1].tolist(), image.sum()) == ([1, 1], 2)
    assert patch.sum() == patch[0, 1, 1, 1] == 1
