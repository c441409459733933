"""What travels with a prior's weights: statistics of codes and features over augmented training labels."""

from collections.abc import Iterable

import torch

from acnn_nnunet.shape_prior.grids.samples import GridSamples
from acnn_nnunet.shape_prior.loss.code_distance import code_statistics
from acnn_nnunet.shape_prior.loss.feature_distance import FeatureStatistics
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork


@torch.no_grad()
def measure_statistics(network: TLNetwork, batches: Iterable[GridSamples]) -> float:
    """Write the code's mean and covariance and the features' variances into the network.

    Args:
        network: the T-L network, in eval mode.
        batches: augmented training samples on the grid.

    Returns:
        The mean share of a valid sample's foreground that lies beyond the grid.

    Raises:
        ValueError: if there are fewer than two valid samples or a code is not finite.
    """
    codes, features, outside = [torch.empty(0, len(network.code_mean))], FeatureStatistics(), []
    for samples in batches:
        if len(samples.maps) == 0:
            continue
        code, maps = network.encoder.with_features(samples.maps)
        codes.append(code.cpu())
        features.add(maps)
        outside.append(samples.view.outside_share[samples.view.valid].cpu())
    mean, covariance = code_statistics(torch.cat(codes))
    network.code_mean.copy_(mean)
    network.code_covariance.copy_(covariance)
    for buffer, variance in zip(network.feature_variances, features.variances(), strict=True):
        buffer.copy_(variance)
    return float(torch.cat(outside).mean())
