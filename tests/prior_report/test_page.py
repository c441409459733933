"""Planes, shares and captions of a prior's page."""

import numpy as np
import pytest

from acnn_nnunet.prior_report.page import _case_dice, _density, _middle_planes, _painted


def test_planes_run_through_the_middle_of_the_anatomy():
    truth = np.zeros((1, 10, 8, 6), dtype=bool)
    truth[0, 2:5, 4:7, 1] = True
    planes = _middle_planes(truth, (4.0, 2.0, 1.0))
    assert [index for index, _, _ in planes] == [
        (3, slice(None), slice(None)),
        (slice(None), 5, slice(None)),
        (slice(None), slice(None), 1),
    ]
    assert [(aspect, size) for _, aspect, size in planes] == [(2, (16, 6)), (4, (40, 6)), (2, (40, 16))]


@pytest.mark.parametrize("shape", [(1, 4, 6), (1, 4, 6, 8)])
def test_without_anatomy_planes_run_through_the_middle_of_the_grid(shape):
    planes = _middle_planes(np.zeros(shape, dtype=bool), (1.0,) * (len(shape) - 1))
    assert len(planes) == (1 if len(shape) == 3 else 3)
    assert all(index[axis] == shape[1 + axis] // 2 for axis, (index, _, _) in enumerate(planes) if len(planes) == 3)


def test_where_masks_overlap_the_last_is_seen():
    masks = np.array([[[True, True, False]], [[False, True, False]]])
    picture = _painted(masks)
    assert picture[0, :, 3].tolist() == [0.6, 0.6, 0]
    assert picture[0, 0].tolist() != picture[0, 1].tolist()


def test_shares_of_nothing_are_zero():
    assert _density([1, 3]).tolist() == [0.25, 0.75]
    assert _density([0, 0]).tolist() == [0, 0]


def test_a_caption_leaves_labels_out_that_are_absent():
    scores = {"autoencoder": {"a": {"dice": 0.5}, "b": {"dice": 1.0}, "c": {"dice": None}}}
    assert _case_dice({"reconstruction": {"cases": {"x": scores}}}, "x") == "0.750 (autoencoder)"
