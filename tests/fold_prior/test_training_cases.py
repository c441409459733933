"""Absent labels and the box of a fold's training cases."""

from types import SimpleNamespace

import numpy as np
import pytest

from acnn_nnunet.fold_prior.training_cases import find_absent_labels, fit_box_to_cases
from acnn_nnunet.shape_prior.grids.roi_box import RoiBox
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

NO_FOREGROUND = "No training case of a fold has any foreground: a shape prior needs labelled anatomy"


class Cases:
    """A host dataset of one case: its label map (Z, Y, X), and the labels that preprocessing recorded."""

    identifiers = ("one",)

    def __init__(self, labels: np.ndarray, **recorded):
        self.labels, self.properties = labels, {"class_locations": recorded.get("locations", {})}

    def load_case(self, identifier):
        segmentation = self.labels[None]
        return np.zeros_like(segmentation, dtype=np.float32), segmentation, None, self.properties


def box_of(labels: np.ndarray) -> RoiBox:
    configuration = SimpleNamespace(spacing=[2.0, 1.0, 1.0], patch_size=[40, 40, 40])
    return fit_box_to_cases(
        Cases(labels), configuration, margin=1.2, spacing_factor=2.0, ignore_label=9, where="a fold"
    )


def test_the_box_of_cases():
    labels = np.zeros((4, 6, 8), dtype=np.int16)
    labels[1:3, 1:4, 2:7] = 1
    labels[0, 0, 0] = -1  # padding
    labels[3, 5, 7] = 9  # unannotated
    # Extents of 2, 3 and 5 voxels are 4, 3 and 5 mm, and 4.8, 3.6 and 6 mm with the margin: 1.2, 1.8 and 3 voxels.
    assert box_of(labels) == RoiBox((2, 2, 3), (4.0, 2.0, 2.0))


def test_without_anatomy_there_is_no_box():
    with pytest.raises(ValueError, match=NO_FOREGROUND):
        box_of(np.zeros((2, 2, 2), dtype=np.int16))


def test_labels_that_no_case_has():
    names = {"background": 0, "RV": 1, "MYO": 2, "LV": 3, "ignore": 4}
    locations = {1: [[0, 0, 0, 0]], 2: [], (-1, 1): [[0, 0, 0, 0]]}
    cases = Cases(np.zeros((1, 1, 1)), locations=locations)
    labels = LabelSpace(4, ignore_label=4)
    assert find_absent_labels(cases, names, labels, where="a fold") == ("MYO", "LV")
    with pytest.raises(ValueError, match=NO_FOREGROUND):
        find_absent_labels(Cases(np.zeros((1, 1, 1))), names, labels, where="a fold")


def test_regions_are_recorded_as_tuples():
    names = {"background": 0, "heart": [1, 2], "cavity": [2]}
    cases = Cases(np.zeros((1, 1, 1)), locations={(1, 2): [[0, 0, 0, 0]]})
    assert find_absent_labels(cases, names, LabelSpace(2, regions=True), where="a fold") == ("cavity",)


def test_a_label_that_is_written_as_a_list_is_recorded_as_a_number():
    names = {"background": 0, "LV": [1], "MYO": [2]}  # without a region of two values, nnU-Net has labels
    cases = Cases(np.zeros((1, 1, 1)), locations={1: [[0, 0, 0, 0]], 2: []})
    assert find_absent_labels(cases, names, LabelSpace(3), where="a fold") == ("MYO",)
