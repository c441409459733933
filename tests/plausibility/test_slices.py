"""The kept slice: which one, its number in the file, and its way through a journal."""

import json

import numpy as np

from acnn_nnunet.plausibility.slices import KeptSlice

SPACING_MM = (8.0, 2.0, 1.0)


def kept(image=None):
    prediction = np.zeros((3, 4, 4), np.uint8)
    other = prediction.copy()
    other[2, :2] = 2
    return KeptSlice.of(prediction, other, SPACING_MM, image=image, label_names={2: "RV"})


def test_the_slice_that_differs_most_is_kept_and_no_view_of_the_volume():
    found = kept(np.arange(48.0).reshape(3, 4, 4))
    assert found.other.tolist() == [[2] * 4, [2] * 4, [0] * 4, [0] * 4]
    assert (found.number, found.axis, found.spacing_mm) == (3, 0, (2.0, 1.0))
    assert (found.image[0, 0], found.image[-1, -1]) == (0, 255)
    assert found.prediction.base is None
    flat = KeptSlice.of(np.zeros((4, 4)), np.ones((4, 4)), (1.0, 1.0), label_names={1: "a"})
    assert flat.number is None


def test_a_slice_comes_back_from_a_journal():
    for found in (kept(), kept(np.ones((3, 4, 4)))):
        again = KeptSlice.from_plain(json.loads(json.dumps(found.as_plain())))
        assert again.other.tolist() == found.other.tolist()
        assert (again.image is None) == (found.image is None)
        assert (again.label_names, again.number, again.spacing_mm) == ({2: "RV"}, 3, (2.0, 1.0))


def test_the_number_is_that_of_the_file():
    grid = np.zeros((5, 4, 4), np.uint8)
    grid[1:4] = 1  # the third slice on the grid is the anatomy's last but one
    found = KeptSlice.of(grid, np.where(np.arange(5)[:, None, None] == 2, 0, grid), SPACING_MM, label_names={})
    file = np.zeros((4, 4, 20), np.uint8)
    file[..., 10:15] = 1  # the anatomy's middle is index 12, the thirteenth slice across the longest voxels
    assert found.number == 3
    assert found.numbered_like(grid > 0, file > 0, (2, 0, 1)).number == 13


def test_a_slice_is_drawn():
    assert kept(np.ones((3, 4, 4))).draw("case").startswith("data:image/svg+xml;base64,")
