"""How far a super-resolved image's anatomy is from the HR image's, as a frozen predictor of codes sees it."""

import torch
from torch import Tensor, nn

from acnn_nnunet.shape_prior.loss.prior_term import PriorValues
from acnn_nnunet.shape_prior.networks.tl_network import Predictor
from acnn_nnunet.sr.image_target import ImageTarget


class PredictorTerm(nn.Module):
    """L_hp of the paper (§II-D): d(p(prediction), p(HR image)) behind a frozen predictor p, mean over the batch.

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
