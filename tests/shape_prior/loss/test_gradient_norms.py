"""Norms of gradients at the logits, by hand."""

import pytest
import torch
from torch import nn

from acnn_nnunet.shape_prior.loss.gradient_norms import example_logits, gradient_norms


def test_gradient_norms_by_hand():
    # d/dx of Σ 3x is 3 in each of four entries: norm 6; of Σ x² it is 2x.
    losses = {"linear": lambda x, _: 3 * x.sum(), "square": lambda x, t: (x - t).square().sum()}
    logits = torch.ones(1, 1, 2, 2)
    norms = gradient_norms(losses, logits, torch.zeros(1, 1, 2, 2))
    assert norms == pytest.approx({"linear": 6, "square": 4})
    assert not logits.requires_grad


@pytest.mark.parametrize("regions", [False, True])
def test_example_logits_are_near_wrong_and_uniform(regions):
    maps = nn.functional.one_hot(torch.randint(3, (2, 4, 4)), 3).movedim(-1, 1).float()
    corrupted = maps.roll(1, 2)
    activate = torch.sigmoid if regions else lambda x: torch.softmax(x, 1)
    probabilities = {name: activate(x) for name, x in example_logits(maps, corrupted, regions=regions).items()}
    assert (probabilities["near_perfect"] - maps).abs().max() < 0.002
    assert torch.equal((probabilities["perturbed"] > 0.5).float(), corrupted)
    torch.testing.assert_close(probabilities["uniform"], torch.full_like(maps, 0.5 if regions else 1 / 3))
