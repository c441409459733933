"""Additions to nnU-Net's augmentation: images with hidden parts, and smooth deformations."""

from typing import Any

import torch
from batchgeneratorsv2.transforms.base.basic_transform import ImageOnlyTransform
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


def deform_every_sample(transforms: ComposeTransforms, *, largest_voxels: float) -> None:
    """Make the host's augmentation deform every sample smoothly, by displacements of up to the given length."""
    (spatial,) = (each for each in transforms.transforms if isinstance(each, SpatialTransform))
    spatial.p_elastic_deform = 1.0
    spatial.elastic_deform_scale = _ELASTIC_SCALE
    spatial.elastic_deform_magnitude = (0.0, largest_voxels)
