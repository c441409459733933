"""The baseline that works in HR space: interpolate first, then convolve (SR-CNN, reference [34] of the paper)."""

import itertools
from typing import Any

from torch import Tensor, nn

from acnn_nnunet.sr.network import HROutput
from acnn_nnunet.sr.upsampling import INTERPOLATIONS, interpolate_slices

NUM_LAYERS = 7
_CONV: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}


class SRCNN(nn.Module):
    """3×3(×3) convolutions of one width, each but the last followed by ReLU, that correct the interpolated stack.

    Args:
        channels: of the image, in and out.
        factor: K, HR slices in an LR slice.
        axis: the through-plane axis among the spatial ones.
        features: channels of the hidden layers; `features_for` finds those of a given number of parameters.
        dimensions: 2 or 3.
        interpolation: "linear" or "bspline".
    """

    def __init__(
        self,
        channels: int,
        *,
        factor: int,
        axis: int,
        features: int,
        dimensions: int = 3,
        interpolation: str = "linear",
    ):
        super().__init__()
        if interpolation not in INTERPOLATIONS:
            raise ValueError(f"There is no interpolation {interpolation!r}; there are {', '.join(INTERPOLATIONS)}.")
        self.output, self.axis, self.interpolation = HROutput(factor), axis, interpolation
        widths = [channels, *(features,) * (NUM_LAYERS - 1), channels]
        layers: list[Any] = []
        for wide_in, wide_out in itertools.pairwise(widths):
            convolution = _CONV[dimensions](wide_in, wide_out, kernel_size=3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU(inplace=True)]
        del layers[-1]
        nn.init.zeros_(layers[-1].weight)  # training starts from the interpolation
        self.layers = nn.Sequential(*layers)

    def forward(self, stack: Tensor) -> Tensor:
        """Return the HR image of an LR stack (B, C, Z, Y, X) or (B, C, Y, X), K times as long along the axis."""
        image = interpolate_slices(stack, self.output.factor, axis=self.axis, method=self.interpolation)
        return self.output.cut(image + self.layers(image), axis=self.axis)


def features_for(num_parameters: int, *, channels: int, dimensions: int = 3) -> int:
    """Return the width with which SRCNN's number of parameters is nearest to the given one."""
    return min(range(1, 1024), key=lambda width: abs(_num_parameters(channels, width, dimensions) - num_parameters))


def _num_parameters(channels: int, features: int, dimensions: int) -> int:
    taps = 3**dimensions
    ends = 2 * taps * channels * features + features + channels
    return ends + (NUM_LAYERS - 2) * (taps * features**2 + features)
