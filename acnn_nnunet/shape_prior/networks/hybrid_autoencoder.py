"""An autoencoder of two branches: a linear one, which can start as PCA, and a convolutional one that adds to it.

code   = A · s(pool(y)) + f(y)        s: soft signed distances
logits = up(B · code) + g(code)

No layer uses batch statistics, and s has a gradient everywhere: whatever the maps, soft or far from any anatomy, so has
the code.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from acnn_nnunet.shape_prior.networks.architecture import EncoderPlan
from acnn_nnunet.shape_prior.networks.autoencoder import Decoder, Encoder, convolution, crop

# Voxels of the finest axis. Hearts of ACDC's fold 0, codes of 256 numbers, Dice of LV / MYO / RV in PCA's
# reconstructions where a linear layer reads the codes from label maps: .90/.71/.84; from soft distances of 2 voxels:
# .92/.77/.89; of 3: .92/.75/.89; with PCA's own codes, of exact distances: .93/.78/.90. (34 held-out cases: the choice
# has seen them.)
_SIGMA = 2.0
# Blurred probabilities are brought to 0.02…0.98: that bounds the distances (by 4.1 voxels) and their gradient.
_LEAST = 0.02
# Noisy maps go beyond 0…1; a little of that is let through, so that 0 and 1 themselves keep their gradient.
_BEYOND = 0.01
_INTERPOLATION = {2: "bilinear", 3: "trilinear"}
_AVERAGE = {2: F.avg_pool2d, 3: F.avg_pool3d}
_SUB_VOXELS = {2: "b (c i j) h w -> b c (h i) (w j)", 3: "b (c i j k) d h w -> b c (d i) (h j) (w k)"}
_CHANNELS_PER_GROUP = 8
# What the convolutional branch, and what the linear one has no start for, begin with, over PyTorch's initial weights.
SMALL = 0.1


class HybridEncoder(nn.Module):
    """Label maps to codes.

    The linear branch reads distances less their mean, times a gain: `start_linearly` sets both, so that one step of all
    of its weights together does not throw the code far off. A background channel, if there is one, gets no gain.

    Args:
        plan: of the convolutional branch.
        in_channels: C, the classes (background included) or regions of a label map.
        code_size: length of the code.
        pooling: voxels per axis that the linear branch averages.
        spacing_mm: of the grid's voxels.
    """

    centre: Tensor
    gain: Tensor

    def __init__(
        self,
        plan: EncoderPlan,
        *,
        in_channels: int,
        code_size: int,
        pooling: tuple[int, ...],
        spacing_mm: tuple[float, ...],
    ):
        super().__init__()
        self.pooling = pooling
        scales, channels, unstrided = [], in_channels, (1,) * len(plan.grid)
        for features, stride in zip(plan.features, plan.strides, strict=False):
            scales.append(nn.Sequential(_block(channels, features, stride), _block(features, features, unstrided)))
            channels = features
        self.scales = nn.ModuleList([*scales, convolution(channels, plan.bottleneck_channels, plan.strides[-1])])
        self.to_code = nn.Linear(math.prod(plan.bottleneck), code_size)
        pooled = pooled_size(plan.grid, pooling)
        self.register_buffer("centre", torch.zeros(in_channels, math.prod(pooled)))
        self.register_buffer("gain", torch.ones(in_channels))
        self.distance = SoftDistance(
            pooled,
            spacing_mm=tuple(spacing * factor for spacing, factor in zip(spacing_mm, pooling, strict=True)),
            finest=min(spacing_mm),
        )
        self.linear = nn.Linear(in_channels * math.prod(pooled), code_size)
        with torch.no_grad():
            self.to_code.weight.mul_(SMALL)
            self.to_code.bias.zero_()

    def forward(self, labels: Tensor) -> Tensor:
        """Return codes (B, code_size) of probabilities or one-hot maps (B, C, …) in 0…1."""
        features = labels
        for scale in self.scales:
            features = scale(features)
        distances = (self.distance(pool(labels, self.pooling)).flatten(2) - self.centre) * self.gain[:, None]
        return self.to_code(features.flatten(1)) + self.linear(distances.flatten(1))


class HybridDecoder(nn.Module):
    """Codes to label logits.

    Args:
        plan: the encoder's plan.
        out_channels: C, the classes or regions.
        code_size: length of the code.
        pooling: voxels per axis that one of the linear branch's stands for.
    """

    foreground: Tensor

    def __init__(self, plan: EncoderPlan, *, out_channels: int, code_size: int, pooling: tuple[int, ...]):
        super().__init__()
        self.bottleneck, self.grid, self.pooling = plan.bottleneck, plan.grid, pooling
        self.coarse = (out_channels, *pooled_size(plan.grid, pooling))
        self.register_buffer("foreground", torch.ones(out_channels))
        self.from_code = nn.Linear(code_size, math.prod(plan.bottleneck))
        self.linear = nn.Linear(code_size, math.prod(self.coarse))
        unstrided = (1,) * len(plan.grid)
        widths = [*reversed(plan.features), out_channels]
        self.sizes = plan.sizes[-3::-1]
        self.first = _block(plan.bottleneck_channels, widths[0], unstrided)
        self.upsampling, self.refinement = nn.ModuleList(), nn.ModuleList()
        for coarse, fine, stride in zip(widths[:-1], widths[1:], plan.strides[-2::-1], strict=True):
            last = _SubVoxelConvolution(coarse, fine, stride)
            self.upsampling.append(last)
            self.refinement.append(nn.Sequential(_norm(fine), nn.ReLU(inplace=True), _block(fine, fine, unstrided)))
        self.refinement[-1] = nn.Identity()
        last.start_small()

    def forward(self, code: Tensor) -> Tensor:
        """Return logits (B, C, …) on the plan's grid for codes (B, code_size)."""
        features = self.first(self.from_code(code).unflatten(1, self.bottleneck))
        for upsample, refine, size in zip(self.upsampling, self.refinement, self.sizes, strict=True):
            features = refine(crop(upsample(features), size))
        coarse = _times(self.linear(code).unflatten(1, self.coarse), self.foreground)
        factors = tuple(float(n) for n in self.pooling)
        linear = F.interpolate(coarse, scale_factor=factors, mode=_INTERPOLATION[len(self.grid)])
        return features + crop(linear, self.grid)


