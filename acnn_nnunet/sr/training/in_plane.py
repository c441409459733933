"""Augmentation that leaves slices what they are: rotation and scaling in their plane alone."""

import copy
from typing import Any

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from torch import Tensor


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


def in_plane(host: ComposeTransforms, patch_size: tuple[int, ...], *, factor: int, axis: int) -> list[BasicTransform]:
    """Return the host's transforms, with those in space turned into ones in the plane of the slices.

    Args:
        host: the host's, its own of the plane of the first axis too; without a SpatialTransform they stay as they are.
        patch_size: of the network's target.
        factor: K.
        axis: the through-plane axis of the patch.
    """
    return [
        InPlane(each, patch_size, factor=factor, axis=axis) if isinstance(each, SpatialTransform) else each
        for each in host.transforms
        if not isinstance(each, Convert2DTo3DTransform | Convert3DTo2DTransform)
    ]
