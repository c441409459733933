"""Augmentation of batches that mix pairs with cases to simulate from: a real slice stays the slice that it is.

A pair is turned and scaled in the plane of its slices alone, image, stack and labels alike. Mirroring is the host's.
Intensities change in the stack alone, and only where labels are the target: an image as target must stay what the
stack shows.
"""

from typing import Any

import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform, ImageOnlyTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform

from acnn_nnunet.sr.training.in_plane import InPlane, in_plane


class MixedTransforms(BasicTransform):
    """Treats a case (C channels) as the host does, and a pair (2C channels) by its own transforms.

    Both come out with 2C channels: the image's, and the stack's on the HR grid, zeros for a case.

    Args:
        simulated: the host's transforms.
        pairs: of pairs.
        num_channels: C.
    """

    def __init__(self, simulated: BasicTransform, pairs: BasicTransform, *, num_channels: int):
        super().__init__()
        self.simulated, self.pairs, self.num_channels = simulated, pairs, num_channels

    def __call__(self, **sample: Any) -> dict[str, Any]:
        """Return the transformed sample (`image`, `segmentation`)."""
        if sample["image"].shape[0] == 2 * self.num_channels:
            return self.pairs(**sample)
        result = self.simulated(**sample)
        result["image"] = torch.cat([result["image"], torch.zeros_like(result["image"])])
        return result


class OnStack(BasicTransform):
    """Transforms of intensities, on the second half of the channels: the stack's.

    Args:
        transforms: of images.
    """

    def __init__(self, transforms: list[BasicTransform]):
        super().__init__()
        self.transforms = transforms

    def __call__(self, **sample: Any) -> dict[str, Any]:
        """Return the sample with another stack."""
        image, stack = sample["image"].chunk(2)
        for transform in self.transforms:
            stack = transform(image=stack)["image"]
        sample["image"] = torch.cat([image, stack])
        return sample


def mixed_transforms(
    host: ComposeTransforms,
    patch_size: tuple[int, ...],
    *,
    num_channels: int,
    factor: int,
    axis: int,
    change_intensities: bool,
) -> MixedTransforms:
    """Return the transforms of pairs and cases.

    Args:
        host: the host's; without a SpatialTransform they are the validation's, which touch labels alone.
        patch_size: of the network's target.
        num_channels: of an image.
        factor: K.
        axis: the through-plane axis of the patch.
        change_intensities: of a pair's stack.
    """
    upright = in_plane(host, patch_size, factor=factor, axis=axis)
    spatial = [each for each in upright if isinstance(each, InPlane)]
    intensities = [each for each in upright if _is_intensity(each)]
    others = [each for each in upright if each not in spatial and each not in intensities]
    on_stack = [OnStack(intensities)] if change_intensities else []
    return MixedTransforms(host, ComposeTransforms([*spatial, *on_stack, *others]), num_channels=num_channels)


def _is_intensity(transform: BasicTransform) -> bool:
    return isinstance(transform, RandomTransform) and isinstance(transform.transform, ImageOnlyTransform)
