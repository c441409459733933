"""How far a prediction's anatomy is from the target's, as a frozen prior sees it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acnn_nnunet.shape_prior.grids.views import Grid, RoiGrid
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace, sum_over_processes
from acnn_nnunet.shape_prior.loss.distances import make_code_distance
from acnn_nnunet.shape_prior.networks.hybrid_autoencoder import AnyEncoder
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork


@dataclass(frozen=True)
class PriorValues:
    """What the prior says of a batch.

    Attributes:
        terms: scalars that gradients flow through: `distance` of the codes and, where it has a weight,
            `outside_volume`.
        shares: a sum over samples (scalar) and the number of samples that it is a share of: `cut_off_share` and, on a
            box, `masked_share`, of samples which do not count, and `outside_share` of the foreground of those that do.
    """

    terms: dict[str, Tensor]
    shares: dict[str, tuple[Tensor, Tensor]]


class PriorTerm(nn.Module):
    """Distance between prediction and target behind a frozen encoder f, averaged over the valid samples of the batch.

    Both terms are zero where the prediction is the target:

    - `distance`: d(f(prediction), f(target)).
    - `outside_volume`: foreground that is predicted beyond the box and is not there, over the target's volume. The
      code does not see it.

    Args:
        encoder: f; it is frozen here, and stays in eval mode whatever a parent module does.
        distance: of two codes (B, K), gives (B,).
        grid: where the prior looks.
        labels: what the channels mean.
        outside_weight: of the volume beyond the box beside the code's, which is 1; at 0 it is not computed.
    """

    def __init__(
        self,
        encoder: AnyEncoder,
        *,
        distance: nn.Module,
        grid: Grid,
        labels: LabelSpace,
        outside_weight: float = 0.0,
    ):
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.distance = distance
        self.grid = grid
        self.labels = labels
        self.weights = {"distance": 1.0}
        if outside_weight > 0:
            self.weights["outside_volume"] = outside_weight
        self.eval()

    def train(self, mode: bool = True) -> "PriorTerm":
        """Stay in eval mode: batch statistics of predictions must not move the prior."""
        return super().train(False)

    def forward(self, logits: Tensor, target: Tensor) -> PriorValues:
        """Return the terms in float32 (float64 of float64 logits).

        Args:
            logits: (B, C, …) at full resolution; the gradient flows through these only.
            target: (B, 1, …) classes or (B, R[+1], …) regions.
        """
        beyond = self.labels.background
        with torch.autocast(logits.device.type, enabled=False):
            prediction = self.labels.prediction_maps(logits, target)
            with torch.no_grad():
                target_maps = self.labels.target_maps(target).to(prediction.dtype)
                view = self.grid.around(self.labels.foreground(target_maps))
                truth = self.encoder(view(target_maps, beyond=beyond))
            values = {"distance": self.distance(self.encoder(view(prediction, beyond=beyond)), truth)}
            if "outside_volume" in self.weights:
                values["outside_volume"] = self._outside_volume(prediction, target_maps, view.unseen(prediction))
            terms = {name: _mean_over_valid(value, view.valid) for name, value in values.items()}
        everywhere = torch.ones_like(view.valid)
        shares = {"cut_off_share": _sum_and_count(view.cut_off, everywhere)}
        if self.grid.kind == RoiGrid.kind:
            shares["masked_share"] = _sum_and_count(~view.valid, everywhere)
            shares["outside_share"] = _sum_and_count(view.outside_share, view.valid)
        return PriorValues(terms, shares)

    def _outside_volume(self, prediction: Tensor, target_maps: Tensor, unseen: Tensor) -> Tensor:
        """Return (B,), the volume of wrong foreground among unseen voxels (B, 1, …), over that of the target."""
        truth = self.labels.foreground(target_maps)
        wrong = self.labels.foreground_probability(prediction) * (unseen & ~truth)
        return wrong.flatten(1).sum(1) / truth.flatten(1).sum(1).clamp(min=1)


def make_prior_term(
    network: TLNetwork,
    *,
    distance: str,
    grid: Grid,
    labels: LabelSpace,
    outside_weight: float = 0.0,
) -> PriorTerm:
    """Return the term of a trained prior with the statistics that came with it.

    Args:
        network: of the prior; its encoder is frozen.
        distance: of the codes, as the setting `prior_distance` names it.
        grid: where the prior looks.
        labels: what the channels mean.
        outside_weight: of the volume beyond the box.
    """
    return PriorTerm(
        network.encoder,
        distance=make_code_distance(distance, network),
        grid=grid,
        labels=labels,
        outside_weight=outside_weight,
    )


def _sum_and_count(values: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of values (B,) over the samples that count, and their number."""
    return (values * counted).sum(), counted.sum()


def _mean_over_valid(distance: Tensor, valid: Tensor) -> Tensor:
    """Return the mean over all valid samples of all processes, so that DDP's average is the mean of the whole batch."""
    count = valid.sum().to(distance.dtype)
    world_size = sum_over_processes(count)
    return (distance * valid).sum() * world_size / count.clamp(min=1)
