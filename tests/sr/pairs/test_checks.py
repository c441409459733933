"""What makes a stack and an image a pair."""

from dataclasses import replace

import numpy as np
import pytest
from real_pairs import geometry_of
from stack_files import OBLIQUE

from acnn_nnunet.sr.pairs.checks import check_overlap, check_slices, overlap_of

IMAGE = geometry_of((24, 20, 18))
STACK = replace(IMAGE, size=(6, 20, 18), spacing_mm=(4.0, 1.0, 1.0))
TILTED = tuple((np.diag([1.0, -1.0, 1.0]) @ OBLIQUE).ravel())


def test_a_pair(place):
    check_slices(STACK, IMAGE, place.model())
    check_slices(replace(STACK, spacing_mm=(4.4, 1.0, 1.0)), IMAGE, place.model())  # 4.4 HR slices are nearest to 4


@pytest.mark.parametrize(
    ("stack", "image", "message"),
    [
        ({"size": (1, 20, 18)}, {}, "has 1 slice along NIfTI axis 2: a stack has at least 2"),
        ({"spacing_mm": (8.0, 1.0, 1.0)}, {}, "8 mm, 8 HR slices of 1 mm, but the factor is 4: plan .* --factor 8"),
        ({"spacing_mm": (1.2, 1.0, 1.0)}, {}, "1.2 HR slices of 1 mm, but the factor is 4: remove it"),
        ({}, {"spacing_mm": (5.0, 1.0, 1.0)}, "every 4 mm, and its HR image one every 5 mm, which is no thinner"),
        ({"direction": TILTED}, {}, r"has slices along NIfTI axis 2, [3-8]\d° from NIfTI axis 2 of the HR image"),
    ],
)
def test_no_pairs(place, stack, image, message):
    with pytest.raises(ValueError, match=message):
        check_slices(replace(STACK, **stack), replace(IMAGE, **image), place.model())


def test_overlap_in_the_world():
    # Both fill z from −0.5 to 23.5. Seven mm further on, two of six slice centres lie beyond.
    stack = replace(STACK, origin_mm=(-20.0, 31.0, 7.0 + 1.5))
    assert overlap_of(stack, IMAGE) == 1
    moved = replace(stack, origin_mm=(-20.0, 31.0, 7.0 + 1.5 + 7.0))
    assert overlap_of(moved, IMAGE) == pytest.approx(4 / 6)
    # A small stack inside a large image overlaps wholly.
    assert overlap_of(replace(stack, size=(2, 20, 18)), IMAGE) == 1


def test_different_patients():
    elsewhere = replace(STACK, origin_mm=(500.0, 0.0, 0.0))
    assert overlap_of(elsewhere, IMAGE) == 0
    with pytest.raises(ValueError, match=r"shares 0 % of the smaller volume .* are they of different patients"):
        check_overlap(0)
    check_overlap(0.25)
