"""A second stage that corrects segmentations: the convolutional autoencoder of AE-Seg (paper §III-C, Table I, [37]).

It takes a label map and gives one, by way of coarse feature maps alone: there are no skip connections, and no code.
"""

import bisect
from collections.abc import Sequence

from torch import Tensor, nn

from acnn_nnunet.shape_prior.networks.autoencoder import convolution, crop, normalised, transposed_convolution

# Table I: AE-Seg and AE-Seg-M, less the 1.60 million parameters of the network before them.
SMALL_PARAMETERS, LARGE_PARAMETERS = 80_000, 310_000
_HALVINGS = 3
_SHORTEST = 4  # of an axis that is still halved
_WIDEST = 512


class SegmentationAutoencoder(nn.Module):
    """Label maps to label logits: strided convolutions down, transposed ones up. Fully convolutional, of any size.

    Args:
        num_classes: C, channels in and out: classes with background, or regions.
        strides: per scale, one stride per axis.
        features: channels of the first scale; every further one has twice as many.
    """

    def __init__(self, num_classes: int, *, strides: Sequence[Sequence[int]], features: int):
        super().__init__()
        dimensions, ones = len(strides[0]), (1,) * len(strides[0])
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        widths = [features * 2**scale for scale in range(len(strides))]
        channels = num_classes
        for width, stride in zip(widths, strides, strict=True):
            self.down.append(
                nn.Sequential(
                    normalised(convolution(channels, width, tuple(stride)), width, dimensions),
                    normalised(convolution(width, width, ones), width, dimensions),
                )
            )
            channels = width
        for width, stride in zip([*widths[-2::-1], features], reversed(strides), strict=True):
            self.up.append(normalised(transposed_convolution(channels, width, tuple(stride)), width, dimensions))
            channels = width
        self.to_labels = convolution(channels, num_classes, ones)

    def forward(self, maps: Tensor) -> Tensor:
        """Return label logits (B, C, …) of label maps (B, C, …) in 0…1."""
        sizes, features = [], maps
        for scale in self.down:
            sizes.append(tuple(features.shape[2:]))
            features = scale(features)
        for scale, size in zip(self.up, reversed(sizes), strict=True):
            features = crop(scale(features), size)
        return self.to_labels(features)


def plan_segmentation_autoencoder(
    num_classes: int, *, patch_size: Sequence[int], num_parameters: int
) -> SegmentationAutoencoder:
    """Return the widest autoencoder of a patch that has no more than the given number of parameters.

    Every axis is halved three times, less often where it would become shorter than 4.
    """
    size, strides = list(patch_size), []
    for _ in range(_HALVINGS):
        strides.append(tuple(2 if n >= 2 * _SHORTEST else 1 for n in size))
        size = [n // s for n, s in zip(size, strides[-1], strict=True)]

    def count(features: int) -> int:
        return sum(
            p.numel() for p in SegmentationAutoencoder(num_classes, strides=strides, features=features).parameters()
        )

    features = bisect.bisect_right(range(_WIDEST), num_parameters, lo=1, key=count) - 1
    return SegmentationAutoencoder(num_classes, strides=strides, features=max(features, 1))
