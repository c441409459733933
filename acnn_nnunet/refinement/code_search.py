"""The most plausible code for what is credible in a segmentation: a few robust steps from a first guess."""

from dataclasses import dataclass

import torch
from torch import Tensor

from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.loss.distances import WhitenedDistance
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork


@dataclass(frozen=True)
class CodeSearch:
    """Minimises over codes z: Σ_v c_v·ρ(H(p_v, g(z)_v)) + w·M²(z), M the Mahalanobis distance of the training codes.

    H is the cross-entropy of the segmentation's voxel under the decoded anatomy. ρ(h) = h / (1 + h / s) bounds what a
    voxel can cost, so that parts that no anatomy explains count less. c is how far the voxel's probabilities are from
    undecided. The sum is over the whole grid, in voxels.

    Attributes:
        steps: of Adam, 0 or more; 0 returns the first guess.
        rate: of a step, in standard deviations of the code.
        mahalanobis_weight: w, in voxels.
        scale: s, in nats.
    """

    steps: int = 8
    rate: float = 0.15
    mahalanobis_weight: float = 1.0
    scale: float = 1.0

    def run(self, network: TLNetwork, labels: LabelSpace, maps: Tensor, start: Tensor) -> Tensor:
        """Return codes (B, K) of segmentations (B, C, …) in 0…1, from first guesses (B, K); weights stay as they are.

        The search runs in whitened coordinates, in which the codes of the training labels have unit covariance.
        """
        if self.steps == 0:
            return start
        whitened = WhitenedDistance(network.code_covariance).whitening.to(start)
        factor = torch.linalg.inv(whitened)
        mean = network.code_mean
        credible = _certainty(maps, labels)
        with torch.enable_grad():
            position = ((start - mean) @ whitened.T).detach().requires_grad_()
            optimiser = torch.optim.Adam([position], lr=self.rate)
            for _ in range(self.steps):
                logits = network.decoder(mean + position @ factor.T)
                surprise = labels.voxelwise_cross_entropy(logits.float(), maps)
                bounded = surprise / (1 + surprise / self.scale)
                loss = (credible * bounded).flatten(1).sum(1) + self.mahalanobis_weight * position.square().sum(1)
                (position.grad,) = torch.autograd.grad(loss.sum(), [position])
                optimiser.step()
        return (mean + position.detach() @ factor.T).detach()


def _certainty(maps: Tensor, labels: LabelSpace) -> Tensor:
    """Return (B, 1 or C, …): 0 for an undecided voxel, 1 for a certain one."""
    if labels.regions:
        return (2 * maps - 1).abs()
    first, second = maps.topk(2, dim=1).values.unbind(1)
    return (first - second)[:, None]
