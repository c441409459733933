"""The HR grid of a real stack, and whatever lies in the world resampled onto it, by way of a rigid motion."""

from dataclasses import dataclass

import numpy as np
import SimpleITK

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.volumes import Volume
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.inference.stack_preprocessing import PreparedStack
from acnn_nnunet.sr.stack_geometry import to_hr

_HALF_VOXEL = 0.5


@dataclass(frozen=True)
class RigidMotion:
    """Where a point of the stack's world lies in the HR image's: R·(p − centre) + centre + translation.

    Attributes:
        rotation: angles about the world's axes, radians, as ITK's Euler3DTransform has them.
        translation_mm: in the world, as ITK has it.
        centre_mm: of the rotation: the stack's centre.
    """

    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    translation_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def transform(self) -> SimpleITK.Euler3DTransform:
        """ITK's own."""
        return SimpleITK.Euler3DTransform(self.centre_mm, *self.rotation, self.translation_mm)

    @property
    def shift_mm(self) -> float:
        """How far the stack's centre moves."""
        return float(np.linalg.norm(self.translation_mm))

    @property
    def rotation_deg(self) -> float:
        """Angle of the rotation about its own axis."""
        trace = float(np.trace(np.reshape(self.transform.GetMatrix(), (3, 3))))
        return float(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))))


def image_of(volume: Volume) -> SimpleITK.Image:
    """Return ITK's image of a volume, float32."""
    return on_grid(volume.values.astype(np.float32), volume.geometry)


def on_grid(values: np.ndarray, grid: Geometry) -> SimpleITK.Image:
    """Return ITK's image of an array (Z, Y, X) on a grid."""
    assert grid.origin_mm is not None
    assert grid.direction is not None
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values))
    image.SetSpacing(tuple(reversed(grid.spacing_mm)))
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    return image


def resampled_image(volume: Volume, grid: Geometry, motion: RigidMotion) -> np.ndarray:
    """Return an image on a grid of the stack's world, cubic B-spline; beyond the image's ends it goes on as there."""
    values = SimpleITK.Resample(
        image_of(volume), _reference(grid), motion.transform, SimpleITK.sitkBSpline, 0.0, SimpleITK.sitkFloat32, True
    )
    return SimpleITK.GetArrayFromImage(values)


def resampled_labels(volume: Volume, grid: Geometry, motion: RigidMotion) -> np.ndarray:
    """Return labels on a grid of the stack's world: each label's share is interpolated linearly, the largest wins.

    Beyond the label map they are −1, which nnU-Net takes for outside.
    """
    labels = on_grid(volume.values.astype(np.int16), volume.geometry)
    resample = (_reference(grid), motion.transform)
    values = SimpleITK.GetArrayFromImage(SimpleITK.Resample(labels, *resample, SimpleITK.sitkLabelLinear, 0))
    return np.where(covered(volume.geometry, grid, motion), values, -1).astype(np.int16)


def covered(volume: Geometry, grid: Geometry, motion: RigidMotion) -> np.ndarray:
    """Return which voxels (Z, Y, X), bool, of a grid of the stack's world lie inside a volume, to its outer edges."""
    inverse = np.linalg.inv(affine_of(volume))
    moved = np.eye(4)
    moved[:3, :3] = np.reshape(motion.transform.GetMatrix(), (3, 3))
    moved[:3, 3] = np.asarray(motion.transform.TransformPoint((0.0, 0.0, 0.0)))
    to_index = inverse @ moved @ affine_of(grid)
    inside = np.ones(grid.size, dtype=bool)
    places = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in grid.size), indexing="ij", sparse=True)
    for axis, length in enumerate(volume.size):
        index = sum(to_index[axis, i] * places[i] for i in range(3)) + to_index[axis, 3]
        inside &= (index >= -_HALF_VOXEL - 1e-6) & (index <= length - _HALF_VOXEL + 1e-6)
    return inside


def affine_of(grid: Geometry) -> np.ndarray:
    """Return the matrix (4, 4) from array indices (Z, Y, X) to ITK's world."""
    assert grid.origin_mm is not None
    assert grid.direction is not None
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(grid.direction, (3, 3))[:, ::-1] * np.asarray(grid.spacing_mm)
    affine[:3, 3] = grid.origin_mm
    return affine


def hr_grid(prepared: PreparedStack, stack: Geometry, model: HRModel) -> Geometry:
    """Return the HR grid of a preprocessed stack: axes of the plans, their pixels, K slices for each of its own."""
    order = model.reader_axes(stack)
    axes = [order.axes[axis] for axis in model.bundle.plans.transpose_forward]
    affine = affine_of(stack)
    columns, origin = affine[:3, axes], affine[:3, 3].copy()
    for i, axis in enumerate(model.bundle.plans.transpose_forward):
        if axis in order.flipped:
            origin += (stack.size[axes[i]] - 1) * columns[:, i]
            columns[:, i] *= -1
    for i, cut in enumerate(prepared.box[1:]):
        origin += cut.start * columns[:, i]
        zoom = (cut.stop - cut.start) / prepared.data.shape[1 + i]
        origin += (zoom - 1) / 2 * columns[:, i]  # the outer edges stay where they are
        columns[:, i] *= zoom
    spacing_mm = np.linalg.norm(columns, axis=0)
    direction = (columns / spacing_mm)[:, ::-1]
    grid = Geometry(
        size=tuple(prepared.data.shape[1:]),
        spacing_mm=tuple(spacing_mm.tolist()),
        origin_mm=tuple(origin.tolist()),
        direction=tuple(direction.ravel().tolist()),
    )
    return to_hr(grid, model.through_plane.factor, axis=model.through_plane.axis)


def cut_grid(grid: Geometry, box: tuple[slice, ...]) -> Geometry:
    """Return the part of a grid in a box of array indices."""
    starts = [each.start for each in box]
    origin = affine_of(grid) @ np.array([*starts, 1.0])
    return Geometry(
        size=tuple(each.stop - each.start for each in box),
        spacing_mm=grid.spacing_mm,
        origin_mm=tuple(origin[:3].tolist()),
        direction=grid.direction,
    )


def _reference(grid: Geometry) -> SimpleITK.Image:
    image = SimpleITK.Image(tuple(reversed(grid.size)), SimpleITK.sitkUInt8)
    image.SetSpacing(tuple(reversed(grid.spacing_mm)))
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    return image
