"""Statistics of codes: those that travel with a prior's weights, and how codes fill their space."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from acnn_nnunet.shape_prior.grids.samples import GridSamples
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork


@torch.no_grad()
def measure_statistics(network: TLNetwork, batches: Iterable[GridSamples]) -> float:
    """Write the code's mean and covariance into the network.

    Args:
        network: the T-L network, in eval mode.
        batches: augmented training samples on the grid.

    Returns:
        The mean share of a valid sample's foreground that lies beyond the grid.

    Raises:
        ValueError: if there are fewer than two valid samples or a code is not finite.
    """
    codes, outside = [torch.empty(0, len(network.code_mean))], []
    for samples in batches:
        if len(samples.maps) == 0:
            continue
        codes.append(network.encoder(samples.maps).cpu())
        outside.append(samples.view.outside_share[samples.view.valid].cpu())
    mean, covariance = code_statistics(torch.cat(codes))
    network.code_mean.copy_(mean)
    network.code_covariance.copy_(covariance)
    return float(torch.cat(outside).mean())


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


ACTIVE_SHARE = 0.01
BIMODALITY_LIMIT = 5 / 9
_NORMALITY_LEVEL = 0.01
_LEAST_FOR_SHAPE = 20


@dataclass(frozen=True)
class CodeSpread:
    """How codes (N, K) fill their space.

    Attributes:
        num_codes: N.
        size: K.
        active_dimensions: dimensions whose variance is above a hundredth of the mean variance.
        effective_rank: 1 to min(K, N - 1).
        variances: (K,).
        eigenvalue_shares: of the covariance, largest first, (K,); their sum is 1.
    """

    num_codes: int
    size: int
    active_dimensions: int
    effective_rank: float
    variances: list[float]
    eigenvalue_shares: list[float]


@dataclass(frozen=True)
class DimensionShape:
    """The distribution of one dimension of the code.

    Attributes:
        skewness: 0 for a normal distribution; None for fewer than 20 codes or a dimension that does not move.
        excess_kurtosis: 0 for a normal distribution. None where `skewness` is.
        normality_p: of D'Agostino and Pearson's test. None where `skewness` is.
        bimodality: Sarle's coefficient, (skewness² + 1) / kurtosis with the sample's correction; above 5/9, that of a
            uniform distribution, it hints at more than one mode. None where `skewness` is.
    """

    skewness: float | None
    excess_kurtosis: float | None
    normality_p: float | None
    bimodality: float | None

    @property
    def looks_normal(self) -> bool:
        """Whether the test does not reject a normal distribution at 0.01."""
        return self.normality_p is not None and self.normality_p >= _NORMALITY_LEVEL

    @property
    def looks_multimodal(self) -> bool:
        """Whether the bimodality coefficient is above that of a uniform distribution."""
        return self.bimodality is not None and self.bimodality > BIMODALITY_LIMIT


@dataclass(frozen=True)
class PredictionError:
    """How far predicted codes are from those of the labels.

    Attributes:
        distance: mean squared distance of predicted code and label's code.
        spread: mean squared distance of the labels' codes and their mean.
        relative: distance / spread; 1 is what always predicting the mean would reach. None without spread.
    """

    distance: float
    spread: float
    relative: float | None


def code_spread(codes: np.ndarray) -> CodeSpread:
    """Return how codes (N, K) fill their space.

    The effective rank is that of Roy and Vetterli (EUSIPCO 2007): exp of the entropy of the eigenvalues of the codes'
    covariance over their sum.

    Raises:
        ValueError: for fewer than two codes or codes that are not finite.
    """
    codes = np.asarray(codes, dtype=np.float64)
    if len(codes) < 2 or not np.isfinite(codes).all():
        raise ValueError(f"The spread of codes needs at least two finite ones, got {len(codes)}.")
    centred = codes - codes.mean(0)
    eigenvalues = np.zeros(codes.shape[1])
    singular_values = np.linalg.svd(centred, compute_uv=False)
    eigenvalues[: len(singular_values)] = singular_values**2
    variances, total = centred.var(0, ddof=1), eigenvalues.sum()
    shares = eigenvalues / total if total > 0 else eigenvalues
    positive = shares[shares > 0]
    return CodeSpread(
        num_codes=len(codes),
        size=codes.shape[1],
        active_dimensions=int((variances > ACTIVE_SHARE * variances.mean()).sum()),
        effective_rank=float(np.exp(-(positive * np.log(positive)).sum())),
        variances=variances.tolist(),
        eigenvalue_shares=shares.tolist(),
    )


def dimension_shapes(codes: np.ndarray) -> list[DimensionShape]:
    """Return the distribution of every dimension of codes (N, K)."""
    from scipy.stats import kurtosis, normaltest, skew

    shapes = []
    for values in np.asarray(codes, dtype=np.float64).T:
        count = len(values)
        if count < _LEAST_FOR_SHAPE or values.std() <= 1e-9 * max(1.0, np.abs(values).max()):
            shapes.append(DimensionShape(None, None, None, None))
            continue
        skewness, excess = float(skew(values, bias=False)), float(kurtosis(values, bias=False))
        corrected = excess + 3 * (count - 1) ** 2 / ((count - 2) * (count - 3))
        shapes.append(DimensionShape(skewness, excess, float(normaltest(values).pvalue), (skewness**2 + 1) / corrected))
    return shapes


def prediction_error(predicted: Tensor, codes: Tensor, *, distance: nn.Module) -> PredictionError:
    """Return how far predicted codes (N, K) are from the labels' (N, K), by a squared distance of two codes."""
    between = distance(predicted, codes).mean().item()
    spread = distance(codes, codes.mean(0, keepdim=True).expand_as(codes)).mean().item()
    return PredictionError(between, spread, between / spread if spread > 0 else None)


def mean_distance_between(codes: Tensor, *, distance: nn.Module) -> float | None:
    """Return the mean squared distance of every two of the codes (N, K), None for fewer than two."""
    if len(codes) < 2:
        return None
    first, second = torch.triu_indices(len(codes), len(codes), offset=1)
    return distance(codes[first], codes[second]).mean().item()
