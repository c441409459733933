"""Cross-entropy and Dice of reconstructions, by hand."""

import math

import pytest
import torch

from acnn_nnunet.shape_prior.grids.samples import samples_on_grid
from acnn_nnunet.shape_prior.grids.views import PatchGrid
from acnn_nnunet.shape_prior.label_space import LabelSpace
from acnn_nnunet.shape_prior.loss.reconstruction_loss import ReconstructionLoss

LABELS = LabelSpace(2, ignore_label=2)
# Four annotated voxels, two of them foreground.
TARGET = torch.tensor([[0, 0, 1], [1, 2, 2]])[None, None]


@pytest.mark.parametrize(
    # Probabilities of a half: -ln 0.5; overlap 2 · 0.5, sizes 2 and 4 · 0.5, one voxel of smoothing: (2 + 1) / (4 + 1).
    ("with_dice", "expected"),
    [(False, math.log(2)), (True, math.log(2) + 1 - 3 / 5)],
)
def test_an_undecided_reconstruction(with_dice, expected):
    loss = ReconstructionLoss(LABELS, with_dice=with_dice)
    logits = torch.zeros(1, 2, 2, 3)
    samples = samples_on_grid(torch.zeros(1, 1, 2, 3), TARGET, grid=PatchGrid((2, 3)), labels=LABELS)
    assert loss(logits, TARGET).item() == pytest.approx(expected)
    assert loss.of_samples(logits, samples).item() == pytest.approx(expected)
