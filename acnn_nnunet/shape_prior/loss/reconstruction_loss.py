"""How far a reconstruction is from its label map (L_x of the paper)."""

from dataclasses import dataclass

from torch import Tensor

from acnn_nnunet.shape_prior.grids.samples import GridSamples
from acnn_nnunet.shape_prior.label_space import LabelSpace


@dataclass(frozen=True)
class ReconstructionLoss:
    """Mean cross-entropy over annotated voxels, with or without soft Dice.

    Attributes:
        labels: what the channels mean.
        with_dice: whether 1 - soft Dice is added.
    """

    labels: LabelSpace
    with_dice: bool

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits (B, C, …) and a target (B, 1, …) of classes or (B, R[+1], …) of regions."""
        return self._of_maps(logits, self.labels.target_maps(target), self.labels.known(target))

    def of_samples(self, logits: Tensor, samples: GridSamples) -> Tensor:
        """Return the loss of logits (V, C, …) and samples on the prior's grid."""
        return self._of_maps(logits, samples.maps, samples.known)

    def _of_maps(self, logits: Tensor, maps: Tensor, known: Tensor) -> Tensor:
        loss = self.labels.cross_entropy_of_maps(logits, maps, known)
        return loss + self.labels.soft_dice_loss_of_maps(logits, maps, known) if self.with_dice else loss
