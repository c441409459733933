"""Shape of a structure slice by slice: pieces, pockets, gaps, contact, concavity, circularity.

These are the quantities behind the criteria for short-axis cardiac MR of Painchaud et al., "Cardiac segmentation with
strong anatomical guarantees", IEEE TMI 39(11), 2020. Masks are bool `(slices, Y, X)`; each slice has a frame of
background one voxel wide. So all slices are looked at as one tall image: nothing reaches from one to the next but the
outside. Each function returns a number per slice, NaN where it does not apply.
"""

from typing import Literal

import edt
import numpy as np

from acnn_nnunet.evaluation.masks.pieces import number_pieces

# Up to this share of a slice's voxels (4 of 256 x 256) a gap counts as none, and so does contact of a single voxel.
_LEAST_GAP = 2.0**-14
_LEAST_CONTACT = 2
_BLOCK = 9  # voxels of the smallest bay that is deeper than its rim
_ON_THE_HULL = 1e-9  # voxels; a centre on the hull's edge lies within it
_ROUNDING = 1e-6  # of a distance in float32, relative


def main_piece_voxels(structure: np.ndarray) -> np.ndarray:
    """Count the voxels of each slice's largest piece; voxels that share a corner belong together."""
    pieces = _components(structure, 8)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return sizes[pieces].reshape(len(structure), -1).max(axis=1)


