"""How much of a structure breaks an anatomical rule, slice by slice or in the whole volume.

Each measure returns two arrays: what breaks the rule, and what could. For rules about slices they have one entry per
slice, for others a single one. docs/reference/anatomical_rules.md gives the definitions in words.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from acnn_nnunet.evaluation.anatomy import slices
from acnn_nnunet.evaluation.masks.scores import largest_component

Shares = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Scene:
    """A structure and its surroundings in one label map, framed by a voxel of background on each side.

    Attributes:
        structure: bool `(Z, Y, X)` or `(Y, X)`, not empty.
        other: bool, the same shape; empty for rules about one structure.
        axis: the axis across the slices; None for rules about the volume, and for images of two axes.
        spacing_mm: voxel size in array order.
        limit: of the rule, 0 where it has none.
        slice_voxels: voxels of a slice of the whole image.
        left_mm: per axis, how far a step of one voxel leads to the patient's left; None where no file tells.
    """

    structure: np.ndarray
    other: np.ndarray
    axis: int | None
    spacing_mm: tuple[float, ...]
    limit: float
    slice_voxels: int
    left_mm: tuple[float, ...] | None

    @property
    def plane_spacing_mm(self) -> tuple[float, ...]:
        """The spacing within a slice."""
        return tuple(size for axis, size in enumerate(self.spacing_mm) if axis != self.axis)

    @cached_property
    def stacks(self) -> tuple[np.ndarray, np.ndarray]:
        """Structure and other as `(slices, Y, X)`; an image of two axes is its own slice."""
        return self._stack(self.structure), self._stack(self.other)

    def counts(self, mask: np.ndarray) -> np.ndarray:
        """Return the voxels of a mask: per slice, or of the volume."""
        across = None if self.axis is None else tuple(i for i in range(mask.ndim) if i != self.axis)
        return np.atleast_1d(np.count_nonzero(mask, axis=across))

    def _stack(self, mask: np.ndarray) -> np.ndarray:
        return mask[None] if mask.ndim == 2 else np.moveaxis(mask, self.axis or 0, 0)


def in_pieces(scene: Scene) -> Shares:
    """Count the voxels outside of the largest piece; voxels that share a corner belong together."""
    total = scene.counts(scene.structure)
    if scene.axis is None:
        return total - np.count_nonzero(largest_component(scene.structure)), total
    return total - slices.main_piece_voxels(scene.stacks[0]), total


def with_holes(scene: Scene) -> Shares:
    """Count the voxels of holes in the filled structure; what no path across faces joins to the outside is a hole."""
    from scipy.ndimage import binary_fill_holes

    filled = binary_fill_holes(scene.structure, structure=_neighbourhood(scene.structure.ndim, scene.axis, 1))
    total = scene.counts(filled)
    return total - scene.counts(scene.structure), total


def open_border(scene: Scene) -> Shares:
    """Count the voxel faces of the structure's border that have neither itself nor `other` behind them.

    In the plane, faces along the slices alone count, and those of the base do not, where a ventricle may be open: of
    the structure's first and last slice the one that holds more of it, if it has more than one.
    """
    structure = scene.structure
    if scene.axis is not None:
        profile = scene.counts(structure)
        present = np.flatnonzero(profile)
        if len(present) > 1:
            base = present[0] if profile[present[0]] > profile[present[-1]] else present[-1]
            structure = structure.copy()
            np.moveaxis(structure, scene.axis, 0)[base] = False
    border = enclosed = np.zeros_like(scene.counts(structure))
    for here, there in _neighbours(structure.ndim, scene.axis):
        faces = np.zeros_like(structure)
        faces[here] = structure[here] & ~structure[there]
        border = border + scene.counts(faces)
        faces[here] &= scene.other[there]
        enclosed = enclosed + scene.counts(faces)
    return border - enclosed, border


def apart(scene: Scene) -> Shares:
    """Count the voxels in pieces, of a slice where in the plane, that share no face with `other`."""
    from scipy.ndimage import label

    structure, ndim = scene.structure, scene.structure.ndim
    pieces, count = label(structure, _neighbourhood(ndim, scene.axis, ndim))
    touching = np.zeros(count + 1, dtype=bool)
    for here, there in _neighbours(ndim, scene.axis):
        touching[pieces[here][scene.other[there]]] = True
    return scene.counts(structure & ~touching[pieces]), scene.counts(structure)


def right_of(scene: Scene) -> Shares:
    """Count the structure's voxels that do not lie to the left of the centre of `other`.

    Nothing is counted where no file tells left from right, or `other` is absent.
    """
    if scene.left_mm is None or not scene.other.any():
        return np.zeros(1, int), np.zeros(1, int)
    places, others = (np.argwhere(mask) @ np.array(scene.left_mm) for mask in (scene.structure, scene.other))
    return np.array([np.count_nonzero(places <= others.mean())]), np.array([len(places)])


def pockets(scene: Scene) -> Shares:
    """Count the slices with voxels that the structure cuts off, less those of `other`."""
    return _slices_beyond(scene, slices.pocket_voxels(*scene.stacks) > 0)


def gaps(scene: Scene) -> Shares:
    """Count the slices with voxels between the structure and `other`."""
    return _slices_beyond(scene, slices.gap_voxels(*scene.stacks, slice_voxels=scene.slice_voxels) > 0)


def distant(scene: Scene) -> Shares:
    """Count the slices in which structure and `other` do not share a corner; those without `other` do not apply."""
    distances = slices.distance_beyond_a_corner_mm(*scene.stacks, spacing_mm=scene.plane_spacing_mm)
    return _slices_beyond(scene, distances > 0, applies=~np.isnan(distances))


def contacts(scene: Scene) -> Shares:
    """Count the slices in which two voxels of the structure or more share a corner with `other`."""
    return _slices_beyond(scene, slices.contact_voxels(*scene.stacks) > 0)


def too_concave(scene: Scene) -> Shares:
    """Count the slices in which the structure is concave by more than the limit, in mm."""
    depths_mm = slices.concavity_mm(scene.stacks[0], spacing_mm=scene.plane_spacing_mm)
    return _slices_beyond(scene, depths_mm > scene.limit)


def not_round(scene: Scene) -> Shares:
    """Count the slices in which the structure's circularity is below the limit; single voxels do not apply."""
    values = slices.circularity(scene.stacks[0], enough=scene.limit)
    return _slices_beyond(scene, values < scene.limit, applies=~np.isnan(values))


