"""Losses of super-resolution: distance from the HR image, and from its code as a frozen predictor gives it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acnn_nnunet.shape_prior.loss.prior_term import PriorValues
from acnn_nnunet.shape_prior.networks.tl_network import Predictor


@dataclass(frozen=True)
class ImageTarget:
    """HR images as the host normalised them, and the way from a network's output, in the stack's unit, to theirs.

    Attributes:
        image: (B, C, Z, Y, X).
        scale: (B, C, 1, 1, 1): HR intensity = scale · stack intensity + offset.
        offset: (B, C, 1, 1, 1).
    """

    image: Tensor
    scale: Tensor
    offset: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "ImageTarget":
        """Return the target on a device; the host's training step calls this as it does of a tensor."""
        return ImageTarget(
            *(each.to(device, non_blocking=non_blocking) for each in (self.image, self.scale, self.offset))
        )

    def of_output(self, output: Tensor) -> Tensor:
        """Return a network's output (B, C, …), which is in the stack's unit, in the HR image's, in float32 at least."""
        return output.to(torch.promote_types(output.dtype, torch.float32)) * self.scale + self.offset


class HuberLoss(nn.Module):
    """The smooth ℓ1 norm Ψ(k) = k²/2 for |k| < 1 and |k| − 1/2 beyond (paper, §II-C), in float32.

    k is the difference in units of the HR image as the host normalised it. The paper sums over the voxels; this is the
    mean, which does not depend on the patch.
    """

    def forward(self, output: Tensor, target: Sequence[ImageTarget]) -> Tensor:
        """Return the scalar loss of an output (B, C, …) under a list of one target."""
        (expected,) = target
        with torch.autocast(output.device.type, enabled=False):
            return F.smooth_l1_loss(expected.of_output(output), expected.image, beta=1.0)


class PredictorTerm(nn.Module):
    """L_hp of the paper (§II-D): d(p(prediction), p(HR image)) behind a frozen predictor p.

    The mean is over the process's part of the batch, as that of the loss beside it.

    Args:
        predictor: p; it is frozen here, and stays in eval mode whatever a parent module does.
        distance: of two codes (B, K), gives (B,).
    """

    def __init__(self, predictor: Predictor, *, distance: nn.Module):
        super().__init__()
        self.predictor = predictor.requires_grad_(False)
        self.distance = distance
        self.weights = {"distance": 1.0}
        self.eval()

    def train(self, mode: bool = True) -> "PredictorTerm":
        """Stay in eval mode: batch statistics of predictions must not move the prior."""
        return super().train(False)

    def forward(self, output: Tensor, target: ImageTarget) -> PriorValues:
        """Return the term in float32; the gradient flows through the output (B, C, …) only."""
        with torch.autocast(output.device.type, enabled=False):
            with torch.no_grad():
                truth = self.predictor(target.image.float())
            code = self.predictor(target.of_output(output))
            return PriorValues({"distance": self.distance(code, truth).mean()}, {})
