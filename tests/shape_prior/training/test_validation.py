"""Measures of a T-L network's validation, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from acnn_nnunet.shape_prior.grids.samples import samples_on_grid
from acnn_nnunet.shape_prior.grids.views import PatchGrid, RoiGrid
from acnn_nnunet.shape_prior.label_space import LabelSpace
from acnn_nnunet.shape_prior.training.validation import measure_batch, summarise_epoch

LABELS = LabelSpace(2)


def network(decisions: torch.Tensor) -> SimpleNamespace:
    """Codes of 1 for labels and 3 for images; a decoder that is sure of the given classes (…)."""
    logits = torch.stack([1.0 - decisions, decisions.float()])[None] * 9
    return SimpleNamespace(
        encoder=lambda maps: torch.ones(len(maps), 2),
        decoder=lambda code: logits.expand(len(code), *logits.shape[1:]),
        predictor=lambda image: torch.full((len(image), 2), 3.0),
    )


def test_a_reconstruction_of_half_the_label():
    target = torch.tensor([[0, 1, 1], [0, 0, 0]])[None, None]
    samples = samples_on_grid(torch.zeros(1, 1, 2, 3), target, grid=PatchGrid((2, 3)), labels=LABELS)
    decided = network(torch.tensor([[0, 1, 0], [0, 0, 0]]))
    measured = measure_batch(decided, samples, LABELS, lambda logits, _: logits.amax())
    assert measured["reconstruction_loss"] == 9
    assert measured["code_loss"] == 8  # (3 - 1)² twice
    assert measured["reconstruction_overlap"].tolist() == [4, 1]
    assert measured["reconstruction_sizes"].tolist() == [9, 3]
    losses, dice = summarise_epoch([measured], LABELS)
    assert (losses.reconstruction, losses.code) == (9, 8)
    assert dice.tolist() == pytest.approx([2 / 3])


def test_a_batch_without_a_sample_knows_no_loss():
    grid = RoiGrid((2, 2), spacing_mm=(1.0, 1.0), patch_spacing_mm=(1.0, 1.0))
    nothing = torch.zeros(1, 1, 6, 6, dtype=torch.int64)
    samples = samples_on_grid(torch.zeros(1, 1, 6, 6), nothing, grid=grid, labels=LABELS)
    empty = measure_batch(network(nothing[0, 0]), samples, LABELS, lambda *_: pytest.fail("there is no sample"))
    known = {
        "reconstruction_loss": np.array(1.0),
        "code_loss": np.array(2.0),
        "reconstruction_overlap": np.array([5.0, 3.0]),
        "reconstruction_sizes": np.array([10.0, 8.0]),
    }
    losses, dice = summarise_epoch([empty, known], LABELS)
    assert (losses.reconstruction, losses.code, dice.tolist()) == (1.0, 2.0, [0.75])
    losses, dice = summarise_epoch([empty], LABELS)
    assert np.isnan(losses.reconstruction)
    assert np.isnan(dice).tolist() == [True]  # neither there nor drawn: no Dice


def test_every_region_counts():
    output = {
        "reconstruction_loss": 0.0,
        "code_loss": 0.0,
        "reconstruction_overlap": np.array([1.0, 2.0]),
        "reconstruction_sizes": np.array([2.0, 8.0]),
    }
    assert summarise_epoch([output], LabelSpace(2, regions=True))[1].tolist() == [1.0, 0.5]
