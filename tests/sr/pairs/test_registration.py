"""Registration of stacks whose true motion is known."""

import numpy as np
import pytest
from real_pairs import error_of, known_motion, phantom, stack_of

from acnn_nnunet.files.volumes import Volume
from acnn_nnunet.sr.pairs import registration
from acnn_nnunet.sr.pairs.grids import RigidMotion
from acnn_nnunet.sr.pairs.registration import register, slice_shifts_mm

SIZE = (28, 26, 24)


def test_it_recovers_a_known_motion():
    image, _ = phantom(SIZE)
    motion = known_motion(image, degrees=(2.0, -3.0, 4.0), shift_mm=(1.5, -2.0, 1.0))
    stack = stack_of(image, motion, noise=0.05)
    found = register(stack, image, axis=0, thickness_mm=4.0)
    shift_mm, angle_deg = error_of(found.motion, motion, stack)
    assert shift_mm < 0.2
    assert angle_deg < 0.2
    assert found.information_after > found.information_before
    assert not found.remark
    before_mm, before_deg = error_of(RigidMotion(), motion, stack)
    assert before_mm > 2
    assert before_deg > 5


def test_other_contrast_does_no_harm():
    image, _ = phantom(SIZE)
    motion = known_motion(image, degrees=(0.0, 2.0, 0.0), shift_mm=(1.0, 1.0, -1.0))
    stack = stack_of(image, motion)
    inverted = Volume(np.sqrt(stack.values.max() + 1 - stack.values), stack.geometry)
    shift_mm, angle_deg = error_of(register(inverted, image, axis=0, thickness_mm=4.0).motion, motion, stack)
    assert shift_mm < 0.2
    assert angle_deg < 0.4


def test_a_motion_that_is_too_large_is_not_taken(monkeypatch):
    monkeypatch.setattr(registration, "LARGEST_SHIFT_MM", 0.5)
    image, _ = phantom(SIZE)
    motion = known_motion(image, degrees=(0.0, 0.0, 0.0), shift_mm=(2.0, 0.0, 0.0))
    found = register(stack_of(image, motion), image, axis=0, thickness_mm=4.0)
    assert found.remark.startswith("registration ran away (2.0 mm")
    assert found.motion.shift_mm == 0
    assert found.information_after == found.information_before


def test_an_image_without_contrast_keeps_its_place():
    image, _ = phantom(SIZE)
    flat = Volume(np.full_like(image.values, 7), image.geometry)
    found = register(stack_of(image), flat, axis=0, thickness_mm=4.0)
    assert found.remark
    assert found.motion.shift_mm == 0


def test_shifts_of_single_slices():
    rng = np.random.default_rng(0)
    plane = np.kron(rng.normal(size=(8, 8)), np.ones((4, 4)))
    stack = np.stack([plane, np.roll(plane, 2, 0), np.roll(plane, (3, 4), (0, 1)), np.zeros_like(plane)])
    # Pixels of 0.5 and 2 mm: 2 rows are 1 mm; 3 rows and 4 columns are √(1.5² + 8²). An empty slice has no shift.
    expected = [0, 1, np.hypot(1.5, 8)]
    assert slice_shifts_mm(stack, np.stack([plane] * 4), (0.5, 2.0)) == pytest.approx(expected, abs=1e-6)
