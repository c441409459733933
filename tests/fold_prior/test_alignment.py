"""Rigid in-plane alignment of label maps to a reference shape."""

import math

import pytest
import torch
import torch.nn.functional as F

from acnn_nnunet.fold_prior.alignment import align_to

SPACING = (8.0, 1.0, 2.0)


def heart(turned_deg: float = 0.0, shift_mm: tuple[float, float] = (0.0, 0.0), *, spacing=SPACING) -> torch.Tensor:
    """Return (3, 4, 64, 40) of two discs of 9 and 6 mm radius, 18 mm apart, turned about their middle and shifted."""
    size = (4, 64, 40)
    y, x = (
        (torch.arange(n) - (n - 1) / 2)[shape] * mm
        for n, mm, shape in zip(size[1:], spacing[1:], ((slice(None), None), (None, slice(None))), strict=True)
    )
    angle, discs = math.radians(turned_deg), []
    for along, radius in ((-9.0, 9.0), (9.0, 6.0)):
        cy, cx = shift_mm[0] + along * math.sin(angle), shift_mm[1] + along * math.cos(angle)
        discs.append(((y - cy) ** 2 + (x - cx) ** 2 < radius**2).float().expand(size))
    background = 1 - sum(discs).clamp_max(1)
    return torch.stack([background, *discs])


def dice(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(2 * (first[1:] * second[1:]).sum() / (first[1:].sum() + second[1:].sum()))


@pytest.mark.parametrize("turned", [-70, 25, 140])
def test_what_was_turned_and_shifted_comes_back(turned):
    reference, moved = heart(), heart(turned, (6.0, -4.0))
    aligned = align_to(torch.stack([moved, reference]), reference, spacing_mm=SPACING)
    assert dice(moved, reference) < 0.75
    assert dice(aligned[0], reference) > 0.9  # discs of pixels, interpolated
    assert torch.allclose(aligned[1], reference, atol=1e-4)
    assert torch.allclose(aligned.sum(1), torch.ones(2, 4, 64, 40), atol=1e-5)


def test_the_plane_is_across_the_longest_voxels():
    reference, moved = (heart(a).movedim(1, 3) for a in (0, 40))
    aligned = align_to(moved[None], reference, spacing_mm=(1.0, 2.0, 8.0))[0]
    assert dice(aligned, reference) > 0.9


def test_one_label_only_shifts_and_none_stays():
    reference, moved = heart(), heart(30, (5.0, 0.0))
    for each in (reference, moved):
        each[2] = 0
        each[0] = 1 - each[1]
    empty = torch.zeros_like(moved)
    empty[0] = 1
    aligned = align_to(torch.stack([moved, empty]), reference, spacing_mm=SPACING)
    assert dice(aligned[0], reference) > 0.9
    assert torch.equal(aligned[1], empty)


def test_regions_have_no_background_and_2d_is_one_plane():
    reference, moved = heart()[1:, 0], heart(-50, (3.0, 2.0))[1:, 0]
    aligned = align_to(moved[None], reference, spacing_mm=(1.0, 2.0), regions=True)[0]
    assert float(F.l1_loss(aligned, reference)) < 0.2 * float(F.l1_loss(moved, reference))
