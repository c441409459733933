"""Where the prior looks, and which anatomy is cut off there."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from acnn_nnunet.shape_prior.grids.views import (
    PatchGrid,
    RoiGrid,
    bounding_boxes,
    interpolation_weights,
    make_grid,
    resample,
    share_inside,
    touches_face,
)


def test_a_patch_without_anatomy_counts_and_is_not_cut_off():
    maps = torch.rand(2, 3, 4, 4, 4)
    view = PatchGrid((4, 4, 4)).around(torch.zeros(2, 1, 4, 4, 4, dtype=torch.bool))
    assert view.valid.tolist() == [True, True]
    assert view.cut_off.tolist() == [False, False]
    assert view.outside_share.tolist() == [0, 0]
    assert view(maps) is maps


@pytest.mark.parametrize("axis", [2, 3, 4])
@pytest.mark.parametrize("side", [0, -1])
def test_each_face_is_seen(axis, side):
    mask = torch.zeros(2, 1, 4, 5, 6, dtype=torch.bool)
    mask[0, 0, 2, 2, 2] = True
    mask[1].select(axis - 1, side)[0, 1, 1] = True
    assert touches_face(mask).tolist() == [False, True]


def test_two_dimensions():
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[0, 0, 1, 3] = True
    assert touches_face(mask).tolist() == [True]


def test_another_size_is_refused_by_name():
    with pytest.raises(ValueError, match=r"patches of \(4, 4, 4\) voxels, got \(4, 4, 5\)"):
        PatchGrid((4, 4, 4)).around(torch.zeros(1, 1, 4, 4, 5, dtype=torch.bool))


def box(size, *, spacing_mm=(1.0, 1.0), patch_spacing_mm=(1.0, 1.0)) -> RoiGrid:
    return RoiGrid(size, spacing_mm=spacing_mm, patch_spacing_mm=patch_spacing_mm)


def foreground(*boxes, shape=(10, 10)) -> torch.Tensor:
    """One sample a box of (first row, last row, first column, last column); None is empty."""
    mask = torch.zeros(len(boxes), 1, *shape, dtype=torch.bool)
    for sample, corners in zip(mask, boxes, strict=True):
        if corners:
            first_row, last_row, first_column, last_column = corners
            sample[0, first_row : last_row + 1, first_column : last_column + 1] = True
    return mask


def test_where_spacings_agree_the_box_is_a_crop_bitwise():
    maps = torch.rand(2, 3, 10, 10)
    # Rows 3 to 6 centre at 4.5: a box of 4 begins at 3. Columns 5 to 7 centre at 6: 4.5 is rounded up to 5.
    # Rows 1 to 2 at 1.5 begin at 0; columns 1 to 8 at 4.5 begin at 3.
    view = box((4, 4)).around(foreground((3, 6, 5, 7), (1, 2, 1, 8)))
    result = view(maps, beyond=(1.0, 0.0, 0.0))
    assert torch.equal(result[0], maps[0, :, 3:7, 5:9])
    assert torch.equal(result[1], maps[1, :, 0:4, 3:7])
    assert view.outside_share.tolist() == [0, 0.5]  # of eight columns the box has four


def test_the_bounding_box_is_what_is_centred_not_the_mass():
    mask = foreground((2, 7, 2, 7))
    mask[0, 0, 2:4] = False
    mask[0, 0, 2, 4] = True  # one voxel still reaches row 2
    view = box((6, 6)).around(mask)
    assert torch.equal(view(mask), mask[:, :, 2:8, 2:8].float())


def test_the_box_lies_around_the_main_part_and_counts_the_rest_as_outside():
    heart, island = foreground((3, 6, 3, 6)), foreground((0, 0, 6, 9))
    everything = heart | island
    view = box((4, 4)).around(everything, main=heart)
    assert torch.equal(view(everything), everything[:, :, 3:7, 3:7].float())
    assert view.valid.tolist() == [True]  # only what is looked at must lie whole in the patch
    assert view.outside_share.tolist() == pytest.approx([4 / 20])


def test_rounding_errors_of_a_spacing_do_not_blur():
    maps = torch.rand(1, 1, 10, 10)
    view = box((4, 4), spacing_mm=(0.6999999, 0.7), patch_spacing_mm=(0.7, 0.7)).around(foreground((3, 6, 3, 6)))
    assert torch.equal(view(maps), maps[:, :, 3:7, 3:7])


def test_beyond_the_patch_lies_background():
    maps = torch.stack([torch.zeros(4, 4), torch.ones(4, 4)])[None]
    view = box((6, 4)).around(foreground((1, 2, 1, 2), shape=(4, 4)))
    result = view(maps, beyond=(1.0, 0.0))
    assert result[0, 0, :, 0].tolist() == [1, 0, 0, 0, 0, 1]
    assert result[0, 1, :, 0].tolist() == [0, 1, 1, 1, 1, 0]


def test_other_spacings_map_millimetres_right():
    """A ramp of positions in mm: every voxel of the box reads its own position."""
    rows_mm = (torch.arange(10.0) * 2.0)[:, None].expand(10, 10)
    columns_mm = (torch.arange(10.0) * 0.5)[None].expand(10, 10)
    maps = torch.stack([rows_mm, columns_mm])[None]
    # Rows 3 to 6 of 2 mm centre at 9 mm, columns 4 to 6 of 0.5 mm at 2.5 mm; four box voxels of 1 mm around them.
    view = box((4, 4), spacing_mm=(1.0, 1.0), patch_spacing_mm=(2.0, 0.5)).around(foreground((3, 6, 4, 6)))
    result = view(maps)
    assert result[0, 0, :, 0].tolist() == pytest.approx([7.5, 8.5, 9.5, 10.5])
    assert result[0, 1, 0].tolist() == pytest.approx([1.0, 2.0, 3.0, 4.0])


def test_one_anatomy_at_two_spacings_is_nearly_the_same_in_the_box():
    """A cube of 8 mm, in voxels of 1 mm and of 2 mm: the box of 1 mm voxels differs at the cube's faces only."""
    fine, coarse = foreground((6, 13, 6, 13), shape=(20, 20)), foreground((3, 6, 3, 6))
    on_fine = box((12, 12)).around(fine)(fine)
    on_coarse = box((12, 12), patch_spacing_mm=(2.0, 2.0)).around(coarse)(coarse)
    assert on_fine.sum() == 64
    # Linear interpolation keeps a straight edge's position: 8 mm wide still, half-way values beside it.
    assert on_coarse.sum().item() == pytest.approx(64)
    assert on_coarse[0, 0, 6].tolist() == pytest.approx([0, 0.25, 0.75, *[1] * 6, 0.75, 0.25, 0], abs=1e-6)