VOLUME_MEASURES: dict[str, Callable[[Scene], Shares]] = {
    "one_piece": in_pieces,
    "no_holes": with_holes,
    "enclosed_by": open_border,
    "touches": apart,
    "left_of": right_of,
}
"""Measures of a volume, and of slices where a rule says `in_plane`."""

SLICE_MEASURES: dict[str, Callable[[Scene], Shares]] = {
    "no_pockets": pockets,
    "no_gap": gaps,
    "adjoins": distant,
    "no_contact": contacts,
    "concavity": too_concave,
    "circularity": not_round,
}
"""Measures of slices alone."""

MEASURES = VOLUME_MEASURES | SLICE_MEASURES


def _slices_beyond(scene: Scene, broken: np.ndarray, *, applies: np.ndarray | bool = True) -> Shares:
    present = scene.stacks[0].any(axis=(1, 2)) & applies
    return (broken & present).astype(int), present.astype(int)


def _neighbourhood(ndim: int, axis: int | None, connectivity: int) -> np.ndarray:
    """Return SciPy's neighbourhood of a voxel, limited to its slice across `axis`."""
    from scipy.ndimage import generate_binary_structure

    structure = generate_binary_structure(ndim, connectivity)
    if axis is not None:
        np.moveaxis(structure, axis, 0)[[0, 2]] = False
    return structure


def _neighbours(ndim: int, axis: int | None) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Return index pairs that lay each voxel on its neighbour across a face, both ways, but not across `axis`."""
    pairs = []
    for along in range(ndim):
        if along != axis:
            low, high = ((slice(None),) * along + (part,) for part in (slice(1, None), slice(-1)))
            pairs += [(low, high), (high, low)]
    return pairs
