"""Distances between two label maps as the encoder sees them: of their codes."""

import math

import torch
from torch import Tensor, nn

from acnn_nnunet.shape_prior.networks.hybrid_autoencoder import HybridDecoder
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork


class SquaredDistance(nn.Module):
    """Squared Euclidean distance of codes, summed over the code (paper Eq. 1)."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return (B,) of two codes (B, K)."""
        return (prediction - target).square().sum(1)


class WhitenedDistance(nn.Module):
    """Squared Euclidean distance after whitening with the codes' covariance (squared Mahalanobis distance).

    Plain codes differ in scale and are correlated, so that a few of them rule; whitened, a weight means the same for
    every prior.

    Args:
        covariance: (K, K), positive definite.
    """

    whitening: Tensor

    def __init__(self, covariance: Tensor):
        super().__init__()
        # On the CPU: not every device has float64.
        factor = torch.linalg.cholesky(covariance.cpu().double())
        identity = torch.eye(len(factor), dtype=factor.dtype)
        self.register_buffer("whitening", torch.linalg.solve_triangular(factor, identity, upper=False).float())

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return (B,) of two codes (B, K)."""
        return ((prediction - target) @ self.whitening.T).square().sum(1)


class DecodedDistance(nn.Module):
    """Mean squared difference of what a linear decoder makes of two codes: of a hybrid, that of signed distances.

    Codes of unit variance weigh a wrinkle like a displacement of the whole; here each counts by what it moves.

    Args:
        decoder: (V, K), the weights that take codes to V values.
    """

    factor: Tensor

    def __init__(self, decoder: Tensor):
        super().__init__()
        # QR of the weights: distances of decoded codes are those of R·code, and R is small.
        weights = decoder.detach().cpu().double() / len(decoder) ** 0.5
        self.register_buffer("factor", torch.linalg.qr(weights, mode="r").R.float())

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return (B,) of two codes (B, K)."""
        return ((prediction - target) @ self.factor.T).square().sum(1)


def make_code_distance(kind: str, network: TLNetwork) -> nn.Module:
    """Return the distance of a trained network's codes that the setting `prior_distance` names, on its device.

    Raises:
        ValueError: if it is "decoded" and the network has no linear decoder.
    """
    if kind == "l2":
        return SquaredDistance()
    if kind == "whitened":
        return WhitenedDistance(network.code_covariance).to(network.code_covariance.device)
    if not isinstance(network.decoder, HybridDecoder):
        raise ValueError("prior_distance=decoded needs a shape prior of architecture=hybrid: configure l2 or whitened.")
    linear, rows_a_channel = network.decoder.linear.weight, math.prod(network.decoder.coarse[1:])
    # The background's rows decode to nothing, whatever they hold.
    weights = linear * network.decoder.foreground.repeat_interleave(rows_a_channel)[:, None]
    return DecodedDistance(weights).to(network.code_covariance.device)
