"""NIfTI files anywhere in the world, and the world's coordinates as intensities."""

from itertools import product

import numpy as np
import SimpleITK
from scipy.spatial.transform import Rotation

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.volumes import Volume

FLIP_Y = np.diag([1.0, -1.0, 1.0])
PERMUTED = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
OBLIQUE = Rotation.from_euler("xyz", [25, -40, 70], degrees=True).as_matrix()
DIRECTIONS = {"identity": np.eye(3), "mirrored": FLIP_Y, "permuted": PERMUTED, "oblique": OBLIQUE @ FLIP_Y}


def image_of(values, *, spacing=(1.0, 1.0, 1.0), origin=(-37.5, 12.25, 101.0), direction=None):
    """A SimpleITK image of an array (Z, Y, X); spacing and origin as ITK orders them (X, Y, Z)."""
    image = SimpleITK.GetImageFromArray(np.asarray(values))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(np.asarray(np.eye(3) if direction is None else direction).ravel().tolist())
    return image


def volume_of(image):
    """The package's own form of a SimpleITK image."""
    spacing_mm = tuple(reversed(image.GetSpacing()))
    geometry = Geometry(tuple(reversed(image.GetSize())), spacing_mm, image.GetOrigin(), image.GetDirection())
    return Volume(SimpleITK.GetArrayFromImage(image), geometry)


def write(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(image, str(path), str(path).endswith(".gz"))
    return path


def read(path):
    return SimpleITK.ReadImage(str(path))


def world_coordinates(image):
    """(3, Z, Y, X): where ITK says that each voxel lies."""
    size = image.GetSize()
    points = np.empty((*reversed(size), 3))
    for x, y, z in product(*(range(n) for n in size)):
        points[z, y, x] = image.TransformIndexToPhysicalPoint((x, y, z))
    return np.moveaxis(points, -1, 0)


def world_ramp(size, world_axis, **geometry):
    """An image (size as ITK orders it) whose intensities are its voxels' world coordinates."""
    image = image_of(np.zeros(tuple(reversed(size)), np.float32), **geometry)
    return image_of(world_coordinates(image)[world_axis].astype(np.float32), **geometry)


def between_slices(array, factor, axis):
    """What lies between the centres of the outermost thick slices."""
    cut = factor // 2
    index = [slice(None)] * array.ndim
    index[axis] = slice(cut, array.shape[axis] - cut)
    return array[tuple(index)]
