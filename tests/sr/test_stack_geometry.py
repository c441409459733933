"""Grids of stacks and volumes by hand, and the readers' axes against the readers themselves."""

import numpy as np
import pytest
import SimpleITK
from nnunetv2.imageio.nibabel_reader_writer import NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO, SimpleITKIOWithReorient
from stack_files import DIRECTIONS, OBLIQUE, image_of, write

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.volumes import read_volume
from acnn_nnunet.sr.stack_geometry import (
    AxisOrder,
    ThroughPlane,
    check_factor,
    find_slice_axis,
    nearest_factor,
    reader_axes,
    resliced,
    stack_patch,
    to_hr,
    to_lr,
    with_slices,
)


def grid(size, spacing_mm, direction=None, origin_mm=(10.0, 20.0, 30.0)):
    direction = np.eye(3) if direction is None else direction
    return Geometry(size, spacing_mm, origin_mm, tuple(direction.ravel().tolist()))


def test_a_stack_by_hand():
    # 2 mm slices, five of them one: 10 mm, and the first one's centre two of them, 4 mm, further.
    lr = to_lr(grid((10, 6, 7), (2.0, 1.0, 1.5)), 5, axis=0)
    assert (lr.size, lr.spacing_mm, lr.origin_mm) == ((2, 6, 7), (10.0, 1.0, 1.5), (10.0, 20.0, 34.0))


def test_the_direction_says_where_to():
    # NIfTI axis 0 (array axis 2) runs along −y: half a block of four 1.5 mm voxels, 2.25 mm, is −2.25 mm in y.
    direction = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    lr = to_lr(grid((5, 6, 8), (2.0, 1.0, 1.5), direction), 4, axis=2)
    assert (lr.size, lr.spacing_mm, lr.origin_mm) == ((5, 6, 2), (2.0, 1.0, 6.0), (10.0, 17.75, 30.0))


@pytest.mark.parametrize("factor", range(2, 9))
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_lr_voxel_is_in_the_middle_of_its_block(factor, axis):
    size = [6, 6, 6]
    size[axis] = 3 * factor
    hr = grid(tuple(size), (1.1, 0.7, 0.9), OBLIQUE)
    lr = to_lr(hr, factor, axis=axis)
    first, last = [2, 2, 2], [2, 2, 2]
    first[axis], last[axis] = factor, 2 * factor - 1  # of block 1
    block = [2, 2, 2]
    block[axis] = 1
    middle = (np.array(point(hr, first)) + point(hr, last)) / 2
    np.testing.assert_allclose(point(lr, block), middle, atol=1e-9)
    back = to_hr(lr, factor, axis=axis)
    assert back.size == hr.size
    assert not back.differences(hr)


def point(geometry, index):
    """Where ITK says that a voxel (Z, Y, X) lies."""
    image = image_of(
        np.zeros(geometry.size, np.uint8),
        spacing=geometry.spacing_mm[::-1],
        origin=geometry.origin_mm,
        direction=np.reshape(geometry.direction, (3, 3)),
    )
    return image.TransformIndexToPhysicalPoint([int(i) for i in reversed(index)])


@pytest.mark.parametrize(
    ("spacing_mm", "nifti_axis", "axis"),
    [
        ((1.0, 1.0, 1.0), None, 0),
        ((1.0, 1.0004, 1.0), None, 0),
        ((1.0, 3.0, 1.0), None, 1),
        ((1.0, 1.0, 1.2), None, 2),
        ((1.0, 3.0, 1.0), 0, 2),
        ((1.0, 3.0, 1.0), 2, 0),
    ],
)
def test_the_slice_axis(spacing_mm, nifti_axis, axis):
    assert find_slice_axis(spacing_mm, nifti_axis) == axis


def test_there_is_no_fourth_axis():
    with pytest.raises(ValueError, match="no NIfTI axis 3: --axis is 0, 1 or 2"):
        find_slice_axis((1.0, 1.0, 1.0), 3)


@pytest.mark.parametrize("reader", [SimpleITKIO, SimpleITKIOWithReorient, NibabelIOWithReorient])
@pytest.mark.parametrize("permuted", [False, True])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_axes_are_those_of_the_hosts_reader(tmp_path, reader, direction, permuted):
    values = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    cosines = DIRECTIONS[direction] @ DIRECTIONS["permuted"] if permuted else DIRECTIONS[direction]
    path = write(image_of(values, direction=cosines), tmp_path / "a.nii.gz")
    expected, _ = reader().read_images([str(path)])
    axes = reader_axes(read_volume(path, dtype=np.float32).geometry, reorients="Reorient" in reader.__name__)
    np.testing.assert_array_equal(axes.from_file(values[None]), expected)
    np.testing.assert_array_equal(axes.to_file(expected), values[None])


