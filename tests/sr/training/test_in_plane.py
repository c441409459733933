"""Rotation and scaling in the plane of the slices: along them nothing moves."""

import math

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform

from acnn_nnunet.sr.training.in_plane import InPlane, in_plane

PATCH = (12, 16, 14)


def turning(patch=PATCH):
    """The host's transform in space, always turning and scaling."""
    return SpatialTransform(
        patch, 0, random_crop=False, p_rotation=1, rotation=(math.pi / 4, math.pi / 3), p_scaling=1, scaling=(1.1, 1.4)
    )


def sample(axis, patch=PATCH, *, larger=6):
    """An image that tells the slice that a voxel is of, and one that tells its row; labels of both."""
    size = [n + larger for n in patch]
    of_slice, of_row = (
        torch.arange(size[i]).float().view([-1 if j == i else 1 for j in range(3)]).expand(size)
        for i in (axis, (axis + 1) % 3)
    )
    image = torch.stack([of_slice + 1, of_row + 1])
    return {"image": image, "segmentation": (image[:1] > size[axis] // 2).to(torch.int16)}


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("factor", [2, 5])
def test_slices_stay_apart_while_rows_turn(axis, factor):
    torch.manual_seed(0)
    np.random.seed(0)
    (transform,) = in_plane(ComposeTransforms([turning()]), PATCH, factor=factor, axis=axis)

    result = transform(**sample(axis))

    image, labels = result["image"].movedim(1 + axis, 1), result["segmentation"].movedim(1 + axis, 1)
    assert result["image"].shape[1:] == PATCH
    middle = (slice(None), image.shape[2] // 2, image.shape[3] // 2)
    begin = 6 // 2 // factor * factor  # where a slice begins
    torch.testing.assert_close(image[0][middle], torch.arange(PATCH[axis]).float() + begin + 1)
    assert image[1].std(0).max() < 1e-4  # the same in all slices,
    rows = image[1, 0, image.shape[2] // 2]
    assert rows[rows > 0].diff().abs().min() > 0.1  # and no longer along an axis
    assert all(len(part[part != 0].unique()) <= 1 for part in labels[0])


def test_the_hosts_own_augmentation_in_a_plane_gives_way():
    host = ComposeTransforms([Convert3DTo2DTransform(), turning(PATCH[1:]), Convert2DTo3DTransform()])

    found = in_plane(host, PATCH, factor=2, axis=1)

    assert [type(each) for each in found] == [InPlane]
    assert found[0](**sample(1))["image"].shape[1:] == PATCH