def test_cut_off_and_empty_samples_are_masked_and_the_others_are_not():
    view = box((4, 4)).around(foreground((3, 6, 3, 6), (0, 3, 3, 6), None, (3, 6, 6, 9)))
    assert view.valid.tolist() == [True, False, False, False]
    assert view.cut_off.tolist() == [False, True, False, True]
    assert view.outside_share[2] == 0


def test_an_empty_patch_and_an_image_are_looked_at_in_the_middle():
    image = torch.rand(1, 2, 10, 10)
    assert torch.equal(box((4, 6)).around_middle(image)(image), image[:, :, 3:7, 2:8])
    assert torch.equal(box((4, 6)).around(foreground(None))(image), image[:, :, 3:7, 2:8])


@pytest.mark.parametrize(
    ("size", "patch_spacing_mm", "rows", "columns"),
    [
        ((4, 6), (1.0, 1.0), slice(3, 7), slice(2, 8)),
        # Rows of 2 mm: 8 box rows reach rows 2.75 to 6.25, so that 4 and 5 lie well within. Columns of 0.5 mm: 4 box
        # columns reach columns 1.5 to 7.5.
        ((8, 4), (2.0, 0.5), slice(4, 6), slice(2, 8)),
    ],
)
def test_there_and_back_again(size, patch_spacing_mm, rows, columns):
    grid = box(size, patch_spacing_mm=patch_spacing_mm)
    plane = torch.arange(10.0)[:, None] + 10 * torch.arange(10.0)  # interpolation leaves a plane alone
    boxed = grid.around_middle(plane[None, None])(plane[None, None])
    back = grid.back_to_patch(boxed, (10, 10), beyond=(7.0,))[0, 0]
    assert torch.allclose(back[rows, columns], plane[rows, columns], atol=1e-4)
    assert back[0, 0] == 7


