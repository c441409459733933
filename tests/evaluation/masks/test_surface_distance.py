"""Distances between surfaces: every number by hand, then against SciPy and against all pairs."""

import math

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.spatial.distance import cdist

from acnn_nnunet.evaluation.masks.surface_distance import SurfaceDistances, surface, surface_distances


def box(shape, *ranges):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*each) for each in ranges)] = True
    return mask


def summary(distances, tolerance_mm=0.0):
    return (
        distances.hausdorff_mm,
        distances.hd95_mm,
        distances.mean_mm,
        distances.surface_dice(tolerance_mm),
    )


def test_single_voxels():
    reference, prediction = box((4, 5, 6), (0, 1), (0, 1), (0, 1)), box((4, 5, 6), (2, 3), (3, 4), (4, 5))

    distances = surface_distances(reference, prediction, (2.0, 1.0, 0.5))

    # 2, 3 and 4 voxels apart: 4, 3 and 2 mm.
    assert summary(distances, 5.0) == pytest.approx((math.sqrt(29),) * 3 + (0,), abs=1e-6)
    assert distances.surface_dice(5.5) == 1


def test_shifted_planes():
    reference, prediction = box((6, 4, 5), (1, 2), (0, 4), (0, 5)), box((6, 4, 5), (4, 5), (0, 4), (0, 5))

    distances = surface_distances(reference, prediction, (1.5, 0.7, 0.7))

    # Three slices of 1.5 mm between all 20 voxels of one and those of the other.
    assert distances.from_reference.shape == distances.from_prediction.shape == (20,)
    assert summary(distances, 4.4) == pytest.approx((4.5, 4.5, 4.5, 0), abs=1e-6)


def test_shifted_cubes():
    reference, prediction = (box((5, 5, 7), (1, 4), (1, 4), (x, x + 3)) for x in (1, 2))

    distances = surface_distances(reference, prediction, (1.0, 1.0, 2.0))

    # 26 of 27 voxels of each are surface. Of the reference's, the 9 at the far side are 2 mm from the prediction, 16
    # lie on its surface, and the one that is the prediction's centre is 1 mm (in y or z) from it. The same back.
    for directed in (distances.from_reference, distances.from_prediction):
        assert sorted(directed) == pytest.approx([0] * 16 + [1] + [2] * 9)
    # The 95th percentile lies at 0.95 · 25 = 23.75 from the first: between two 2s.
    assert summary(distances, 0.9) == pytest.approx((2, 2, 19 / 26, 16 / 26))
    assert [distances.surface_dice(tolerance) for tolerance in (0, 1, 1.9, 2)] == [16 / 26, 17 / 26, 17 / 26, 1]


def test_hd95_is_the_larger_directed_percentile_and_the_mean_is_pooled():
    reference, prediction = box((3, 30), (1, 2), (0, 1)), box((3, 30), (1, 2), (0, 21))

    distances = surface_distances(reference, prediction, (9.0, 1.0))

    # From the reference's one voxel 0; from the prediction's 21 they are 0, 1, …, 20, whose 95th percentile is 19;
    # pooled it would be 18.95. The mean over all 22 is 210/22; the mean of both means would be 5.
    assert summary(distances, 4.0) == pytest.approx((20, 19, 210 / 22, (1 + 5) / 22))
    assert summary(surface_distances(prediction, reference, (9.0, 1.0)), 4.0) == summary(distances, 4.0)


def test_percentiles_are_linear_between_ranks():
    # Ranks 0 to 10: 95 % lies halfway between the last two.
    distances = SurfaceDistances(np.arange(11.0), np.zeros(3))

    assert distances.hd95_mm == 9.5


@pytest.mark.parametrize("spacing_mm", [(10, 0.7, 0.7), (0.3, 1.1, 20), (1.37, 5, 1.37), (1e-3, 1e-3, 1e-3)])
def test_a_distance_that_equals_the_tolerance_is_within_it(spacing_mm):
    for axis, spacing in enumerate(spacing_mm):
        for steps in range(1, 9):
            reference, prediction = np.zeros((2, 9, 9, 9), bool)
            reference[0, 0, 0] = True
            prediction[tuple(steps if each == axis else 0 for each in range(3))] = True
            distances = surface_distances(reference, prediction, spacing_mm)

            assert distances.surface_dice(steps * spacing) == 1
            assert distances.surface_dice(0.999 * steps * spacing) == 0


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        ((4, 4, 4), 64 - 8),  # all but the 2 × 2 × 2 inside
        ((3, 3), 8),
        ((1, 4, 4), 16),  # nothing is inside along an axis of one or two voxels
        ((2, 4, 4), 32),
        ((1, 1, 5), 5),
        ((1, 1), 1),
    ],
)
def test_a_full_image_has_its_border_as_surface(shape, count):
    full = np.ones(shape, bool)

    assert np.count_nonzero(surface(full)) == count
    assert summary(surface_distances(full, full, (1.0,) * len(shape))) == (0, 0, 0, 1)


