"""How far a prediction's anatomy is from the target's, as a frozen prior sees it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist

from acnn_nnunet.shape_prior.grids.views import Grid, RoiGrid
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.loss.distances import FeatureDistance, make_code_distance
from acnn_nnunet.shape_prior.networks.hybrid_autoencoder import AnyDecoder, AnyEncoder
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork

# Code, feature maps and, where it is asked for, the reconstruction's logits.
_Reading = tuple[Tensor, list[Tensor], Tensor | None]


@dataclass(frozen=True)
class PriorValues:
    """What the prior says of a batch.

    Attributes:
        terms: scalars that gradients flow through: `distance` of the codes and, where they have a weight,
            `feature_distance`, `reconstruction_loss` and `outside_volume`.
        shares: scalars: `cut_off_share` of the samples and, on a box, `masked_share` of the samples, which do not
            count, and `outside_share` of the foreground of those that do.
    """

    terms: dict[str, Tensor]
    shares: dict[str, Tensor]


class PriorTerm(nn.Module):
    """Distances between prediction and target behind a frozen encoder f, averaged over the valid samples of the batch.

    All are zero where the prediction is the target:

    - `distance`: d(f(prediction), f(target)).
    - `feature_distance`: of the encoder's feature maps after each scale, from the same pass.
    - `reconstruction_loss`: mean Kullback-Leibler divergence a voxel of the reconstruction g(f(prediction)) from
      g(f(target)). Like cross-entropy it keeps its gradient where the decoder is certain and wrong, as Dice does not;
      against the target itself it would go on pulling at a perfect prediction, since g is not perfect.
    - `outside_volume`: foreground that is predicted beyond the box and is not there, over the target's volume. The
      code does not see it.

    Args:
        encoder: f; it is frozen here, and stays in eval mode whatever a parent module does.
        distance: of two codes (B, K), gives (B,).
        grid: where the prior looks.
        labels: what the channels mean.
        feature_distance: of two lists of feature maps, gives (B,).
        feature_weight: its weight beside the code's, which is 1; at 0 it is not computed.
        decoder: g; frozen like f.
        reconstruction_weight: of the reconstruction loss; at 0 it is not computed.
        outside_weight: of the volume beyond the box; at 0 it is not computed.
    """

    def __init__(
        self,
        encoder: AnyEncoder,
        *,
        distance: nn.Module,
        grid: Grid,
        labels: LabelSpace,
        feature_distance: FeatureDistance | None = None,
        feature_weight: float = 0.0,
        decoder: AnyDecoder | None = None,
        reconstruction_weight: float = 0.0,
        outside_weight: float = 0.0,
    ):
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.distance = distance
        self.grid = grid
        self.labels = labels
        self.weights = {"distance": 1.0}
        self.feature_distance, self.decoder = None, None
        if feature_weight > 0:
            assert feature_distance is not None
            self.feature_distance, self.weights["feature_distance"] = feature_distance, feature_weight
        if reconstruction_weight > 0:
            assert decoder is not None
            self.decoder, self.weights["reconstruction_loss"] = decoder.requires_grad_(False), reconstruction_weight
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
                truth = self._read(view(target_maps, beyond=beyond))
            values = self._compare(self._read(view(prediction, beyond=beyond)), truth)
            if "outside_volume" in self.weights:
                values["outside_volume"] = self._outside_volume(prediction, target_maps, view.unseen(prediction))
            terms = {name: _mean_over_valid(value, view.valid) for name, value in values.items()}
        shares = {"cut_off_share": view.cut_off.float().mean()}
        if self.grid.kind == RoiGrid.kind:
            shares["masked_share"] = 1 - view.valid.float().mean()
            shares["outside_share"] = (view.outside_share * view.valid).sum() / view.valid.sum().clamp(min=1)
        return PriorValues(terms, shares)

    def _outside_volume(self, prediction: Tensor, target_maps: Tensor, unseen: Tensor) -> Tensor:
        """Return (B,), the volume of wrong foreground among unseen voxels (B, 1, …), over that of the target."""
        truth = self.labels.foreground(target_maps)
        wrong = self.labels.foreground_probability(prediction) * (unseen & ~truth)
        return wrong.flatten(1).sum(1) / truth.flatten(1).sum(1).clamp(min=1)

    def _read(self, maps: Tensor) -> _Reading:
        """Return the code, the feature maps and, where it is asked for, the reconstruction's logits."""
        code, features = self.encoder.with_features(maps)
        return code, features, None if self.decoder is None else self.decoder(code)

    def _compare(self, prediction: _Reading, target: _Reading) -> dict[str, Tensor]:
        """Return each term per sample (B,) of what `_read` says of both."""
        values = {"distance": self.distance(prediction[0], target[0])}
        if self.feature_distance is not None:
            values["feature_distance"] = self.feature_distance(prediction[1], target[1])
        if prediction[2] is not None and target[2] is not None:
            truth = self.labels.probabilities(target[2])
            cross_entropy = self.labels.voxelwise_cross_entropy(prediction[2], truth)
            entropy = self.labels.voxelwise_cross_entropy(target[2], truth)
            values["reconstruction_loss"] = (cross_entropy - entropy).flatten(1).mean(1)
        return values


def make_prior_term(
    network: TLNetwork,
    *,
    distance: str,
    grid: Grid,
    labels: LabelSpace,
    feature_weight: float = 0.0,
    reconstruction_weight: float = 0.0,
    outside_weight: float = 0.0,
) -> PriorTerm:
    """Return the term of a trained prior with the statistics that came with it.

    Args:
        network: of the prior; its encoder and decoder are frozen.
        distance: of the codes, as the setting `prior_distance` names it.
        grid: where the prior looks.
        labels: what the channels mean.
        feature_weight: of the feature maps' distance.
        reconstruction_weight: of the reconstruction loss.
        outside_weight: of the volume beyond the box.
    """
    return PriorTerm(
        network.encoder,
        distance=make_code_distance(distance, network),
        grid=grid,
        labels=labels,
        feature_distance=FeatureDistance(network.feature_variances),
        feature_weight=feature_weight,
        decoder=network.decoder,
        reconstruction_weight=reconstruction_weight,
        outside_weight=outside_weight,
    )


def _mean_over_valid(distance: Tensor, valid: Tensor) -> Tensor:
    """Return the mean over all valid samples of all processes, so that DDP's average is the mean of the whole batch."""
    count = valid.sum().to(distance.dtype)
    world_size = 1
    if dist.is_available() and dist.is_initialized():
        world_size = dist.get_world_size()
        dist.all_reduce(count)
    return (distance * valid).sum() * world_size / count.clamp(min=1)
