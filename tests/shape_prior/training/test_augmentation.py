"""Hidden parts of training images, smooth deformations, and labels that change places."""

import multiprocessing

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

from acnn_nnunet.shape_prior.training.augmentation import (
    HidePartsTransform,
    OwnDraws,
    SwapMirroredLabels,
    deform_every_sample,
    swap_mirrored_labels,
)


def draws_of_a_process(transforms):
    """Return random numbers of a loader process, which batchgenerators begins by seeding NumPy anew."""
    np.random.seed(None)
    transforms(image=torch.zeros(1, 2, 2))
    return torch.rand(4).tolist()


def test_loader_processes_draw_numbers_of_their_own():
    transforms = ComposeTransforms([OwnDraws()])
    before = torch.get_rng_state()
    drawn_numbers = []
    for _ in range(2):
        with multiprocessing.get_context("fork").Pool(1) as process:  # as the host's loader begins each
            drawn_numbers.append(process.apply(draws_of_a_process, (transforms,)))
    assert drawn_numbers[0] != drawn_numbers[1]
    transforms(image=torch.zeros(1, 2, 2))
    assert torch.equal(torch.get_rng_state(), before)  # where the trainer loads its own batches


def drawn(transform, image, seed):
    torch.manual_seed(seed)
    return transform(image=image.clone(), segmentation=torch.ones(1, *image.shape[1:]))


@pytest.mark.parametrize("size", [(20, 24, 28), (24, 28)])
def test_a_slab_or_slices_are_hidden_and_the_target_stays(size):
    image = torch.randn(2, *size)
    kinds = set()
    for seed in range(30):
        result = drawn(HidePartsTransform(1.0, z_scored=(False,), masked=(False,)), image, seed)
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


@pytest.mark.parametrize(("mean", "std"), [(0, 1), (3, 2)])
def test_a_missing_part_shifts_a_z_scored_patch_about_its_own_mean(mean, std):
    """A patch that is the whole image is z-scored again; a bright one, or one whose contrast was changed, stays so."""
    image = torch.randn(1, 16, 16, 16)
    image = mean + std * (image - image.mean()) / image.std()
    result = drawn(HidePartsTransform(1.0, z_scored=(True,), masked=(False,)), image, 0)["image"]
    assert not torch.allclose(result, image, atol=1e-3)
    assert float(result.mean()) == pytest.approx(mean, abs=1e-5)
    assert float(result.std()) == pytest.approx(std, abs=1e-4)


def test_nothing_is_written_beyond_the_mask_that_an_image_was_normalised_in():
    image = torch.randn(2, 16, 16, 16)
    image[:, :8] = 0
    image[1] = 0
    for seed in range(10):
        result = drawn(HidePartsTransform(1.0, z_scored=(True, True), masked=(True, True)), image, seed)["image"]
        assert torch.equal(result == 0, image == 0)
        assert float(result[0, 8:].mean()) == pytest.approx(float(image[0, 8:].mean()), abs=1e-5)


def test_only_that_share_of_images():
    image = torch.randn(1, 8, 8, 8)
    changed = [
        not torch.equal(drawn(HidePartsTransform(0.3, z_scored=(True,), masked=(False,)), image, s)["image"], image)
        for s in range(200)
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