def test_the_world_is_itks(tmp_path):
    path = write(image_of(np.zeros((2, 3, 4), np.uint8), spacing=(1, 2, 3), direction=OBLIQUE), tmp_path / "a.nii")
    geometry, image = read_volume(path, dtype=np.float32).geometry, SimpleITK.ReadImage(str(path))
    assert point(geometry, (1, 2, 3)) == pytest.approx(image.TransformIndexToPhysicalPoint((3, 2, 1)), abs=1e-6)


@pytest.mark.parametrize("entry", [None, 5, {"factor": 5}, {"factor": 1, "axis": 0}, {"factor": 5, "axis": 3}])
def test_an_entry_that_plan_hr_did_not_write(entry):
    with pytest.raises(ValueError, match=r"3d_x has no valid entry 'acnn_hr' .*acnn-nnunet plan-hr DATASET --factor K"):
        ThroughPlane.from_configuration({} if entry is None else {"acnn_hr": entry}, where="3d_x")


def test_an_entry_that_plan_hr_wrote():
    assert ThroughPlane.from_configuration({"acnn_hr": {"factor": 5, "axis": 2}}) == ThroughPlane(5, 2)


@pytest.mark.parametrize("factor", [1, 0, -3])
def test_a_factor_that_makes_no_slice_thicker(factor):
    with pytest.raises(
        ValueError, match=rf"--factor says how many HR slices make a thick one: 2 or more, not {factor}\."
    ):
        check_factor(factor)


def test_two_slices_make_a_thicker_one():
    check_factor(2)


def test_more_slices_begin_where_the_stack_begins():
    longer = with_slices(grid((2, 6, 7), (10.0, 1.0, 1.5)), 9, axis=0)

    assert longer == grid((9, 6, 7), (10.0, 1.0, 1.5))


def test_a_stack_of_one_slice_becomes_its_block():
    # One slice of 9 mm in three of 3 mm: the middle one stays where it is, the first lies 3 mm before it.
    hr = to_hr(grid((1, 6, 7), (9.0, 1.0, 1.5)), 3, axis=0)

    assert (hr.size, hr.spacing_mm, hr.origin_mm) == ((3, 6, 7), (3.0, 1.0, 1.5), (10.0, 20.0, 27.0))


def test_slices_that_make_no_whole_block_are_cut():
    assert to_lr(grid((11, 6, 7), (2.0, 1.0, 1.5)), 5, axis=0).size == (2, 6, 7)


def test_a_reader_that_leaves_axes_alone_changes_nothing():
    order, array = reader_axes(grid((2, 3, 4), (1.0, 1.0, 1.0)), reorients=False), np.arange(24).reshape(1, 2, 3, 4)

    assert order == AxisOrder((0, 1, 2))
    np.testing.assert_array_equal(order.from_file(array), array)


def test_axes_turned_and_flipped_by_hand():
    # The reader's first axis is the file's last, backwards.
    order, array = AxisOrder((2, 0, 1), flipped=(0,)), np.array([[[[1, 2, 3]], [[4, 5, 6]]]])  # (1, 2, 1, 3)

    turned = order.from_file(array)

    assert turned.tolist() == [[[[3], [6]], [[2], [5]], [[1], [4]]]]
    np.testing.assert_array_equal(order.to_file(turned), array)


def test_a_stack_that_covers_an_hr_patch():
    strides = [(1, 1, 1), (1, 2, 2), (2, 2, 2)]
    assert stack_patch((40, 56, 40), ThroughPlane(5, 0), strides) == [8, 56, 40]
    assert stack_patch((40, 56, 40), ThroughPlane(4, 0), strides) == [10, 56, 40]
    # 40 / 6 = 6.7 slices, which is 8 where the network halves them once.
    assert stack_patch((40, 56, 40), ThroughPlane(6, 0), strides) == [8, 56, 40]
    assert stack_patch((40, 56, 40), ThroughPlane(6, 0), []) == [7, 56, 40]


@pytest.mark.parametrize(("ratio", "factor"), [(3.0, 4), (4.4, 4), (4.6, 5), (5.47, 5), (5.49, 6), (9.0, 6)])
def test_the_nearest_factor(ratio, factor):
    # Between 5 and 6 the border is √30 = 5.477.
    assert nearest_factor(ratio, (4, 5, 6)) == factor


def test_other_slices_between_the_same_edges():
    grid = Geometry((4, 3, 3), (5.0, 1.0, 1.0), (0.0, 0.0, 10.0), tuple(np.eye(3).ravel()))
    again = resliced(grid, 10, axis=0)
    # 20 mm from z = 7.5 on: slices of 2 mm, the first one's middle at 8.5.
    assert (again.size, again.spacing_mm) == ((10, 3, 3), (2.0, 1.0, 1.0))
    assert again.origin_mm == pytest.approx((0, 0, 8.5))
