"""Layer sizes of the autoencoder and the predictor: Tables IV and V of the paper, and the same idea on other grids."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

CODE_SIZE = 64
_BOTTLENECK_SIZE = 5
_FIRST_FEATURES = 16
_MAX_FEATURES = 128
_MAX_HYBRID_BOTTLENECK, _MIN_HYBRID_CHANNELS = 1500, 8
_MAX_POOLED_VALUES = 2**17
_PAPER_GRID, _PAPER_CLASSES = (60, 120, 120), 3


@dataclass(frozen=True)
class EncoderPlan:
    """How one encoder shrinks a grid.

    Attributes:
        grid: spatial size of the input in voxels, e.g. (Z, Y, X).
        strides: per scale, one stride per axis; the last scale leads to the bottleneck.
        features: channels of every scale but the last.
        bottleneck_channels: channels of the last convolution, in front of the fully connected layer.
        rectified_bottleneck: whether a ReLU follows that convolution, as in the tables. Elsewhere none does: where a
            prediction is far from any anatomy such a ReLU can be dead everywhere, and the gradient exactly zero.
    """

    grid: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    features: tuple[int, ...]
    bottleneck_channels: int
    rectified_bottleneck: bool

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """Spatial size at the input and after each scale, `len(strides) + 1` entries."""
        return grid_sizes(self.grid, self.strides)

    @property
    def bottleneck(self) -> tuple[int, ...]:
        """Shape (C, …) of what the fully connected layer flattens."""
        return (self.bottleneck_channels, *self.sizes[-1])


def plan_autoencoder(grid: tuple[int, ...], *, num_classes: int, code_size: int = CODE_SIZE) -> EncoderPlan:
    """Plan the autoencoder of a grid: Table V at 120×120×60 with 3 classes, elsewhere a bottleneck near 5 per axis.

    Strides are 2 (3 at the last scale) as in the table; short axes start to shrink later. The bottleneck gets as many
    channels as make it at least twice as large as the code (Table V itself has 125 features for 64).

    Raises:
        ValueError: if `grid` is not 2D or 3D.
    """
    if len(grid) not in (2, 3):
        raise ValueError(f"A shape prior needs a 2D or 3D grid, got {grid}.")
    halvings, thirds = zip(*(_factors_towards_bottleneck(size) for size in grid), strict=True)
    scales = max(1, *halvings)
    strides = [tuple(2 if scale >= scales - n else 1 for n in halvings) for scale in range(scales)]
    strides.append(tuple(3 if third else 1 for third in thirds))
    features = tuple(min(_FIRST_FEATURES * 2**scale, _MAX_FEATURES) for scale in range(scales))
    as_printed = tuple(sorted(grid)) == _PAPER_GRID and num_classes == _PAPER_CLASSES
    return EncoderPlan(
        grid=tuple(grid),
        strides=tuple(strides),
        features=features,
        bottleneck_channels=1 if as_printed else _channels_for_code(grid_sizes(grid, strides)[-1], code_size),
        rectified_bottleneck=as_printed,
    )


def plan_hybrid_autoencoder(
    grid: tuple[int, ...], *, spacing_mm: tuple[float, ...], code_size: int = CODE_SIZE
) -> EncoderPlan:
    """Plan the convolutional branch of a hybrid: halved to 1500 voxels at most, thick slices later than what is fine.

    Raises:
        ValueError: if `grid` is not 2D or 3D.
    """
    if len(grid) not in (2, 3):
        raise ValueError(f"A shape prior needs a 2D or 3D grid, got {grid}.")
    strides = _halvings(grid, spacing_mm, most_voxels=_MAX_HYBRID_BOTTLENECK)
    size = grid_sizes(grid, strides)[-1]
    return EncoderPlan(
        grid=tuple(grid),
        strides=(*strides, (1,) * len(grid)),
        features=tuple(min(_FIRST_FEATURES * 2**scale, _MAX_FEATURES) for scale in range(len(strides))),
        bottleneck_channels=max(_MIN_HYBRID_CHANNELS, _channels_for_code(size, code_size)),
        rectified_bottleneck=False,
    )


def plan_pooling(grid: tuple[int, ...], *, spacing_mm: tuple[float, ...], channels: int) -> tuple[int, ...]:
    """Return how many voxels per axis the linear branch of a hybrid averages.

    They are 2, and 1 along thick slices. Where that leaves more than 131072 values of `channels` maps they grow, for
    the sake of the memory that a fully connected layer takes.
    """
    strides = _halvings(grid, spacing_mm, most_voxels=_MAX_POOLED_VALUES // channels)
    return tuple(math.prod(factors) for factors in zip(*strides, strict=True))


def plan_predictor(grid: tuple[int, ...], *, code_size: int = CODE_SIZE, halved: bool = False) -> EncoderPlan:
    """Plan the predictor: Table IV's four scales of 32 to 256 channels; an axis shorter than 8 voxels is not halved.

    Args:
        grid: of the image.
        code_size: length of the code.
        halved: whether the first scale halves the image too, which saves most of the computation.
    """
    strides: list[tuple[int, ...]] = [] if halved else [(1,) * len(grid)]
    while len(strides) < 4:
        size = grid_sizes(grid, strides)[-1]
        strides.append(tuple(2 if n >= 8 else 1 for n in size))
    return EncoderPlan(
        grid=tuple(grid),
        strides=tuple(strides),
        features=(32, 64, 128, 256),
        bottleneck_channels=_channels_for_code(grid_sizes(grid, strides)[-1], code_size),
        rectified_bottleneck=tuple(sorted(grid)) == _PAPER_GRID,
    )


def grid_sizes(grid: tuple[int, ...], strides: Iterable[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """Return the spatial size before and after each strided convolution (kernel 3, padding 1): ceil(n / stride)."""
    sizes = [tuple(grid)]
    for stride in strides:
        sizes.append(tuple(math.ceil(n / s) for n, s in zip(sizes[-1], stride, strict=True)))
    return tuple(sizes)


def _halvings(size: tuple[int, ...], spacing_mm: tuple[float, ...], *, most_voxels: int) -> tuple[tuple[int, ...], ...]:
    """Return strides of 2 that bring a size to `most_voxels`, at least one of them where an axis has 4 voxels or more.

    Each spares the axes whose voxels are already longer than √2 times the shortest.
    """
    strides: list[tuple[int, ...]] = []
    while not strides or math.prod(size) > most_voxels:
        divisible = [spacing for n, spacing in zip(size, spacing_mm, strict=True) if n >= 4]
        limit = math.sqrt(2) * min(divisible, default=0.0)
        stride = tuple(2 if n >= 4 and s < limit else 1 for n, s in zip(size, spacing_mm, strict=True))
        strides.append(stride)
        if max(stride) == 1:
            break
        size = grid_sizes(size, [stride])[-1]
        spacing_mm = tuple(spacing * s for spacing, s in zip(spacing_mm, stride, strict=True))
    return tuple(strides)


def _factors_towards_bottleneck(size: int) -> tuple[int, bool]:
    """Return (n, third) such that size / (2^n · 3^third) comes nearest to the paper's 5; at a tie, shrink less."""
    candidates = [(2**n * 3**third, n, bool(third)) for n in range(10) for third in range(2)]
    distance = {
        (n, third): (abs(math.log(math.ceil(size / factor) / _BOTTLENECK_SIZE)), factor)
        for factor, n, third in candidates
    }
    return min(distance, key=lambda key: distance[key])


def _channels_for_code(size: tuple[int, ...], code_size: int) -> int:
    return math.ceil(2 * code_size / math.prod(size))
