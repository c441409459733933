"""Label maps with errors as segmentation networks make them, for a second stage to correct in training."""

import torch
import torch.nn.functional as F
from torch import Tensor

from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

COARSENESS = 4
"""Voxels of the map to one of the noise's own grid."""


def draw_errors(
    maps: Tensor, labels: LabelSpace, *, strength: float, coarseness: int = COARSENESS, smoothing: int = 3
) -> Tensor:
    """Return hard maps (B, C, …) of label maps, wrong in patches: boundaries that wander, holes, islands.

    Smoothed maps and smooth noise of the given standard deviation are added up and the largest channel taken (of
    regions, each above 0.5). Each sample draws its own strength between 0 and the given one.

    Args:
        maps: (B, C, …) in 0…1.
        labels: meaning of the channels.
        strength: 0 or more; around 0.5 the noise makes islands.
        coarseness: voxels of the map to one of the noise's own grid: long errors of boundaries, or short ones.
        smoothing: voxels per axis that the maps are averaged over, odd; thin parts go.
    """
    dimensions = maps.ndim - 2
    shape = (*maps.shape[:2], *(max(2, -(-n // coarseness)) for n in maps.shape[2:]))
    noise = torch.randn(shape, device=maps.device, dtype=maps.dtype)
    mode = {2: "bilinear", 3: "trilinear"}[dimensions]
    noise = F.interpolate(noise, size=maps.shape[2:], mode=mode, align_corners=True)
    scale = strength * torch.rand((len(maps), *(1,) * (maps.ndim - 1)), device=maps.device, dtype=maps.dtype)
    pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[dimensions]
    smoothed = maps
    for axis in range(dimensions):  # one after the other is the same, and faster
        size = [smoothing if each == axis else 1 for each in range(dimensions)]
        smoothed = pool(smoothed, size, stride=1, padding=[n // 2 for n in size], count_include_pad=False)
    return labels.hardened(smoothed + scale * noise)