def pocket_voxels(structure: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Count the voxels of neither mask that the structure cuts off from the outside; paths may step across corners."""
    pieces = _components(~structure, 8)
    return _per_slice(pieces != pieces[0, 0, 0], ~structure, ~other)


def gap_voxels(structure: np.ndarray, other: np.ndarray, *, slice_voxels: int) -> np.ndarray:
    """Count the voxels between two structures: enclosed by both together, and in no hole of one without the other.

    Paths go across faces. Up to 1/16384 of the slice's voxels count as none.
    """
    joined = structure | other | _holes_without(structure, other) | _holes_without(other, structure)
    counts = _per_slice(filled(joined), ~joined)
    return np.where(counts > slice_voxels * _LEAST_GAP, counts, 0)


def distance_beyond_a_corner_mm(
    structure: np.ndarray, other: np.ndarray, *, spacing_mm: tuple[float, ...]
) -> np.ndarray:
    """Return the distance from the structure, dilated by one voxel, to `other`: 0 if they share a corner.

    NaN where either is absent.
    """
    near = dilated(structure)
    both = structure.any(axis=(1, 2)) & other.any(axis=(1, 2))
    apart = np.flatnonzero(both & ~(near & other).any(axis=(1, 2)))
    distances = np.where(both, 0.0, np.nan)
    for index in apart:
        distances[index] = edt.edt(~other[index], anisotropy=spacing_mm)[near[index]].min()
    return distances


def contact_voxels(structure: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Count the structure's voxels that share a corner with `other`; a single one counts as none."""
    counts = _per_slice(structure, dilated(other))
    return np.where(counts >= _LEAST_CONTACT, counts, 0)


def concavity_mm(structure: np.ndarray, *, spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Return how deep the bays of the filled structure reach into its convex hull.

    A bay is what the hull has beyond the filled structure, less a rim of one voxel. Its depth is the largest distance
    of its voxels to the nearest one outside of the hull. One voxel alone has no bay.
    """
    whole = filled(structure)
    hull = convex_hulls(whole)
    bay = hull & ~whole
    depths = np.zeros(len(structure))
    for index in np.flatnonzero(_per_slice(bay) >= _BLOCK):
        around = _box_and_rim(hull[index])  # of all voxels outside of a hull, the nearest lies next to its box
        deep = ~dilated(~bay[index][around])
        if deep.any():
            depth = float(edt.edt(np.ascontiguousarray(hull[index][around]), anisotropy=spacing_mm)[deep].max())
            depths[index] = depth * (1 - _ROUNDING)
    return depths


def _box_and_rim(plane: np.ndarray) -> tuple[slice, slice]:
    """Return the box of a mask that is not empty, with the voxels next to it."""
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    return slice(max(rows[0] - 1, 0), rows[-1] + 2), slice(max(columns[0] - 1, 0), columns[-1] + 2)


def circularity(structure: np.ndarray, *, enough: float = np.inf) -> np.ndarray:
    """Return 4π area / perimeter² of the filled structure, in voxels: 1 for a disc, less for what is not round.

    NaN where there is no perimeter, as for one voxel alone. It runs through the centres of the border's voxels.

    Args:
        structure: bool `(slices, Y, X)`.
        enough: where a lower bound of the circularity reaches this, the bound is returned, which is faster.
    """
    from skimage.measure import perimeter

    whole = filled(structure)
    areas = _per_slice(whole)
    inner = whole.copy()
    inner[:, 1:-1, 1:-1] &= whole[:, 2:, 1:-1] & whole[:, :-2, 1:-1] & whole[:, 1:-1, 2:] & whole[:, 1:-1, :-2]
    border = areas - _per_slice(inner)
    # No step from one border voxel to the next is longer than a diagonal.
    values = np.divide(4 * np.pi * areas, 2.0 * border**2, out=np.full(len(whole), np.nan), where=border > 1)
    for index in np.flatnonzero(values < enough):
        length = float(perimeter(whole[index], 4))
        values[index] = 4 * np.pi * areas[index] / length**2 if length > 0 else np.nan
    return values


def filled(mask: np.ndarray) -> np.ndarray:
    """Return a mask with its holes; what no path across faces joins to the outside is a hole."""
    background = _components(~mask, 4)
    return background != background[0, 0, 0]


def dilated(mask: np.ndarray) -> np.ndarray:
    """Return a mask with all voxels of its slices that share a corner with it."""
    wide = mask.copy()
    wide[..., 1:] |= mask[..., :-1]
    wide[..., :-1] |= mask[..., 1:]
    tall = wide.copy()
    tall[..., 1:, :] |= wide[..., :-1, :]
    tall[..., :-1, :] |= wide[..., 1:, :]
    return tall


def convex_hulls(mask: np.ndarray) -> np.ndarray:
    """Return the voxels with their centre in the convex hull of a mask, slice by slice.

    A slice's hull is that of the middles of all voxel edges, as in scikit-image's `convex_hull_image`, which takes 20
    times as long.
    """
    rows = mask.any(axis=2)
    slice_index, row = np.nonzero(rows)
    if not len(row):
        return np.zeros_like(mask)
    first = mask.argmax(axis=2)[rows]
    last = mask.shape[2] - 1 - mask[:, :, ::-1].argmax(axis=2)[rows]
    left, right = _lower_edges(slice_index, row, first), _lower_edges(slice_index, row, -last)
    at = np.arange(mask.shape[1])
    hull = np.zeros_like(mask)
    columns = np.arange(mask.shape[2])
    for index in np.unique(slice_index):
        low, high = (np.interp(at, y, x, left=np.inf, right=np.inf) for y, x in (left[int(index)], right[int(index)]))
        hull[index] = (columns >= low[:, None] - _ON_THE_HULL) & (columns <= -high[:, None] + _ON_THE_HULL)
    return hull


def _lower_edges(
    slice_index: np.ndarray, row: np.ndarray, first: np.ndarray
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return, by slice, rows and columns of the corners of the lower convex edge of voxels that begin at `first`."""
    # The middles of a voxel's edges: left of it, above and below; of several in one row the leftmost.
    group = np.concatenate([slice_index] * 3)
    y, x = np.concatenate([row, row - 0.5, row + 0.5]), np.concatenate([first - 0.5, first, first])
    order = np.lexsort((x, y, group))
    group, y, x = group[order], y[order], x[order]
    fresh = np.ones(len(y), dtype=bool)
    fresh[1:] = (group[1:] != group[:-1]) | (y[1:] != y[:-1])
    group, y, x = group[fresh], y[fresh], x[fresh]
    while True:
        # A point on the line between its neighbours, or to the right of it, is no corner.
        keep = np.ones(len(y), dtype=bool)
        same = (group[2:] == group[1:-1]) & (group[1:-1] == group[:-2])
        beyond = (x[1:-1] - x[:-2]) * (y[2:] - y[:-2]) >= (x[2:] - x[:-2]) * (y[1:-1] - y[:-2])
        keep[1:-1] = ~(same & beyond)
        if keep.all():
            break
        group, y, x = group[keep], y[keep], x[keep]
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    return {
        int(group[start]): (y[start:stop], x[start:stop])
        for start, stop in zip(starts, np.r_[starts[1:], len(y)], strict=True)
    }


def _holes_without(structure: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the holes of a structure that hold nothing of another."""
    pieces = _components(~structure, 4)
    keep = np.ones(int(pieces.max()) + 1, dtype=bool)
    keep[[0, pieces[0, 0, 0]]] = False
    keep[pieces[other]] = False
    return keep[pieces]


def _components(mask: np.ndarray, connectivity: Literal[4, 8]) -> np.ndarray:
    """Return the pieces of framed slices, numbered through; the outside of all slices is one piece."""
    return number_pieces(mask.reshape(-1, mask.shape[2]), connectivity)[0].reshape(mask.shape)


def _per_slice(mask: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Count the voxels of each slice that are in all masks."""
    for other in others:
        mask = mask & other
    return np.count_nonzero(mask, axis=(1, 2))
