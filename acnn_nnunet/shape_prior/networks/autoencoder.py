"""The stacked convolutional autoencoder of label maps (paper §II-B, Table V)."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from acnn_nnunet.shape_prior.networks.architecture import EncoderPlan

_CONV: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
_DECONV: dict[int, type[nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORM: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
# Table V: a transposed convolution of stride 3 has kernel 7, of stride 2 kernel 4, and spans one voxel where it does
# not stride; the padding makes the output exactly stride times larger.
_DECONV_KERNEL = {1: (1, 0), 2: (4, 1), 3: (7, 2)}


def convolution(in_channels: int, out_channels: int, stride: Sequence[int]) -> nn.Module:
    """Return a 3×3(×3) convolution with padding 1; (B, C, …) to (B, C', ceil(…/stride))."""
    return _CONV[len(stride)](in_channels, out_channels, kernel_size=3, stride=tuple(stride), padding=1)


def transposed_convolution(in_channels: int, out_channels: int, stride: Sequence[int]) -> nn.Module:
    """Return a transposed convolution that multiplies the spatial size by `stride` (1, 2 or 3 per axis)."""
    kernel, padding = zip(*(_DECONV_KERNEL[s] for s in stride), strict=True)
    return _DECONV[len(stride)](in_channels, out_channels, kernel_size=kernel, stride=tuple(stride), padding=padding)


def normalised(layer: nn.Module, channels: int, dimensions: int, *, rectified: bool = True) -> nn.Sequential:
    """Return `layer`, batch normalisation and, unless left out, ReLU, the paper's order."""
    modules = [layer, _NORM[dimensions](channels), *([nn.ReLU(inplace=True)] if rectified else [])]
    return nn.Sequential(*modules)


def crop(features: Tensor, size: tuple[int, ...]) -> Tensor:
    """Drop what upsampled maps (B, C, …) of an odd size have too much, at the far end of each axis."""
    for axis, length in enumerate(size, start=2):
        features = features.narrow(axis, 0, length)
    return features


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
        features = labels
        for scale in self.scales:
            features = scale(features)
        return self.to_code(features.flatten(1))


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
