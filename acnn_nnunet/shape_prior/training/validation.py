"""What a T-L network's validation measures of batches, and the epoch's losses and Dice."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acnn_nnunet.shape_prior.grids.samples import GridSamples
from acnn_nnunet.shape_prior.label_space import LabelSpace
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork
from acnn_nnunet.shape_prior.training.stages import TLLosses, code_loss


def measure_batch(
    network: TLNetwork,
    samples: GridSamples,
    labels: LabelSpace,
    reconstruction_loss: Callable[[Tensor, GridSamples], Tensor],
) -> dict[str, np.ndarray]:
    """Return both losses, and overlap and sizes (C,) of labels and reconstruction g(f(y)) per channel.

    Without a sample the losses are NaN and the others 0.

    Args:
        network: in eval mode.
        samples: a batch on the prior's grid.
        labels: what its channels mean.
        reconstruction_loss: of float32 logits on the grid.
    """
    if len(samples.maps) == 0:
        nothing = np.zeros(labels.num_channels, dtype=np.float32)
        unknown = dict.fromkeys(("reconstruction_loss", "code_loss"), np.array(np.nan, dtype=np.float32))
        return {**unknown, "reconstruction_overlap": nothing, "reconstruction_sizes": nothing}
    code = network.encoder(samples.maps)
    logits = network.decoder(code)
    predicted = network.predictor(samples.image)
    with torch.autocast(logits.device.type, enabled=False):
        logits, known = logits.float(), samples.known > 0.5
        decisions, truth = labels.decisions(logits) * known, labels.hardened(samples.maps)
        axes = (0, *range(2, truth.ndim))
        measured = {
            "reconstruction_loss": reconstruction_loss(logits, samples),
            "code_loss": code_loss(predicted, code),
            "reconstruction_overlap": (decisions * truth).sum(axes),
            "reconstruction_sizes": (decisions + truth).sum(axes),
        }
    return {name: value.cpu().numpy() for name, value in measured.items()}


def summarise_epoch(outputs: Sequence[dict[str, Any]], labels: LabelSpace) -> tuple[TLLosses, np.ndarray]:
    """Return an epoch's mean losses and the reconstruction's Dice of every foreground channel, NaN if never there.

    Args:
        outputs: what `measure_batch` returned; batches without a sample know nothing of the losses, which are NaN if
            there is no other.
        labels: what the channels mean.
    """
    known = [output for output in outputs if np.isfinite(output["code_loss"])] or outputs
    losses = TLLosses(
        reconstruction=float(np.mean([output["reconstruction_loss"] for output in known])),
        code=float(np.mean([output["code_loss"] for output in known])),
    )
    overlap = np.sum([output["reconstruction_overlap"] for output in outputs], axis=0)
    sizes = np.sum([output["reconstruction_sizes"] for output in outputs], axis=0)
    dice = np.where(sizes > 0, 2 * overlap / np.maximum(sizes, 1), np.nan)
    return losses, dice[0 if labels.regions else 1 :]
