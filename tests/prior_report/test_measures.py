"""Measures of codes and patches by hand."""

import numpy as np
import pytest
import torch

from acnn_nnunet.prior_report.measures import _count_patches, _mean_dice, describe_codes


def test_shares_of_patches_by_hand():
    # Present, cut off, masked, outside: whole; cut off and masked; a tenth outside; without anatomy.
    table = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0.1], [0, 0, 1, 0]]).double()
    found = _count_patches(table)
    assert (found["patches"], found["with_anatomy"]) == (4, 3)
    assert found["cut_off_share"] == pytest.approx(1 / 3)
    assert found["masked_share"] == 0.5
    assert found["masked_anatomy_share"] == pytest.approx(1 / 3)
    assert found["outside_share"] == pytest.approx(0.05)


def test_patches_without_anatomy_have_no_shares():
    found = _count_patches(torch.tensor([[0.0, 0, 1, 0]]).double())
    assert (found["with_anatomy"], found["cut_off_share"], found["outside_share"]) == (0, 0, 0)


def test_masks_that_are_empty_in_both_do_not_count_in_dice():
    first = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], dtype=bool)
    second = np.array([[1, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
    assert _mean_dice(first, second) == pytest.approx(2 / 3)
    assert _mean_dice(first[1:], second[1:]) == 1


@pytest.mark.parametrize(("num_training", "source"), [(1, "held-out cases"), (2, "training patches")])
def test_codes_of_held_out_cases_stand_in_for_too_few_patches(num_training, source):
    held_out, training = torch.tensor([[0.0], [1], [4]]), torch.tensor([[2.0], [10]])[:num_training]
    found = describe_codes(held_out, training)
    assert (found["source"], found["num_codes"]) == (source, 3 if num_training == 1 else 2)
    (dimension,) = found["dimensions"]
    assert (dimension["edges"][0], dimension["edges"][-1]) == ((0, 4) if num_training == 1 else (0, 10))
    assert sum(dimension["held_out_counts"]) == 3
