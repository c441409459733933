"""Additions to nnU-Net's augmentation: hidden parts, smooth deformations, labels that mirror each other."""

from collections.abc import Mapping
from typing import Any

import torch
from batchgeneratorsv2.transforms.base.basic_transform import ImageOnlyTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from torch import Tensor

_THICKNESS = (0.08, 0.25)
_LOST_SLICES = 0.25
# Width of the Gaussian that smooths a deformation, in edges of the patch.
_ELASTIC_SCALE = (0.06, 0.2)


class HidePartsTransform(ImageOnlyTransform):
    """Hides a slab across a random axis, of 8 to 25 % of the patch, or a quarter of the slices, in some images.

    What is hidden gets the lowest value of the patch or its mean, by a coin. It lies as an image with a part missing
    does after z-scoring, where images are z-scored: missing parts shift the rest.

    Args:
        probability: of an image to lose a part.
        z_scored: of each channel that is an image, whether it is normalised by its own mean and standard deviation;
            channels behind these stay.
    """

    def __init__(self, probability: float, *, z_scored: tuple[bool, ...]):
        super().__init__()
        self.probability, self.z_scored = probability, z_scored

    def get_parameters(self, **data_dict: Any) -> dict:
        """Draw which voxels of the image (C, …) are hidden: a mask (…), or None for none."""
        if float(torch.rand(())) >= self.probability:
            return {"hidden": None, "dark": False}
        size = data_dict["image"].shape[1:]
        hidden = torch.zeros(size, dtype=torch.bool)
        if float(torch.rand(())) < 0.5:
            axis = int(torch.randint(len(size), ()))
            share = _THICKNESS[0] + (_THICKNESS[1] - _THICKNESS[0]) * float(torch.rand(()))
            thickness = max(1, round(share * size[axis]))
            hidden.narrow(axis, int(torch.randint(size[axis] - thickness + 1, ())), thickness).fill_(True)
        else:
            hidden[torch.rand(size[0]) < _LOST_SLICES] = True
        return {"hidden": hidden, "dark": float(torch.rand(())) < 0.5}

    def _apply_to_image(self, img: Tensor, *, hidden: Tensor | None, dark: bool) -> Tensor:
        if hidden is None:
            return img
        img = img.clone()
        for channel, z_scored in zip(img, self.z_scored, strict=False):
            channel[hidden] = channel.min() if dark else channel.mean()
            if z_scored:
                channel.sub_(channel.mean()).div_(channel.std().clamp_min(1e-8))
        return img


class SwapMirroredLabels(MirrorTransform):
    """Mirrors as the host does; labels change places in samples that are mirrored along one of the axes.

    It comes before the host makes regions, one-hot maps and smaller targets, so that all of these follow.

    Args:
        allowed_axes: mirrored axes of the patch.
        axis: the one of them along which labels change places.
        swaps: value to the value that it becomes. Other values stay, the ignore label and padding (-1) too.
    """

    def __init__(self, allowed_axes: tuple[int, ...], *, axis: int, swaps: Mapping[int, int]):
        super().__init__(allowed_axes)
        self.axis, self.swaps = axis, dict(swaps)

    def _apply_to_segmentation(self, segmentation: Tensor, **params: Any) -> Tensor:
        mirrored = super()._apply_to_segmentation(segmentation, **params)
        if self.axis not in params["axes"]:
            return mirrored
        swapped = mirrored.clone()
        for value, other in self.swaps.items():
            swapped[mirrored == value] = other
        return swapped


def swap_mirrored_labels(transforms: ComposeTransforms, *, axis: int, swaps: Mapping[int, int]) -> None:
    """Make the host's augmentation swap labels wherever it mirrors along an axis."""
    ((place, mirror),) = (
        (place, each) for place, each in enumerate(transforms.transforms) if isinstance(each, MirrorTransform)
    )
    transforms.transforms[place] = SwapMirroredLabels(mirror.allowed_axes, axis=axis, swaps=swaps)


def deform_every_sample(transforms: ComposeTransforms, *, largest_voxels: float) -> None:
    """Make the host's augmentation deform every sample smoothly, by displacements of up to the given length."""
    (spatial,) = (each for each in transforms.transforms if isinstance(each, SpatialTransform))
    spatial.p_elastic_deform = 1.0
    spatial.elastic_deform_scale = _ELASTIC_SCALE
    spatial.elastic_deform_magnitude = (0.0, largest_voxels)
