"""Closed surfaces in VTK's legacy format, and the masks that they bound.

CETUS's truths are such surfaces, and its platform took them: see docs/reference/challenges.md.
"""

import re
from pathlib import Path

import numpy as np

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.safe_writes import write_text
from acnn_nnunet.files.volumes import Volume

_NUMBERS = {"float": ">f4", "double": ">f8"}


def read_surface(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a polygonal surface, ASCII or binary.

    Returns:
        The points `(P, 3)` as x, y, z in world coordinates, and the triangles `(T, 3)` as indices into them; polygons
        are cut into triangles.

    Raises:
        ValueError: naming the file, if it is missing or no polygons in VTK's legacy format up to version 4.2.
    """
    if not path.is_file():
        raise ValueError(f"{path.name} is missing")
    content = path.read_bytes()
    try:
        _, _, encoding, dataset, _ = content.split(b"\n", 4)
        if dataset.split() != [b"DATASET", b"POLYDATA"]:
            raise ValueError("its data set is no POLYDATA")
        binary = encoding.strip() == b"BINARY"
        point_count, number = _header(content, rb"POINTS\s+(\d+)\s+(float|double)")
        points = _numbers(content, number, 3 * int(point_count[0]), _NUMBERS[point_count[1].decode()], binary)
        cell_count, start = _header(content, rb"POLYGONS\s+(\d+)\s+(\d+)")
        cells = _numbers(content, start, int(cell_count[1]), ">i4", binary).astype(int)
        triangles = _triangles(cells, int(cell_count[0]))
        if triangles.min() < 0 or triangles.max() >= int(point_count[0]):
            raise ValueError("a polygon has a point that does not exist")
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path.name} is no surface in VTK's legacy format up to version 4.2 ({error})") from error
    return points.astype(float).reshape(-1, 3), triangles


def write_surface(path: Path, mask: Volume) -> None:
    """Write the surface halfway between the voxels of the mask and the others, in world coordinates, as ASCII.

    Raises:
        OSError: if it cannot be written.
    """
    from skimage.measure import marching_cubes

    inside = mask.values != 0
    points, triangles = np.empty((0, 3)), np.empty((0, 3), int)
    if inside.any():
        vertices, triangles, _, _ = marching_cubes(np.pad(inside, 1).astype(np.float32), 0.5)
        points = (vertices[:, ::-1].astype(float) - 1) @ _axes(mask.geometry).T + mask.geometry.origin_mm
    lines = ["# vtk DataFile Version 3.0", path.stem, "ASCII", "DATASET POLYDATA", f"POINTS {len(points)} double"]
    lines += ["{:.9g} {:.9g} {:.9g}".format(*point) for point in points]
    lines.append(f"POLYGONS {len(triangles)} {4 * len(triangles)}")
    lines += ["3 {} {} {}".format(*triangle) for triangle in triangles]
    write_text(path, "\n".join(lines) + "\n")


def fill_surface(points: np.ndarray, triangles: np.ndarray, grid: Geometry) -> np.ndarray:
    """Return the mask `(Z, Y, X)`, uint8, of the voxels with their centres inside a closed surface.

    A line along x through each row of voxels is inside after an odd number of crossings.

    Raises:
        ValueError: if the surface is not closed or encloses no voxel of the image.
    """
    corners = np.linalg.solve(_axes(grid), (points - grid.origin_mm).T).T[triangles]
    # No line meets an edge or a point: it would not be clear how often it crosses.
    corners += np.array((0.0, 1.3e-7, 2.1e-7))
    depth, height, width = grid.size
    crossings = np.zeros((depth, height, width + 1), np.uint8)
    for corner in corners:
        z, y, x = _hits(corner, height, depth)
        np.bitwise_xor.at(crossings, (z, y, np.clip(np.ceil(x), 0, width).astype(int)), 1)
    inside = np.bitwise_xor.accumulate(crossings, axis=2)
    if inside[:, :, -1].any():
        raise ValueError("the surface is not closed")
    if not inside.any():
        raise ValueError("the surface encloses no voxel of the image")
    return np.ascontiguousarray(inside[:, :, :width])


def _axes(grid: Geometry) -> np.ndarray:
    """Return the steps from voxel to voxel along x, y and z, as columns in world coordinates."""
    assert grid.direction is not None
    return np.reshape(grid.direction, (3, 3)) * grid.spacing_mm[::-1]


def _hits(corner: np.ndarray, height: int, depth: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return z and y of the voxel rows that a triangle `(3, 3)` in voxel coordinates x, y, z crosses, and where, x."""
    first = np.maximum(np.ceil(corner.min(axis=0)), 0).astype(int)
    end = np.minimum(np.floor(corner.max(axis=0)) + 1, (1, height, depth)).astype(int)
    z, y = (grid.ravel() for grid in np.meshgrid(np.arange(first[2], end[2]), np.arange(first[1], end[1])))
    edges = corner[1:, 1:] - corner[0, 1:]
    area = edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0]
    if area == 0 or len(z) == 0:
        return np.empty(0, int), np.empty(0, int), np.empty(0)
    along_y, along_z = y - corner[0, 1], z - corner[0, 2]
    second = (along_y * edges[1, 1] - along_z * edges[1, 0]) / area
    third = (along_z * edges[0, 0] - along_y * edges[0, 1]) / area
    hit = (second >= 0) & (third >= 0) & (second + third <= 1)
    x = corner[0, 0] + second * (corner[1, 0] - corner[0, 0]) + third * (corner[2, 0] - corner[0, 0])
    return z[hit], y[hit], x[hit]


def _header(content: bytes, pattern: bytes) -> tuple[tuple[bytes, ...], int]:
    """Return the groups of a header line and where its data begin."""
    match = re.search(rb"^" + pattern + rb"[ \t\r]*\n", content, flags=re.MULTILINE)
    if match is None:
        raise ValueError(f"there is no {pattern.split(bytes([92]))[0].decode()}")
    return match.groups(), match.end()


def _numbers(content: bytes, start: int, count: int, dtype: str, binary: bool) -> np.ndarray:
    if binary:
        return np.frombuffer(content, dtype, count, start)
    words = content[start:].split(maxsplit=count)[:count]
    if len(words) < count:
        raise ValueError(f"{count} numbers were announced, {len(words)} are there")
    return np.array(words, dtype=float)


def _triangles(cells: np.ndarray, count: int) -> np.ndarray:
    """Cut polygons, each a number of points and the points, into triangles that share their first point."""
    triangles: list[tuple[int, int, int]] = []
    start = 0
    for _ in range(count):
        polygon = cells[start + 1 : start + 1 + cells[start]]
        triangles += [(polygon[0], polygon[k], polygon[k + 1]) for k in range(1, len(polygon) - 1)]
        start += 1 + cells[start]
    if not triangles:
        raise ValueError("it has no triangles")
    return np.array(triangles)