# What a T-L network may be made of.
AnyEncoder = Encoder | HybridEncoder
AnyDecoder = Decoder | HybridDecoder


def pooled_size(size: tuple[int, ...], pooling: tuple[int, ...]) -> tuple[int, ...]:
    """Return the size of what `pool` makes of maps."""
    return tuple(math.ceil(n / factor) for n, factor in zip(size, pooling, strict=True))


def pool(maps: Tensor, pooling: tuple[int, ...]) -> Tensor:
    """Return the averages (B, C, …) of blocks of voxels; beyond the far end of an axis the last voxel goes on."""
    missing = [-n % factor for n, factor in zip(maps.shape[2:], pooling, strict=True)]
    if any(missing):
        # F.pad begins with the last axis.
        maps = F.pad(maps, [n for amount in reversed(missing) for n in (0, amount)], mode="replicate")
    return _AVERAGE[len(pooling)](maps, pooling)


def _times(maps: Tensor, factors: Tensor) -> Tensor:
    """Return maps (B, C, …) times one factor a channel (C,)."""
    return maps * factors.view(-1, *[1] * (maps.ndim - 2))


class _SubVoxelConvolution(nn.Module):
    """A convolution whose channels are dealt out to the voxels of a grid `stride` times finer."""

    def __init__(self, in_channels: int, out_channels: int, stride: tuple[int, ...]):
        super().__init__()
        self.factors = dict(zip("ijk", stride, strict=False))
        self.convolution = convolution(in_channels, out_channels * math.prod(stride), (1,) * len(stride))

    @torch.no_grad()
    def start_small(self) -> None:
        """Scale the initial weights down and leave out the bias, so that the linear branch rules at first."""
        for parameter, factor in zip(self.convolution.parameters(), (SMALL, 0), strict=True):
            parameter.mul_(factor)

    def forward(self, features: Tensor) -> Tensor:
        """Return maps (B, C', …), `stride` times as large, of features (B, C, …)."""
        return rearrange(self.convolution(features), _SUB_VOXELS[len(self.factors)], **self.factors)


def _block(in_channels: int, out_channels: int, stride: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(convolution(in_channels, out_channels, stride), _norm(out_channels), nn.ReLU(inplace=True))


def _norm(channels: int) -> nn.GroupNorm:
    # Statistics of the sample alone; as many groups of 8 channels as divide them.
    return nn.GroupNorm(math.gcd(channels, max(1, channels // _CHANNELS_PER_GROUP)), channels)


class SoftDistance(nn.Module):
    """Signed distance to the boundary, in voxels of the finest axis, positive inside: σ·Φ⁻¹(Gaussian blur of the map).

    A half-space blurred by a Gaussian of width σ is Φ(d/σ) at distance d of its boundary, so that flat boundaries get
    their distance: nearly, for bounding it at 2.05σ shortens long ones. It is smooth and has a gradient everywhere.
    Beyond the maps lies nothing.

    Args:
        size: of the maps in voxels.
        spacing_mm: of their voxels.
        finest: voxel length in mm that is 1.
    """

    def __init__(self, size: tuple[int, ...], *, spacing_mm: tuple[float, ...], finest: float):
        super().__init__()
        for axis, (length, spacing) in enumerate(zip(size, spacing_mm, strict=True)):
            blur = _gaussian_matrix(length, sigma=_SIGMA * finest / spacing)
            self.register_buffer(f"blur_{axis}", blur, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return distances (B, C, …) of probabilities (B, C, …), in float32 or, where they are so, float64."""
        with torch.autocast(maps.device.type, enabled=False):
            blurred = maps.to(torch.promote_types(maps.dtype, torch.float32))
            for axis in range(maps.ndim - 2):
                blur = self.get_buffer(f"blur_{axis}").to(blurred.dtype)
                blurred = (blurred.movedim(2 + axis, -1) @ blur).movedim(-1, 2 + axis)
            centred = (1 - 2 * _LEAST) * (2 * blurred.clamp(-_BEYOND, 1 + _BEYOND) - 1)
            # Φ⁻¹(p) = √2·erf⁻¹(2p − 1); every device has the latter.
            return _SIGMA * math.sqrt(2) * torch.erfinv(centred)


def _gaussian_matrix(length: int, *, sigma: float) -> Tensor:
    """Return (length, length), symmetric: the share of each voxel in every other, of a Gaussian over its extent."""
    distance = (torch.arange(length)[:, None] - torch.arange(length)).double()
    ends = (distance[..., None] + torch.tensor([-0.5, 0.5], dtype=torch.float64)) / (sigma * math.sqrt(2))
    return (torch.erf(ends).diff(dim=-1).squeeze(-1) / 2).float()
