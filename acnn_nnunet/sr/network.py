"""The LR-in/HR-out network for thick slices (paper, Fig. 2, §II-A and II-C): sub-pixel segmentation, super-resolution.

Features are made in LR space, on several in-plane scales; a transposed convolution along the slices near the output
leads to HR space. nnU-Net builds it from the plans (`architecture`) as it does its own networks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from acnn_nnunet.sr.upsampling import ThroughPlaneUpsampling, interpolate_slices

NORMS = ("instance", "batch", "none")

# Fig. 2: kernels and strides as printed, axes (Z, Y, X). The figure gives no widths; these have the 1.6 million
# parameters of Table I, in proportions of a U-Net.
FIGURE_2: dict[str, Any] = {
    "factor": 5,
    "axis": 0,
    "features_per_stage": (24, 48, 96, 176),
    "kernel_sizes": ((3, 3, 3), (3, 3, 3), (3, 3, 3), (1, 3, 3)),
    "strides": ((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2)),
}

_CONV: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORM: dict[str, dict[int, type[nn.Module]]] = {
    "instance": {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d},
    "batch": {2: nn.BatchNorm2d, 3: nn.BatchNorm3d},
}
_LAYERS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_SLOPE = 0.01  # of the leaky ReLU, as in nnU-Net


@dataclass
class HROutput:
    """How many HR slices the next call of a network puts out for an LR slice, and where it ends.

    Attributes:
        factor: K, the planned one unless a trainer of several, or predict-hr, chooses another.
        slices: of the output; None leaves it as it is.
    """

    factor: int
    slices: int | None = None

    def choose(self, factor: int, slices: int | None = None) -> None:
        """Let the next calls have this factor and number of slices."""
        self.factor, self.slices = factor, slices

    def cut(self, prediction: Tensor, *, axis: int) -> Tensor:
        """Return (B, C, …) without the slices beyond the end."""
        return prediction if self.slices is None else prediction.narrow(2 + axis, 0, self.slices)


class SubPixelUNet(nn.Module):
    """A U-Net on an LR stack that predicts on the HR grid.

    The encoder strides as told; the decoder doubles what was halved with transposed convolutions of kernel 4, joins the
    encoder's features, and convolves with the kernel of the stage it comes from. Then, along the slices, a transposed
    convolution of kernel 2K and stride K, and a 3×3(×3) convolution to the output. All but the in-plane transposed
    convolutions and the last layer are followed by normalisation and a leaky ReLU.

    There is no deep supervision: the scales below the output are LR ones.

    Args:
        input_channels: of the LR stack.
        num_classes: channels of the output: logits in segmentation, the image's channels in super-resolution.
        factor: K, HR slices in an LR slice; `output` chooses another for the next calls.
        axis: the through-plane axis among the spatial ones.
        features_per_stage: channels of each stage, as many as stages; the first is also the width in HR space.
        kernel_sizes: of each stage's convolutions, odd, one number per axis; their count says 2D or 3D.
        strides: of each stage's first convolution, 1 or 2 per axis; the first stage's are 1.
        n_conv_per_stage: convolutions in each stage of the encoder.
        n_conv_per_stage_decoder: convolutions in each stage of the decoder.
        norm: "instance", "batch" or "none".
        residual: add the linearly interpolated stack, so that the network corrects it and starts from it; the output
            then has the input's channels. An intensity level that normalisation has lost comes back so.
        deep_supervision: only None; nnU-Net's own trainers, which would show the network HR patches, give a value.

    Raises:
        ValueError: if the arguments do not fit each other.
    """

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        *,
        factor: int,
        axis: int,
        features_per_stage: Sequence[int],
        kernel_sizes: Sequence[Sequence[int]],
        strides: Sequence[Sequence[int]],
        n_conv_per_stage: int = 2,
        n_conv_per_stage_decoder: int = 1,
        norm: str = "instance",
        residual: bool = False,
        deep_supervision: bool | None = None,
    ):
        super().__init__()
        _check(features_per_stage, kernel_sizes, strides, factor=factor, axis=axis, norm=norm)
        if deep_supervision is not None:
            raise ValueError(
                "SubPixelUNet takes stacks of thick slices, and nnU-Net's own trainers do not make any: use -tr "
                "SubPixelSegTrainer, ACNNSubPixelSegTrainer, SRTrainer or ACNNSRTrainer."
            )
        if residual and input_channels != num_classes:
            raise ValueError(f"A residual needs as many channels out ({num_classes}) as in ({input_channels}).")
        self.factor, self.axis, self.residual = factor, axis, residual
        self.output = HROutput(factor)
        self.strides = tuple(tuple(stride) for stride in strides)

        dimensions, width = len(strides[0]), features_per_stage[0]
        ones = (1,) * dimensions
        channels = [input_channels, *features_per_stage]
        self.encoder, self.decoder, self.in_plane_upsampling = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for i, stride in enumerate(strides):
            self.encoder.append(
                _convolutions(channels[i], channels[i + 1], kernel_sizes[i], stride, n_conv_per_stage, norm)
            )
        for i in range(len(strides) - 1, 0, -1):
            deep, shallow = features_per_stage[i], features_per_stage[i - 1]
            self.in_plane_upsampling.append(_doubling(deep, shallow, strides[i]))
            self.decoder.append(
                _convolutions(2 * shallow, shallow, kernel_sizes[i], ones, n_conv_per_stage_decoder, norm)
            )
        self.through_plane_upsampling = ThroughPlaneUpsampling(width, factor, axis=axis, dimensions=dimensions)
        self.to_hr = nn.Sequential(*_norm_and_relu(width, dimensions, norm))
        self.head = _CONV[dimensions](width, num_classes, kernel_size=3, padding=1)
        self._initialise()

    def forward(self, stack: Tensor) -> Tensor:
        """Return the prediction on the HR grid.

        Args:
            stack: (B, C, Z, Y, X) or (B, C, Y, X), the LR image.

        Returns:
            (B, num_classes, …), K times as long along the axis.

        Raises:
            ValueError: if the strides do not divide the stack's size.
        """
        self._check_size(stack.shape[2:])
        features = self.through_plane_upsampling(self._lr_features(stack), self.output.factor)
        prediction = self.head(self.to_hr(features))
        if self.residual:
            prediction = prediction + interpolate_slices(stack, self.output.factor, axis=self.axis)
        return self.output.cut(prediction, axis=self.axis)

    def compute_conv_feature_map_size(self, input_size: Sequence[int]) -> int:
        """Return how many values all convolutions put out for one LR stack of this size: what the host budgets with."""
        voxels, total = math.prod(input_size), 0
        voxels_per_stage = []
        for stage, stride in zip(self.encoder, self.strides, strict=True):
            voxels //= math.prod(stride)
            voxels_per_stage.append(voxels)
            total += _channels_put_out(stage) * voxels
        for upsampling, stage, voxels in zip(
            self.in_plane_upsampling, self.decoder, voxels_per_stage[-2::-1], strict=True
        ):
            total += (_channels_put_out(upsampling) + _channels_put_out(stage)) * voxels
        hr_channels = _channels_put_out(self.through_plane_upsampling) + self.head.out_channels
        return total + hr_channels * voxels * self.factor

    def _lr_features(self, stack: Tensor) -> Tensor:
        skips = []
        for stage in self.encoder:
            stack = stage(stack)
            skips.append(stack)
        features = skips.pop()
        for upsampling, stage in zip(self.in_plane_upsampling, self.decoder, strict=True):
            features = stage(torch.cat([upsampling(features), skips.pop()], 1))
        return features

    def _check_size(self, size: Sequence[int]) -> None:
        divisors = [math.prod(along) for along in zip(*self.strides, strict=True)]
        if any(n % divisor for n, divisor in zip(size, divisors, strict=True)):
            raise ValueError(f"A stack of size {tuple(size)} has to be padded to a multiple of {tuple(divisors)}.")

    def _initialise(self) -> None:
        """He's initialisation as in nnU-Net, but for the through-plane upsampling, which has its own."""
        for name, module in self.named_modules():
            if isinstance(module, _LAYERS) and not name.startswith("through_plane_upsampling"):
                nn.init.kaiming_normal_(module.weight, a=_SLOPE)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.residual:
            nn.init.zeros_(self.head.weight)


