"""The losses of a T-L network's training (paper §II-D), and an epoch's measures of its validation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acnn_nnunet.shape_prior.grids.samples import GridSamples
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.networks.tl_network import Stage, TLNetwork
from acnn_nnunet.shape_prior.training.stages import TLLosses


@dataclass(frozen=True)
class ReconstructionLoss:
    """Cross-entropy over annotated voxels.

    Attributes:
        labels: what the channels mean.
        kind: `ce` averages over all voxels, `ce_per_class` over those of each class and sums the means (paper §II-A),
            `dice_ce` adds 1 - soft Dice to `ce`.
    """

    labels: LabelSpace
    kind: str

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits (B, C, …) and a target (B, 1, …) of classes or (B, R[+1], …) of regions."""
        return self._of_maps(logits, self.labels.target_maps(target), self.labels.known(target))

    def of_samples(self, logits: Tensor, samples: GridSamples) -> Tensor:
        """Return the loss of logits (V, C, …) and samples on the prior's grid."""
        return self._of_maps(logits, samples.maps, samples.known)

    def _of_maps(self, logits: Tensor, maps: Tensor, known: Tensor) -> Tensor:
        if self.kind == "ce_per_class":
            return self.labels.cross_entropy_per_class(logits, maps, known)
        loss = self.labels.cross_entropy(logits, maps, known)
        return loss + self.labels.soft_dice_loss(logits, maps, known) if self.kind == "dice_ce" else loss


def tl_loss(
    network: TLNetwork,
    image: Tensor,
    maps: Tensor,
    *,
    stage: Stage,
    reconstruction_loss: Callable[[Tensor], Tensor],
    code_loss_scale: float,
    corrupt: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return the scalar training loss of a stage.

    In the joint stage the encoder gets the gradients of both losses in the one update.

    Args:
        network: the T-L network, in train mode.
        image: (B, C', …) on the prior's grid.
        maps: label maps (B, C, …) on it.
        stage: the current one.
        reconstruction_loss: of float32 logits (L_x).
        code_loss_scale: factor of the code loss in the joint stage.
        corrupt: takes label maps (B, C, …) to what the encoder is shown of them.
    """
    if stage is Stage.PREDICTOR:
        with torch.no_grad():
            code = network.encoder(maps)
        return code_loss(network.predictor(image), code)
    code = network.encoder(corrupt(maps))
    logits = network.decoder(code)
    with torch.autocast(logits.device.type, enabled=False):
        reconstruction = reconstruction_loss(logits.float())
    if stage is Stage.AUTOENCODER:
        return reconstruction
    return reconstruction + code_loss_scale * code_loss(network.predictor(image), code)


def code_loss(prediction: Tensor, code: Tensor) -> Tensor:
    """Return the squared Euclidean distance of codes (B, K), summed over the code, averaged over the batch (L_h)."""
    with torch.autocast(code.device.type, enabled=False):
        return (prediction.float() - code.float()).square().sum(1).mean()


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
