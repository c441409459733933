import struct

import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import gaussian_filter
from stack_files import volume_of

from acnn_nnunet.challenges.surfaces import fill_surface, read_surface, write_surface
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.volumes import Volume

# A box as six rectangles: x from 0.5 to 3.5, y from 1 to 2.6, z from -1 to 9.
BOX_POINTS = np.array([(x, y, z) for x in (0.5, 3.5) for y in (1.0, 2.6) for z in (-1.0, 9.0)])
BOX_FACES = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]


def _grid(size=(6, 5, 4), spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)):
    return Geometry(tuple(reversed(size)), tuple(reversed(spacing)), origin, tuple(np.ravel(direction).tolist()))


def _ascii(points=BOX_POINTS, faces=BOX_FACES):
    corners = "\n".join(" ".join(map(str, point)) for point in points)
    polygons = "\n".join(" ".join(map(str, (len(face), *face))) for face in faces)
    size = sum(1 + len(face) for face in faces)
    return (
        f"# vtk DataFile Version 3.0\nbox\nASCII\nDATASET POLYDATA\nPOINTS {len(points)} float\n{corners}\n"
        f"POLYGONS {len(faces)} {size}\n{polygons}\n"
    ).encode()


def _binary():
    cells = [number for face in BOX_FACES for number in (len(face), *face)]
    return (
        b"# vtk DataFile Version 3.0\nbox\nBINARY\nDATASET POLYDATA\nPOINTS 8 double\n"
        + struct.pack(">24d", *BOX_POINTS.ravel())
        + b"\nMETADATA\nINFORMATION 0\n\nPOLYGONS 6 30\n"
        + struct.pack(">30i", *cells)
        + b"\n"
    )


@pytest.mark.parametrize("content", [_ascii(), _ascii().replace(b"\n", b"\r\n"), _binary()])
def test_box_fills_the_voxels_whose_centres_it_encloses(tmp_path, content):
    (tmp_path / "box.vtk").write_bytes(content)
    points, triangles = read_surface(tmp_path / "box.vtk")
    assert (points.shape, triangles.shape) == ((8, 3), (12, 3))
    expected = np.zeros((4, 5, 6), np.uint8)
    # Of the centres 0 … 5, x takes 1, 2, 3; y takes 2, and 1 or not, which lies on the surface; z takes all.
    expected[:, 2, 1:4] = 1
    filled = fill_surface(points, triangles, _grid())
    np.testing.assert_array_equal(filled[:, [0, 2, 3, 4]], expected[:, [0, 2, 3, 4]])


def test_box_in_a_turned_grid_of_unequal_voxels():
    # Axis x of the image runs along −y of the world: column i is at y = 3 − 0.5 i, row j at x = 2 j.
    grid = _grid(
        size=(6, 4, 3), spacing=(0.5, 2.0, 1.0), origin=(0, 3, 0), direction=[[0, 1, 0], [-1, 0, 0], [0, 0, 1]]
    )
    triangles = np.array([tri for a, b, c, d in BOX_FACES for tri in ((a, b, c), (a, c, d))])
    filled = fill_surface(BOX_POINTS, triangles, grid)
    # y of 2.5, 2.0, 1.5 are inside 1 … 2.6 (columns 1, 2, 3; column 4 lies on the surface), x of 2 is inside 0.5 … 3.5.
    expected = np.zeros((3, 4, 6), np.uint8)
    expected[:, 1, 1:4] = 1
    np.testing.assert_array_equal(np.delete(filled, 4, axis=2), np.delete(expected, 4, axis=2))


@pytest.mark.parametrize("seed", range(4))
def test_surface_of_a_mask_encloses_that_mask(tmp_path, seed):
    rng = np.random.default_rng(seed)
    array = (gaussian_filter(rng.normal(size=(9, 11, 13)), 1.2) > 0).astype(np.uint8)  # touches the border
    mask = SimpleITK.GetImageFromArray(array)
    mask.SetSpacing((0.7, 0.9, 1.3))
    mask.SetOrigin((-20.5, 3.25, 100.0))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    mask.SetDirection((turn * np.sign(np.linalg.det(turn))).ravel().tolist())
    volume = volume_of(mask)
    write_surface(tmp_path / "mask.vtk", volume)
    filled = fill_surface(*read_surface(tmp_path / "mask.vtk"), volume.geometry)
    np.testing.assert_array_equal(filled, array)


def test_surface_lies_in_world_coordinates(tmp_path):
    array = np.zeros((3, 3, 3), np.uint8)
    array[1, 1, 1] = 1
    mask = SimpleITK.GetImageFromArray(array)
    mask.SetSpacing((1, 2, 4))
    mask.SetOrigin((10, 20, 30))
    write_surface(tmp_path / "one.vtk", volume_of(mask))
    points, _ = read_surface(tmp_path / "one.vtk")
    # The voxel's centre is at (11, 22, 34); the surface is half a voxel away along each axis.
    np.testing.assert_allclose(points.min(axis=0), (10.5, 21, 32))
    np.testing.assert_allclose(points.max(axis=0), (11.5, 23, 36))


def test_empty_mask_has_an_empty_surface(tmp_path):
    write_surface(tmp_path / "empty.vtk", Volume(np.zeros((4, 5, 6), np.uint8), _grid()))
    assert "POINTS 0 double\nPOLYGONS 0 0\n" in (tmp_path / "empty.vtk").read_text()


def test_open_surface_and_surface_outside_are_refused():
    triangles = np.array([tri for a, b, c, d in BOX_FACES for tri in ((a, b, c), (a, c, d))])
    with pytest.raises(ValueError, match="the surface is not closed"):
        fill_surface(BOX_POINTS, triangles[2:], _grid())
    with pytest.raises(ValueError, match="the surface encloses no voxel of the image"):
        fill_surface(BOX_POINTS + 100, triangles, _grid())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not vtk",
        _ascii().replace(b"POLYDATA", b"UNSTRUCTURED_GRID"),
        _ascii().replace(b"POINTS 8", b"POINTS 80"),
        _ascii().replace(b"POLYGONS", b"LINES"),
        _ascii(faces=[(0, 1, 8)]),
        _ascii(faces=[(0, 1)]),
        _ascii().replace(b"0.5", b"half"),
        _binary()[:-40],
        _binary().replace(b"POLYGONS 6 30", b"POLYGONS 7 30"),
    ],
)
def test_what_is_no_surface_is_refused_by_name(tmp_path, content):
    (tmp_path / "box.vtk").write_bytes(content)
    with pytest.raises(ValueError, match=r"box.vtk is no surface in VTK's legacy format up to version 4.2 \(.+\)"):
        read_surface(tmp_path / "box.vtk")
    with pytest.raises(ValueError, match=r"none.vtk is missing"):
        read_surface(tmp_path / "none.vtk")