def test_a_mask_at_the_border_ends_there():
    # A 3 × 3 square in the corner: only its centre is inside.
    assert np.argwhere(~surface(box((5, 5), (0, 3), (0, 3))) & box((5, 5), (0, 3), (0, 3))).tolist() == [[1, 1]]


def test_the_wall_of_a_cavity_is_surface():
    mask = box((7, 7, 7), (0, 7), (0, 7), (0, 7))
    mask[3, 3, 3] = False

    # 7³ − 5³ outside, and the six that share a face with the cavity; voxels at its edges and corners do not count.
    assert np.count_nonzero(surface(mask)) == 343 - 125 + 6


def test_a_hollow_and_a_solid_cube_differ():
    solid = box((5, 5, 5), (0, 5), (0, 5), (0, 5))
    hollow = solid.copy()
    hollow[2, 2, 2] = False

    distances = surface_distances(solid, hollow, (1.0, 1.0, 1.0))

    # The six voxels of the cavity's wall are one step inside the outer surface of 98 voxels.
    assert distances.from_reference.tolist() == [0] * 98
    assert sorted(distances.from_prediction) == [0] * 98 + [1] * 6
    assert distances.mean_mm == pytest.approx(6 / 202)


@pytest.mark.parametrize("empty", [0, 1])
def test_an_empty_mask_has_no_distance(empty):
    masks = [np.ones((3, 3), bool), np.ones((3, 3), bool)]
    masks[empty][:] = False

    with pytest.raises(ValueError, match="empty mask"):
        surface_distances(*masks, (1.0, 1.0))


def random_masks(shape, density, seed):
    rng = np.random.default_rng(seed)
    masks = rng.random((2, *shape)) < density
    masks[(slice(None),) + (0,) * len(shape)] = True  # none is empty
    return masks


CASES = [
    ((9, 11, 13), (1.0, 1.0, 1.0), 0.05),
    ((9, 11, 13), (10.0, 0.7, 0.7), 0.7),
    ((5, 12, 10), (0.31, 2.9, 1.37), 0.3),
    ((1, 12, 13), (8.0, 1.2, 1.2), 0.2),
    ((6, 1, 1), (8.0, 1.2, 1.2), 0.5),
    ((17, 19), (0.4, 1.7), 0.1),
    ((1, 19), (0.4, 1.7), 0.5),
]


@pytest.mark.parametrize(("shape", "spacing_mm", "density"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_against_all_pairs(shape, spacing_mm, density, seed):
    masks = random_masks(shape, density, seed)
    # A voxel is surface where one of its face neighbours, read off a padded copy, is background.
    points = []
    for mask in masks:
        padded = np.pad(mask, 1)
        inside = [padded[tuple(index + 1 + np.array(step))] for index in np.argwhere(mask) for step in steps(mask.ndim)]
        on_surface = ~np.array(inside).reshape(-1, 2 * mask.ndim).all(1)
        points.append(np.argwhere(mask)[on_surface] * np.array(spacing_mm))
    pairs = cdist(*points)

    found = surface_distances(*masks, spacing_mm)

    assert found.from_reference == pytest.approx(pairs.min(1), abs=1e-5)
    assert found.from_prediction == pytest.approx(pairs.min(0), abs=1e-5)


def steps(num_axes):
    return [sign * np.eye(num_axes, dtype=int)[axis] for axis in range(num_axes) for sign in (1, -1)]


@pytest.mark.parametrize(("shape", "spacing_mm", "density"), CASES)
def test_against_scipy(shape, spacing_mm, density):
    masks = random_masks(shape, density, seed=7)
    edges = [mask & ~binary_erosion(mask) for mask in masks]

    found = surface_distances(*masks, spacing_mm)

    for directed, source, target in zip((found.from_reference, found.from_prediction), edges, edges[::-1], strict=True):
        assert directed == pytest.approx(distance_transform_edt(~target, sampling=spacing_mm)[source], abs=1e-5)


def test_a_large_grid_of_flat_voxels_keeps_its_precision():
    shape, spacing_mm = (30, 400, 400), (10.0, 0.7, 0.7)
    reference, prediction = np.zeros((2, *shape), bool)
    reference[0, 0, 0] = prediction[-1, -1, -1] = True

    # From corner to corner: 29 · 10, 399 · 0.7 and 399 · 0.7 mm.
    expected = math.sqrt(290**2 + 2 * 279.3**2)
    assert surface_distances(reference, prediction, spacing_mm).hausdorff_mm == pytest.approx(expected, abs=1e-4)


def test_masks_that_are_views_of_something_else():
    whole = np.zeros((8, 9, 10, 2), bool)
    whole[2:5, 3:6, 4:7, 0] = whole[3:6, 3:6, 4:7, 1] = True
    views = [whole[::-1, :, ::2, each].transpose(2, 0, 1) for each in (0, 1)]

    found = surface_distances(*views, (1.0, 2.0, 3.0))
    copied = surface_distances(*(np.ascontiguousarray(view) for view in views), (1.0, 2.0, 3.0))

    # Shifted by one along the middle axis, whose voxels are 2 mm.
    assert found.hausdorff_mm == copied.hausdorff_mm == 2
