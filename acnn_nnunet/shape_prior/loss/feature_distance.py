"""How far two label maps are apart in the encoder's feature maps, and the variances that make its scales comparable."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_FLOOR = 0.01


class FeatureDistance(nn.Module):
    """Squared difference of feature maps over each channel's variance, averaged over features, then over scales.

    Two unrelated label maps are about 2 apart, whatever the scale.

    Args:
        variances: per scale, the variance (C',) of each channel over training labels; a channel that hardly moves is
            given a hundredth of its scale's mean.
    """

    def __init__(self, variances: Sequence[Tensor]):
        super().__init__()
        for scale, variance in enumerate(variances):
            floor = max(_FLOOR * variance.mean().item(), 1e-12)
            self.register_buffer(f"variance_{scale}", variance.clamp(min=floor))

    def forward(self, prediction: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """Return (B,) of two lists of feature maps (B, C', …)."""
        scales = []
        for variance, first, second in zip(self.buffers(), prediction, target, strict=True):
            difference = (first - second).square().flatten(2).mean(2)
            scales.append((difference / variance).mean(1))
        return torch.stack(scales).mean(0)


class FeatureStatistics:
    """Variance of each channel of feature maps that come in batches, over samples and voxels."""

    def __init__(self):
        self._counts: list[int] = []
        self._sums: list[Tensor] = []
        self._squares: list[Tensor] = []

    def add(self, features: Sequence[Tensor]) -> None:
        """Take in feature maps (B, C', …) of every scale."""
        # On the CPU: not every device has float64.
        maps = [scale.detach().cpu().double().transpose(0, 1).flatten(1) for scale in features]
        if not self._counts:
            self._counts = [0] * len(maps)
            self._sums, self._squares = ([torch.zeros(len(scale)).double() for scale in maps] for _ in range(2))
        for i, scale in enumerate(maps):
            self._counts[i] += scale.shape[1]
            self._sums[i] += scale.sum(1)
            self._squares[i] += scale.square().sum(1)

    def variances(self) -> list[Tensor]:
        """Return (C',) of every scale in float32."""
        return [
            (squares / count - (total / count).square()).clamp(min=0).float()
            for count, total, squares in zip(self._counts, self._sums, self._squares, strict=True)
        ]
