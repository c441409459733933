"""The predictor of codes from images (paper §II-D, Table IV)."""

import math

from torch import Tensor, nn

from acnn_nnunet.shape_prior.networks.architecture import EncoderPlan
from acnn_nnunet.shape_prior.networks.layers import convolution, normalised


class Predictor(nn.Module):
    """Images to codes: two convolutions a scale, the last without normalisation, one fully connected layer.

    Args:
        plan: the grid and how it shrinks.
        in_channels: image channels.
        code_size: length of the code.
    """

    def __init__(self, plan: EncoderPlan, *, in_channels: int, code_size: int):
        super().__init__()
        dimensions = len(plan.grid)
        layers: list[nn.Module] = []
        channels, unstrided = in_channels, (1,) * dimensions
        for features, stride in zip(plan.features, plan.strides, strict=True):
            layers.append(normalised(convolution(channels, features, stride), features, dimensions))
            layers.append(normalised(convolution(features, features, unstrided), features, dimensions))
            channels = features
        last = convolution(channels, plan.bottleneck_channels, unstrided)
        layers[-1] = nn.Sequential(last, nn.ReLU(inplace=True)) if plan.rectified_bottleneck else last
        self.convolutions = nn.Sequential(*layers)
        self.to_code = nn.Linear(math.prod(plan.bottleneck), code_size)

    def forward(self, image: Tensor) -> Tensor:
        """Return codes (B, code_size) of images (B, C, …), z-scored as the host does."""
        return self.to_code(self.convolutions(image).flatten(1))
