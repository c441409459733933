"""When a training of the study counts as converged."""

import numpy as np
import pytest
import torch

from scripts.studies.thick_slices.convergence import is_flat, last_rise, read_log, unlearnt_labels


def test_flat_over_the_last_fifth():
    rising = np.linspace(0.2, 0.8, 80)
    assert is_flat([*rising, *[0.8] * 20])
    # 0.0004 an epoch over 20 epochs is a rise of 19 · 0.0004 = 0.0076.
    assert not is_flat([*rising, *(0.8 + 0.0004 * np.arange(20))])
    assert is_flat([*rising, *(0.8 + 0.0002 * np.arange(20))])
    assert not is_flat([*rising, *(0.8 - 0.0004 * np.arange(20))])
    # Noise around a level is flat.
    assert is_flat([*rising, *(0.8 + 0.01 * (-1) ** np.arange(20))])


def test_noise_alone_is_no_rise_and_a_rise_that_noise_does_not_explain_is_one():
    # 15 epochs, the last three .0, .0, .3: slope .15, residuals .05, -.1, .05, their squares .015 over one degree of
    # freedom, Σ(x − mean)² = 2. The error of the slope is √(.015 / 2) = .0866; a rise takes two epochs.
    rise, error = last_rise([*[0.5] * 12, 0.0, 0.0, 0.3])
    assert (rise, error) == (pytest.approx(0.3), pytest.approx(2 * np.sqrt(0.0075)))
    assert is_flat([*[0.5] * 12, 0.0, 0.0, 0.3])
    assert not is_flat([*[0.5] * 12, 0.0, 0.149, 0.3])


@pytest.mark.parametrize("dice", [[], [0.8], [0.8, 0.8], [*[0.8] * 14, float("nan")]])
def test_what_is_too_short_or_not_finite_is_not_flat(dice):
    assert not is_flat(dice)


def test_labels_that_were_not_learnt():
    early, late = [0.0, 0.0, 0.0], [0.85, 0.1, float("nan")]
    assert unlearnt_labels([*[early] * 8, *[late] * 2]) == [2, 3]
    assert unlearnt_labels([[0.9, 0.8]]) == []


def test_the_log_of_a_checkpoint(tmp_path):
    torch.save({"logging": {"mean_fg_dice": [0.5]}}, tmp_path / "checkpoint_final.pth")
    assert read_log(tmp_path / "checkpoint_final.pth") == {"mean_fg_dice": [0.5]}
