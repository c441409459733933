"""Additions to nnU-Net's augmentation: hidden parts, smooth deformations, labels that mirror each other."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
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


class OwnDraws:
    """Gives each loader process random numbers of its own, as the first of the transforms.

    batchgenerators seeds NumPy in its forked processes, but not torch: all of them would go on with the numbers of the
    process that began them, and hide, deform and mirror alike. Where that process loads its own batches, nothing
    changes.
    """

    def __init__(self) -> None:
        self._process = os.getpid()

    def __call__(self, **sample: Any) -> dict[str, Any]:
        """Return the sample as it is."""
        if os.getpid() != self._process:
            self._process = os.getpid()
            torch.manual_seed(int(np.random.randint(2**32)))
        return sample


class HidePartsTransform(ImageOnlyTransform):
    """Hides a slab across a random axis, of 8 to 25 % of the patch, or a quarter of the slices, in some images.

    What is hidden gets the lowest value of the patch or its mean, by a coin. Where images are z-scored, a missing part
    shifts the rest: mean and standard deviation of the patch are brought back to what they were before.

    Args:
        probability: of an image to lose a part.
        z_scored: of each channel that is an image, whether it is normalised by its own mean and standard deviation;
            channels behind these stay.
        masked: of each of these, whether the host normalised it inside of a mask alone, and left 0 outside.
    """

    def __init__(self, probability: float, *, z_scored: Sequence[bool], masked: Sequence[bool]):
        super().__init__()
        self.probability, self.channels = probability, tuple(zip(z_scored, masked, strict=True))

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
        for channel, (z_scored, masked) in zip(img, self.channels, strict=False):
            inside = channel != 0 if masked else torch.ones_like(hidden)
            whole = channel[inside]
            if not len(whole):
                continue
            left = torch.where(hidden[inside], whole.min() if dark else whole.mean(), whole)
            if z_scored:
                left = (left - left.mean()) / left.std().clamp_min(1e-8) * whole.std() + whole.mean()
            channel[inside] = left
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