def test_the_reach_is_twice_the_box_in_voxels_of_the_patch():
    assert box((5, 4), patch_spacing_mm=(2.0, 0.5)).reach == (5, 16)


def test_three_dimensions_and_gradients_through_the_box_only():
    maps = torch.rand(1, 2, 6, 8, 10, requires_grad=True)
    mask = torch.zeros(1, 1, 6, 8, 10, dtype=torch.bool)
    mask[0, 0, 2:4, 3:5, 4:6] = True
    grid = RoiGrid((2, 4, 4), spacing_mm=(1.0, 1.0, 1.0), patch_spacing_mm=(1.0, 1.0, 1.0))
    grid.around(mask)(maps).sum().backward()
    expected = torch.zeros_like(maps)
    expected[:, :, 2:4, 2:6, 3:7] = 1
    assert torch.equal(maps.grad, expected)


def test_a_prior_file_names_its_grid():
    mm = {"spacing_mm": (1.0, 1.0), "patch_spacing_mm": (2.0, 2.0)}
    assert isinstance(make_grid("patch", (4, 4), **mm), PatchGrid)
    roi = make_grid("roi", (4, 4), **mm)
    assert isinstance(roi, RoiGrid)
    assert roi.steps == (0.5, 0.5)


def test_bounding_boxes_of_one_voxel_and_of_two_far_apart():
    mask = torch.zeros(2, 1, 4, 5, dtype=torch.bool)
    mask[0, 0, 2, 3] = mask[1, 0, 0, 4] = mask[1, 0, 3, 1] = True

    first, last = bounding_boxes(mask)

    assert (first.tolist(), last.tolist()) == ([[2, 3], [0, 1]], [[2, 3], [3, 4]])


def test_the_bounding_box_of_nothing_is_the_patch():
    first, last = bounding_boxes(torch.zeros(1, 1, 2, 3, 4, dtype=torch.bool))

    assert (first.tolist(), last.tolist()) == ([[0, 0, 0]], [[1, 2, 3]])


def test_what_a_box_does_not_reach():
    # Anatomy in columns 2 and 3 of 8, a box of 4: it begins on column 1 and ends on column 4.
    mask = torch.zeros(1, 1, 8, dtype=torch.bool)
    mask[..., 2:4] = True
    view = RoiGrid((4,), spacing_mm=(1.0,), patch_spacing_mm=(1.0,)).around(mask)
    assert view.unseen(mask).int().tolist() == [[[1, 0, 0, 0, 0, 1, 1, 1]]]


def test_a_coarse_box_leaves_no_voxel_in_between_unseen():
    # Three voxels of 2 mm around 3.5: samples at 1.5, 3.5 and 5.5, triangles that reach 2 to either side.
    mask = torch.zeros(1, 1, 10, dtype=torch.bool)
    mask[..., 3:5] = True
    view = RoiGrid((3,), spacing_mm=(2.0,), patch_spacing_mm=(1.0,)).around(mask)
    assert view.unseen(mask).int().tolist() == [[[0, 0, 0, 0, 0, 0, 0, 0, 1, 1]]]


def test_the_patch_sees_all_of_itself():
    mask = torch.ones(2, 1, 3, 4, dtype=torch.bool)
    assert not PatchGrid((3, 4)).around(mask).unseen(mask).any()


def sampled(values, *, start: float, step: float, length: int, beyond=0.0) -> list[float]:
    maps = torch.tensor(values)[None, None]
    weights = interpolation_weights(torch.tensor([start]), step, length, len(values))
    return resample(maps, (weights,), beyond=beyond)[0, 0].tolist()


