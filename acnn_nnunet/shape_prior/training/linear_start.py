"""Where a hybrid's linear branches start: PCA of signed distance maps, and a ridge map from soft ones to its codes."""

from collections.abc import Iterable

import torch

from acnn_nnunet.shape_prior.grids.samples import GridSamples
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.label_maps.pca import distance_maps, fit_linear_start, without_background
from acnn_nnunet.shape_prior.networks.hybrid_autoencoder import SMALL, HybridDecoder, HybridEncoder, pool
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork

# What a voxel's distance to the boundary is worth as a logit.
SHARPNESS = 1.5
# What the encoder's linear layer reads of a map sums up to this: a step of 1e-3 in every weight moves a code, whose
# variance is 1, by 0.2 at most.
_READ_SIZE = 200.0
# 256 codes at the start, mean Dice of 32 hippocampi not in the fit: 0.836 of 512 maps, 0.852 of 1024, 0.856 of 1800.
_LEAST_MAPS, _MAPS_PER_CODE = 300, 4


def maps_for_linear_start(code_size: int) -> int:
    """Return how many label maps a linear start should be fitted to."""
    return max(_LEAST_MAPS, _MAPS_PER_CODE * code_size)


@torch.no_grad()
def start_linearly(
    network: TLNetwork,
    batches: Iterable[GridSamples],
    *,
    labels: LabelSpace,
    spacing_mm: tuple[float, ...],
) -> int:
    """Fit PCA to training samples and start the linear branches there; return the number of its components.

    Code dimensions beyond these start with small random weights. Without a valid sample nothing changes.

    Args:
        network: of architecture=hybrid.
        batches: augmented training samples on the grid.
        labels: what the channels mean.
        spacing_mm: of the grid's voxels.
    """
    encoder, decoder = network.encoder, network.decoder
    assert isinstance(encoder, HybridEncoder)
    assert isinstance(decoder, HybridDecoder)
    read, distances = [], []
    for samples in batches:
        if len(samples.maps) > 0:
            soft = encoder.distance(pool(samples.maps, encoder.pooling))
            read.append(without_background(soft, labels).flatten(1).cpu().float())
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
