"""The stacked convolutional autoencoder of label maps (paper §II-B, Table V)."""

import math

import torch
from torch import Tensor, nn

from acnn_nnunet.shape_prior.networks.architecture import EncoderPlan
from acnn_nnunet.shape_prior.networks.layers import convolution, crop, normalised, transposed_convolution


class Encoder(nn.Module):
    """Label maps to codes: two convolutions a scale, one to the bottleneck, one fully connected layer.

    Args:
        plan: the grid and how it shrinks.
        in_channels: C, the classes (background included) or regions of a label map.
        code_size: length of the code.
    """

    def __init__(self, plan: EncoderPlan, *, in_channels: int, code_size: int):
        super().__init__()
        dimensions = len(plan.grid)
        scales, channels = [], in_channels
        for features, stride in zip(plan.features, plan.strides, strict=False):
            scales.append(
                nn.Sequential(
                    normalised(convolution(channels, features, stride), features, dimensions),
                    normalised(convolution(features, features, (1,) * dimensions), features, dimensions),
                )
            )
            channels = features
        to_bottleneck = convolution(channels, plan.bottleneck_channels, plan.strides[-1])
        scales.append(
            normalised(to_bottleneck, plan.bottleneck_channels, dimensions, rectified=plan.rectified_bottleneck)
        )
        self.scales = nn.ModuleList(scales)
        self.to_code = nn.Linear(math.prod(plan.bottleneck), code_size)

    def forward(self, labels: Tensor) -> Tensor:
        """Return codes (B, code_size), without a non-linearity, of probabilities or one-hot maps (B, C, …) in 0…1."""
        code, _ = self.with_features(labels)
        return code

    def with_features(self, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return codes (B, code_size) and the feature maps (B, C', …) after each scale, the bottleneck's last."""
        features, maps = labels, []
        for scale in self.scales:
            features = scale(features)
            maps.append(features)
        return self.to_code(features.flatten(1)), maps


class Decoder(nn.Module):
    """Codes to label logits: the encoder's scales backwards (Table V, lower half).

    Args:
        plan: the encoder's plan.
        out_channels: C, the classes or regions.
        code_size: length of the code.
    """

    def __init__(self, plan: EncoderPlan, *, out_channels: int, code_size: int):
        super().__init__()
        dimensions = len(plan.grid)
        self.bottleneck = plan.bottleneck
        self.sizes = plan.sizes[-2::-1]
        self.from_code = nn.Sequential(nn.Linear(code_size, math.prod(plan.bottleneck)), nn.ReLU(inplace=True))
        self.upsampling, self.refinement = nn.ModuleList(), nn.ModuleList()
        channels = plan.bottleneck_channels
        widths = [*reversed(plan.features), plan.features[0]]
        for scale, (features, stride) in enumerate(zip(widths, reversed(plan.strides), strict=True)):
            self.upsampling.append(normalised(transposed_convolution(channels, features, stride), features, dimensions))
            last = scale == len(plan.strides) - 1
            refine = convolution(features, out_channels if last else features, (1,) * dimensions)
            self.refinement.append(refine if last else normalised(refine, features, dimensions))
            channels = features

    def forward(self, code: Tensor) -> Tensor:
        """Return logits (B, C, …) on the plan's grid for codes (B, code_size)."""
        features = self.from_code(code).unflatten(1, self.bottleneck)
        for upsample, refine, size in zip(self.upsampling, self.refinement, self.sizes, strict=True):
            features = refine(crop(upsample(features), size))
        return features


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Return the float one-hot map (B, C, …) of integer labels (B, 1, …) in 0…C-1."""
    shape = (labels.shape[0], num_classes, *labels.shape[2:])
    return torch.zeros(shape, device=labels.device).scatter_(1, labels.long(), 1)
