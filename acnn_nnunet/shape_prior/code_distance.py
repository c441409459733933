"""Distances between codes, and the statistics that whiten them."""

import torch
from torch import Tensor, nn


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


def make_code_distance(kind: str, covariance: Tensor) -> nn.Module:
    """Return the distance that the setting `prior_distance` names, "l2" or "whitened", on the covariance's device."""
    if kind == "whitened":
        return WhitenedDistance(covariance).to(covariance.device)
    return SquaredDistance()


def code_statistics(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (K,) and Ledoit-Wolf-shrunk covariance (K, K) of codes (N, K).

    Shrinkage keeps the covariance invertible with fewer samples than dimensions and where a dimension is dead.

    Raises:
        ValueError: if fewer than two codes are given or one is not finite.
    """
    from sklearn.covariance import ledoit_wolf

    if len(codes) < 2 or not torch.isfinite(codes).all():
        raise ValueError(f"Code statistics need at least two finite codes, got {len(codes)}.")
    covariance, _ = ledoit_wolf(codes.double().numpy())
    covariance = torch.from_numpy(covariance)
    # Even a code that never moves gets a variance: identical label maps must not make the whitening infinite.
    floor = max(1e-6 * covariance.diagonal().mean().item(), 1e-12)
    return codes.mean(0), (covariance + floor * torch.eye(len(covariance), dtype=covariance.dtype)).float()