def test_whole_steps_copy():
    assert sampled([1.0, 2, 4, 8], start=1, step=1, length=2) == [2, 4]


def test_between_voxels_is_linear():
    # At 0.5, 1.0, 1.5: the mean of 1 and 2, 2, the mean of 2 and 4.
    assert sampled([1.0, 2, 4, 8], start=0.5, step=0.5, length=3) == [1.5, 2, 3]


def test_beyond_the_ends_lies_the_given_value():
    # -1 lies beyond; -0.5 is half beyond: 0.5·1 + 0.5·10.
    assert sampled([1.0, 2], start=-1, step=0.5, length=3, beyond=10.0) == [10, 5.5, 1]
    assert sampled([1.0, 2], start=1.5, step=0.5, length=2) == [1, 0]


def test_wide_steps_miss_nothing():
    # A triangle of half-width 2 at position 3: weights ¼ ½ ¼ of voxels 2, 3, 4.
    assert sampled([0.0, 0, 4, 0, 0, 0, 0], start=3, step=2, length=1) == [1]
    # Steps of 1.5 do not divide a triangle evenly, yet a constant stays one.
    assert sampled([3.0] * 12, start=3, step=1.5, length=4) == pytest.approx([3.0] * 4)


@pytest.mark.parametrize("axes", [2, 3])
def test_each_sample_has_weights_of_its_own_as_scipy_has_it(axes):
    generator = np.random.default_rng(0)
    shape, size, step = (7, 6, 5)[:axes], (4, 3, 6)[:axes], (0.5, 1.0, 0.25)[:axes]
    maps = torch.from_numpy(generator.random((2, 3, *shape)))
    starts = generator.random((2, axes)) + 1
    weights = tuple(
        interpolation_weights(torch.from_numpy(starts[:, i]), step[i], size[i], shape[i]) for i in range(axes)
    )
    result = resample(maps, weights, beyond=0.0)
    assert result.dtype == torch.float64
    for b in range(2):
        grid = [starts[b, i] + step[i] * np.arange(size[i]) for i in range(axes)]
        for c in range(3):
            expected = map_coordinates(maps[b, c].numpy(), np.meshgrid(*grid, indexing="ij"), order=1)
            assert result[b, c].numpy() == pytest.approx(expected, abs=1e-12)


def test_gradient_in_float64_by_finite_differences():
    weights = tuple(interpolation_weights(torch.tensor([0.3, -0.7]).double(), step, 4, 5) for step in (0.8, 1.7))
    maps = torch.rand(2, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m: resample(m, weights, beyond=(1.0, 0.0)), maps)


def test_an_outer_autocast_does_not_blur():
    # 1/3 would be 0.334 in bfloat16.
    weights = interpolation_weights(torch.tensor([0.0]), 1.0, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = resample(torch.full((1, 1, 3), 1 / 3), (weights,), beyond=0.0)
    assert result.dtype == torch.float32
    assert result[0, 0, 0].item() == pytest.approx(1 / 3, abs=1e-7)


def test_share_inside_by_hand():
    mask = torch.zeros(3, 1, 6, 4, dtype=torch.bool)
    mask[0, 0, 1:5, 1] = True  # rows 1 to 4; the box holds rows 2 to 3
    mask[1, 0, 2, 3] = True  # beyond the box's columns 0 to 2
    starts = [torch.tensor([2.0, 2.0, 2.0]), torch.tensor([0.0, 0.0, 0.0])]
    assert share_inside(mask, starts, (2, 3), (1.0, 1.0)).tolist() == [0.5, 0, 1]


def test_share_inside_counts_half_voxels_of_the_box():
    # Box voxels of half the size: 4 of them from -0.25 span -0.5 to 1.5, so rows 0 and 1 of three.
    mask = torch.ones(1, 1, 3, dtype=torch.bool)
    assert math.isclose(share_inside(mask, [torch.tensor([-0.25])], (4,), (0.5,)).item(), 2 / 3, rel_tol=1e-6)
