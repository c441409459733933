"""Measures of a prior: how much of its code is used, how it is spread, and whether its distance means anything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

ACTIVE_SHARE = 0.01
BIMODALITY_LIMIT = 5 / 9
_NORMALITY_LEVEL = 0.01


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
        skewness: 0 for a normal distribution.
        excess_kurtosis: 0 for a normal distribution.
        normality_p: of D'Agostino and Pearson's test; None for fewer than 20 codes or a dimension that does not move.
        bimodality: Sarle's coefficient, (skewness² + 1) / kurtosis with the sample's correction; above 5/9, that of a
            uniform distribution, it hints at more than one mode. None where `normality_p` is.
    """

    skewness: float
    excess_kurtosis: float
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
class DoseResponse:
    """How a measure answers to more and more of a defect.

    Attributes:
        means: over cases, one per strength.
        spearman: rank correlation of strength and measure within a case, averaged over the cases in which the measure
            moves; None if there is none.
        monotone: whether the means never fall from one strength to the next, and rise in all.
    """

    means: list[float]
    spearman: float | None
    monotone: bool


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
        if count < 20 or values.std() <= 1e-9 * max(1.0, np.abs(values).max()):
            shapes.append(DimensionShape(0.0, 0.0, None, None))
            continue
        skewness, excess = float(skew(values, bias=False)), float(kurtosis(values, bias=False))
        corrected = excess + 3 * (count - 1) ** 2 / ((count - 2) * (count - 3))
        shapes.append(DimensionShape(skewness, excess, float(normaltest(values).pvalue), (skewness**2 + 1) / corrected))
    return shapes


def dose_response(strengths: Sequence[float], values: np.ndarray) -> DoseResponse:
    """Return how values (cases, strengths) answer to strengths in rising order."""
    values = np.asarray(values, dtype=np.float64)
    means = values.mean(0)
    correlations = [rho for case in values if (rho := rank_correlation(np.asarray(strengths), case)) is not None]
    return DoseResponse(
        means=means.tolist(),
        spearman=float(np.mean(correlations)) if correlations else None,
        monotone=bool((np.diff(means) >= 0).all() and means[-1] > means[0]),
    )


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Spearman's rho of two arrays of one shape, None where one of them is constant."""
    from scipy.stats import spearmanr

    first, second = np.ravel(first), np.ravel(second)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)


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


def gradient_norms(
    losses: dict[str, Callable[[Tensor, Tensor], Tensor]], logits: Tensor, target: Tensor
) -> dict[str, float]:
    """Return the norm of each loss's gradient at the logits (B, C, …).

    Args:
        losses: scalars of logits and target, by name.
        logits: detached here.
        target: as the losses take it.
    """
    norms = {}
    for name, loss in losses.items():
        leaf = logits.detach().float().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf, target), leaf)
        norms[name] = gradient.norm().item()
    return norms


def example_logits(maps: Tensor, corrupted: Tensor, *, regions: bool) -> dict[str, Tensor]:
    """Return logits (B, C, …) of a segmenter that is nearly right, one that is wrong, and one that knows nothing.

    Args:
        maps: hard label maps (B, C, …) of the target.
        corrupted: the same with defects.
        regions: whether the channels are overlapping regions.
    """
    # The right class leads by 7 (probability 0.999) or by 1 (in doubt); with a sigmoid the logit itself does.
    margin = 1.0 if regions else 0.5
    return {
        "near_perfect": (2 * maps - 1) * 7 * margin,
        "perturbed": (2 * corrupted - 1) * margin,
        "uniform": torch.zeros_like(maps),
    }
