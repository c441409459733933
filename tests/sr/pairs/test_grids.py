"""HR grids of stacks, proven with images of their own world coordinates, and motions worked out by hand."""

import numpy as np
import pytest
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from stack_files import DIRECTIONS, image_of, volume_of, world_coordinates
from tiny_hr_models import dataset_of, plans_of

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.volumes import Volume
from acnn_nnunet.nnunet.models import ModelBundle
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.inference.stack_preprocessing import prepare_stack
from acnn_nnunet.sr.pairs.grids import (
    RigidMotion,
    affine_of,
    covered,
    cut_grid,
    hr_grid,
    resampled_image,
    resampled_labels,
)

LINE = Geometry((6, 1, 1), (2.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))


def line(values, **changes):
    return Volume(np.asarray(values, np.float32).reshape(-1, 1, 1), Geometry(**{**LINE.__dict__, **changes}))


def cube(values):
    geometry = Geometry(values.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    return Volume(values, geometry)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("reader", ["SimpleITKIO", "NibabelIOWithReorient"])
@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
def test_each_slice_lies_in_the_middle_of_its_hr_slices(direction, reader, transpose):
    """A preprocessed stack of world coordinates holds, at slice k, those of HR slice K·k + (K − 1)/2."""
    factor = 3
    geometry = {"spacing": (1.5, 0.75, 3.0), "direction": DIRECTIONS[direction]}
    image = image_of(np.zeros((5, 18, 20), np.float32), **geometry)
    volume = volume_of(image)
    order = _reader_axis_of_slices(volume.geometry, reader)
    axis = transpose.index(order)
    plans = plans_of(factor=factor, axis=axis, transpose=transpose, normalization="NoNormalization", reader=reader)
    manager = PlansManager(plans)
    bundle = ModelBundle(manager, manager.get_configuration("3d_hr"), dataset_of(), "3d_hr")
    model = HRModel(bundle, predicts_image=False)
    axes = model.reader_axes(volume.geometry)
    spacing = tuple(volume.geometry.spacing_mm[each] for each in axes.axes)
    for world_axis, coordinates in enumerate(world_coordinates(image)):
        prepared = prepare_stack(axes.from_file(coordinates[None].astype(np.float32) + 500), spacing, model)
        grid = hr_grid(prepared, volume.geometry, model)
        assert [n * (factor if i == axis else 1) for i, n in enumerate(prepared.data.shape[1:])] == list(grid.size)
        places = np.indices(prepared.data.shape[1:]).astype(float)
        places[axis] = factor * places[axis] + (factor - 1) / 2
        expected = np.einsum("ij,jzyx->izyx", affine_of(grid)[:3, :3], places)[world_axis]
        expected += affine_of(grid)[world_axis, 3] + 500
        inner = (slice(4, -4),) * 3  # splines of nnU-Net's resampling bend at the rim
        wide = tuple(slice(None) if i == axis else each for i, each in enumerate(inner))
        np.testing.assert_allclose(prepared.data[0][wide], expected[wide], atol=1.5e-2)


def _reader_axis_of_slices(geometry, reader):
    manager = PlansManager(plans_of(factor=2, reader=reader))
    bundle = ModelBundle(manager, manager.get_configuration("3d_hr"), dataset_of(), "3d_hr")
    return HRModel(bundle, predicts_image=False).reader_axes(geometry).axes.index(0)


def test_a_shift_by_whole_voxels_moves_whole_voxels():
    # The stack's z is the image's z + 2 mm: a slice further, of six that lie 2 mm apart.
    motion = RigidMotion(translation_mm=(0.0, 0.0, 2.0))
    volume = cube(np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6))
    found = resampled_image(volume, volume.geometry, RigidMotion(translation_mm=(0.0, 0.0, 1.0)))
    np.testing.assert_allclose(found[:3], volume.values[1:], atol=1e-3)
    assert covered(LINE, LINE, motion).ravel().tolist() == [True] * 5 + [False]


def test_labels_beyond_the_label_map_are_outside():
    labels = np.zeros((4, 3, 3), np.uint8)
    labels[1:3] = 2
    found = resampled_labels(cube(labels), cube(labels).geometry, RigidMotion(translation_mm=(0.0, 0.0, -1.0)))
    assert found[:, 1, 1].tolist() == [-1, 0, 2, 2]


def test_labels_change_where_their_share_does():
    # Half as thick slices at −0.25, 0.25 …: shares of label 1 between slices 0 and 1 are 1/4 and 3/4.
    labels = cube(np.array([0, 1, 1], np.uint8).reshape(3, 1, 1).repeat(3, 1).repeat(3, 2))
    fine = Geometry((4, 3, 3), (0.5, 1.0, 1.0), (0.0, 0.0, 0.25), labels.geometry.direction)
    assert resampled_labels(labels, fine, RigidMotion())[:, 1, 1].tolist() == [0, 1, 1, 1]


def test_length_and_angle_of_a_motion():
    motion = RigidMotion((0.0, 0.0, np.radians(30)), (3.0, 0.0, 4.0), (1.0, 2.0, 3.0))
    assert (motion.shift_mm, motion.rotation_deg) == (pytest.approx(5), pytest.approx(30))
    assert (RigidMotion().shift_mm, RigidMotion().rotation_deg) == (0, 0)


def test_what_is_covered_follows_a_turn():
    # Turned by 180° about the image's middle everything is covered; about the first voxel, only that.
    volume = cube(np.zeros((3, 3, 3), np.float32))
    turn = (0.0, 0.0, np.pi)
    assert covered(volume.geometry, volume.geometry, RigidMotion(turn, centre_mm=(1.0, 1.0, 1.0))).all()
    found = covered(volume.geometry, volume.geometry, RigidMotion(turn))
    assert np.argwhere(found).tolist() == [[z, 0, 0] for z in range(3)]


def test_a_part_of_a_grid():
    part = cut_grid(LINE, (slice(2, 5), slice(0, 1), slice(0, 1)))
    assert part.size == (3, 1, 1)
    assert part.origin_mm == (0.0, 0.0, 4.0)
    assert part.spacing_mm == LINE.spacing_mm
