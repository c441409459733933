"""Augmentation of batches that mix pairs with cases to simulate from: a real slice stays the slice that it is.

A pair is turned and scaled in the plane of its slices alone, image, stack and labels alike. Mirroring is the host's.
Intensities change in the stack alone, and only where labels are the target: an image as target must stay what the
stack shows.
"""

import copy
from typing import Any

import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform, ImageOnlyTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from torch import Tensor


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


class InPlane(BasicTransform):
    """The host's rotation and scaling in the plane of the slices; cuts the patch out of a larger one between slices.

    Args:
        spatial: the host's transform.
        patch_size: of what comes out.
        factor: K.
        axis: the through-plane axis among the spatial ones.
    """

    def __init__(self, spatial: SpatialTransform, patch_size: tuple[int, ...], *, factor: int, axis: int):
        super().__init__()
        self.patch_size, self.factor, self.axis = patch_size, factor, axis
        self.spatial = copy.deepcopy(spatial)
        self.spatial.patch_size = tuple(n for i, n in enumerate(patch_size) if i != axis)
        self.spatial.patch_center_dist_from_border = [0, 0]
        self.spatial._grid_cache = {}

    def __call__(self, **sample: Any) -> dict[str, Any]:
        """Return the sample with a patch of the wanted size."""
        image, labels = self._upright(sample["image"]), self._upright(sample["segmentation"])
        moved = self.spatial(image=image.flatten(0, 1), segmentation=labels.flatten(0, 1))
        for name, like in (("image", image), ("segmentation", labels)):
            sample[name] = moved[name].unflatten(0, like.shape[:2]).movedim(1, 1 + self.axis)
        return sample

    def _upright(self, values: Tensor) -> Tensor:
        """Return (C, K·slices, …) of the patch's length, cut at a multiple of K."""
        length, wanted = values.shape[1 + self.axis], self.patch_size[self.axis]
        start = (length - wanted) // 2 // self.factor * self.factor
        return values.narrow(1 + self.axis, start, wanted).movedim(1 + self.axis, 1).contiguous()


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
    ours = (SpatialTransform, Convert2DTo3DTransform, Convert3DTo2DTransform)
    spatial = [each for each in host.transforms if isinstance(each, SpatialTransform)]
    intensities = [each for each in host.transforms if _is_intensity(each)]
    others = [each for each in host.transforms if each not in intensities and not isinstance(each, ours)]
    pairs: list[BasicTransform] = [InPlane(each, patch_size, factor=factor, axis=axis) for each in spatial]
    if change_intensities:
        pairs.append(OnStack(intensities))
    return MixedTransforms(host, ComposeTransforms([*pairs, *others]), num_channels=num_channels)


def _is_intensity(transform: BasicTransform) -> bool:
    return isinstance(transform, RandomTransform) and isinstance(transform.transform, ImageOnlyTransform)
