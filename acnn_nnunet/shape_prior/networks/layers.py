"""Building blocks of the prior's networks, in 2D and 3D."""

from collections.abc import Sequence

from torch import Tensor, nn

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