def _convolutions(
    in_channels: int, out_channels: int, kernel: Sequence[int], stride: Sequence[int], count: int, norm: str
) -> nn.Sequential:
    dimensions = len(stride)
    padding = tuple(k // 2 for k in kernel)
    layers: list[nn.Module] = []
    for i in range(count):
        layers += [
            _CONV[dimensions](
                in_channels if i == 0 else out_channels,
                out_channels,
                kernel_size=tuple(kernel),
                stride=tuple(stride) if i == 0 else 1,
                padding=padding,
                bias=norm == "none",  # a normalisation takes a bias away and brings its own
            ),
            *_norm_and_relu(out_channels, dimensions, norm),
        ]
    return nn.Sequential(*layers)


def _doubling(in_channels: int, out_channels: int, stride: Sequence[int]) -> nn.Module:
    """Return the transposed convolution with kernel 4 where the stride is 2, and 1 where it is 1 (Fig. 2)."""
    kernel, padding = zip(*((4, 1) if s == 2 else (1, 0) for s in stride), strict=True)
    return _TRANSPOSED[len(stride)](
        in_channels, out_channels, kernel_size=kernel, stride=tuple(stride), padding=padding
    )


def _norm_and_relu(channels: int, dimensions: int, norm: str) -> list[nn.Module]:
    relu = nn.LeakyReLU(_SLOPE, inplace=True)
    return [relu] if norm == "none" else [_NORM[norm][dimensions](channels, affine=True), relu]


def _channels_put_out(module: nn.Module) -> int:
    return sum(layer.out_channels for layer in module.modules() if isinstance(layer, _LAYERS))


def _check(
    features: Sequence[int],
    kernels: Sequence[Sequence[int]],
    strides: Sequence[Sequence[int]],
    *,
    factor: int,
    axis: int,
    norm: str,
) -> None:
    dimensions = len(strides[0])
    if dimensions not in _CONV or any(len(entry) != dimensions for entry in (*kernels, *strides)):
        raise ValueError(f"Kernels and strides need 2 or 3 numbers each, got {kernels} and {strides}.")
    if not len(features) == len(kernels) == len(strides):
        raise ValueError(
            f"{len(features)} features, {len(kernels)} kernels and {len(strides)} strides: not one a stage."
        )
    if any(s != 1 for s in strides[0]) or any(s not in (1, 2) for stride in strides for s in stride):
        raise ValueError(f"Strides are 1 in the first stage and 1 or 2 in the others, not {strides}.")
    if any(k % 2 == 0 for kernel in kernels for k in kernel):
        raise ValueError(f"Kernels have to be odd, not {kernels}.")
    if factor < 2 or not 0 <= axis < dimensions:
        raise ValueError(f"The factor is 2 or more and the axis below {dimensions}, not {factor} and {axis}.")
    if norm not in NORMS:
        raise ValueError(f"There is no normalisation {norm!r}; there are {', '.join(NORMS)}.")
