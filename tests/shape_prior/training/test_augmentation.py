"""Hidden parts of training images, smooth deformations, and labels that change places."""

import pytest
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

from acnn_nnunet.shape_prior.training.augmentation import (
    HidePartsTransform,
    SwapMirroredLabels,
    deform_every_sample,
    swap_mirrored_labels,
)


def drawn(transform, image, seed):
    torch.manual_seed(seed)
    return transform(image=image.clone(), segmentation=torch.ones(1, *image.shape[1:]))


@pytest.mark.parametrize("size", [(20, 24, 28), (24, 28)])
def test_a_slab_or_slices_are_hidden_and_the_target_stays(size):
    image = torch.randn(2, *size)
    kinds = set()
    for seed in range(30):
        result = drawn(HidePartsTransform(1.0, z_scored=(False,)), image, seed)
        assert torch.equal(result["segmentation"], torch.ones(1, *size))
        assert torch.equal(result["image"][1], image[1])  # a channel behind the images, as a cascade has one
        changed = result["image"][0] != image[0]
        assert 0 < changed.float().mean() < 0.6
        (value,) = result["image"][0][changed].unique()
        lowest = torch.isclose(value, image[0].min())
        assert lowest or torch.isclose(value, image[0].mean())
        planes = [axis for axis in range(len(size)) if changed.movedim(axis, 0).flatten(1).all(1).any()]
        kinds.add((tuple(planes), bool(lowest)))
    assert len(kinds) >= 4


def test_z_scored_images_are_z_scored_again():
    result = drawn(HidePartsTransform(1.0, z_scored=(True,)), 3 + 2 * torch.randn(1, 16, 16, 16), 0)["image"]
    assert float(result.mean()) == pytest.approx(0, abs=1e-5)
    assert float(result.std()) == pytest.approx(1, abs=1e-4)


def test_only_that_share_of_images():
    image = torch.randn(1, 8, 8, 8)
    changed = [
        not torch.equal(drawn(HidePartsTransform(0.3, z_scored=(True,)), image, s)["image"], image) for s in range(200)
    ]
    assert 0.2 < sum(changed) / 200 < 0.4


def test_every_sample_is_deformed_up_to_the_given_length():
    spatial = SpatialTransform((8, 8), patch_center_dist_from_border=0, random_crop=False)
    transforms = ComposeTransforms([spatial])
    deform_every_sample(transforms, largest_voxels=3.0)
    assert spatial.p_elastic_deform == 1
    assert spatial.elastic_deform_magnitude == (0.0, 3.0)


def test_labels_change_places_where_a_sample_is_mirrored_along_their_axis():
    """Two rows of labels 1 and 2, padding (-1) and a label to ignore (3): mirrored along axis 0, 1 or both by hand."""
    labels = torch.tensor([[[1, 1, 2], [3, 0, -1]]])
    image = torch.arange(6.0).reshape(1, 2, 3)
    expected = {
        (): [[1, 1, 2], [3, 0, -1]],
        (0,): [[3, 0, -1], [1, 1, 2]],
        (1,): [[1, 2, 2], [-1, 0, 3]],
        (0, 1): [[-1, 0, 3], [1, 2, 2]],
    }
    transform = SwapMirroredLabels((0, 1), axis=1, swaps={1: 2, 2: 1})
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        result = transform(image=image.clone(), segmentation=labels.clone())
        flips = (int(result["image"][0, 0, 0] >= 3), int(result["image"][0, 0, 0] % 3 == 2))
        axes = tuple(axis for axis, flipped in enumerate(flips) if flipped)
        assert result["segmentation"][0].tolist() == expected[axes]
        seen.add(axes)
    assert seen == set(expected)


def test_the_hosts_mirroring_is_replaced_in_its_place_and_draws_as_before():
    spatial = SpatialTransform((8, 8), patch_center_dist_from_border=0, random_crop=False)
    transforms = ComposeTransforms([spatial, MirrorTransform((0, 1))])
    swap_mirrored_labels(transforms, axis=0, swaps={1: 2, 2: 1})
    assert transforms.transforms[0] is spatial
    (swapping,) = transforms.transforms[1:]
    for seed in range(5):
        drawn_axes = []
        for transform in (MirrorTransform((0, 1)), swapping):
            torch.manual_seed(seed)
            drawn_axes.append(transform.get_parameters()["axes"])
        assert drawn_axes[0] == drawn_axes[1]
