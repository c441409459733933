"""Where a hybrid's linear branches start: PCA of signed distance maps, and a ridge map from soft ones to its codes."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from acnn_nnunet.shape_prior.grids.samples import GridSamples
from acnn_nnunet.shape_prior.label_space import LabelSpace
from acnn_nnunet.shape_prior.networks.hybrid_autoencoder import SMALL, HybridDecoder, HybridEncoder, pool
from acnn_nnunet.shape_prior.signed_distance import signed_distances

# Beyond so many voxels from the boundary a distance says little of the shape.
_LIMIT = 6.0
# What a voxel's distance to the boundary is worth as a logit.
SHARPNESS = 1.5
_RIDGE = 0.001
_LEAST_VARIANCE = 1e-6
# What the encoder's linear layer reads of a map sums up to this: a step of 1e-3 in every weight moves a code, whose
# variance is 1, by 0.2 at most.
_READ_SIZE = 200.0


@dataclass(frozen=True)
class LinearStart:
    """A linear shape model, V values a map; of K components or fewer, as many as the maps have directions.

    Attributes:
        distance_mean: (V,), the mean map of distances.
        basis: (K, V), orthonormal principal axes of the distances, by falling variance.
        scale: (K,), standard deviation along each.
        read_mean: (V,), the mean of the soft distances that the encoder reads.
        to_code: (V, K), takes them, less their mean, to codes of unit variance.
        read_size: mean sum of their absolute values, less their mean.
    """

    distance_mean: Tensor
    basis: Tensor
    scale: Tensor
    read_mean: Tensor
    to_code: Tensor
    read_size: float


def fit_linear_start(read: Tensor, distances: Tensor, *, components: int) -> LinearStart:
    """Fit to maps' soft distances (N, V), which the encoder reads, and their exact ones (N, V), positive inside."""
    distance_mean, read_mean = distances.mean(0), read.mean(0)
    distances, read = distances - distance_mean, read - read_mean
    # There are fewer maps than values: the eigenvectors of the small matrix give those of the large one.
    variances, vectors = torch.linalg.eigh((distances @ distances.T).double())
    kept = variances.argsort(descending=True)[:components]
    kept = kept[variances[kept] > _LEAST_VARIANCE * variances.max().clamp(min=_LEAST_VARIANCE)]
    basis = F.normalize(vectors[:, kept].T.to(distances.dtype) @ distances, dim=1)
    codes = distances @ basis.T
    scale = codes.square().mean(0).sqrt()
    products = read @ read.T
    ridge = (_RIDGE * products.diagonal().mean()).clamp(min=1e-6) * torch.eye(len(read))
    to_code = read.T @ torch.linalg.solve(products + ridge, codes / scale)
    return LinearStart(distance_mean, basis, scale, read_mean, to_code, read.abs().sum(1).mean().item())


@torch.no_grad()
def start_linearly(
    encoder: HybridEncoder,
    decoder: HybridDecoder,
    batches: Iterable[GridSamples],
    *,
    labels: LabelSpace,
    spacing_mm: tuple[float, ...],
) -> int:
    """Fit PCA to training samples and start the linear branches there; return the number of its components.

    What the code is longer than that starts small and random. Without a valid sample nothing changes.

    Args:
        encoder: f.
        decoder: g.
        batches: augmented training samples on the grid.
        labels: what the channels mean.
        spacing_mm: of the grid's voxels.
    """
    read, distances = [], []
    for samples in batches:
        if len(samples.maps) > 0:
            soft = encoder.distance(pool(samples.maps, encoder.pooling))
            read.append(_without_background(soft, labels).flatten(1).cpu().float())
            distances.append(pool(distance_maps(samples.maps, labels, spacing_mm), encoder.pooling).flatten(1))
    if not read:
        return 0
    start = fit_linear_start(torch.cat(read), torch.cat(distances), components=encoder.linear.out_features)
    components = len(start.scale)
    first, gain = 0 if labels.regions else 1, _READ_SIZE / max(start.read_size, 1e-6)
    for branch in (encoder, decoder):
        branch.linear.weight.mul_(SMALL)
        branch.linear.bias.zero_()
    decoder.foreground[:first] = 0
    encoder.gain.fill_(gain)[:first] = 0
    encoder.centre.copy_(start.read_mean.view_as(encoder.centre))
    encoder.linear.weight[:components] = start.to_code.T.to(encoder.linear.weight) / gain
    axes = SHARPNESS * start.basis * start.scale[:, None]
    decoder.linear.weight[:, :components] = axes.T.to(decoder.linear.weight)
    decoder.linear.bias.copy_(SHARPNESS * start.distance_mean)
    return components


def distance_maps(maps: Tensor, labels: LabelSpace, spacing_mm: tuple[float, ...]) -> Tensor:
    """Return the signed distances (B, C, …) of label maps, positive inside, at most 6; 0 for the background's channel.

    Their unit is a voxel of the finest axis. The boundary lies half a voxel from the centres beside it.
    """
    masks = _without_background(labels.hardened(maps), labels).cpu().numpy() > 0.5
    voxel = tuple(spacing / min(spacing_mm) for spacing in spacing_mm)
    first = 0 if labels.regions else 1
    distances = torch.zeros(masks.shape)
    for sample, channels in zip(distances, masks, strict=True):
        for channel, mask in zip(sample[first:], channels[first:], strict=True):
            channel.copy_(torch.from_numpy(signed_distances(mask, 2, spacing=voxel)[0]))
    return (distances - 0.5 * distances.sign()).clamp(-_LIMIT, _LIMIT)


def _without_background(maps: Tensor, labels: LabelSpace) -> Tensor:
    if labels.regions:
        return maps
    return torch.cat([torch.zeros_like(maps[:, :1]), maps[:, 1:]], 1)
