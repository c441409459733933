"""Changes of a slice that may mend a broken anatomical rule, each as small as it can be.

A slice is an array of labels `(Y, X)`. What a move gives may break other rules; the search in `planes.py` judges it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_closing, binary_fill_holes, binary_opening, distance_transform_edt, label

from acnn_nnunet.evaluation.anatomy import slices
from acnn_nnunet.evaluation.anatomy.rules import BACKGROUND, AnatomicalRule

_EIGHT = np.ones((3, 3), dtype=bool)
_RADII = (1, 2, 3, 5)  # voxels of openings and closings
_STEPS = 6  # of a growth into a bay


@dataclass(frozen=True)
class Part:
    """A rule's structure and its other one in a slice.

    Attributes:
        plane: labels `(Y, X)`, with a margin of background where the image has one.
        structure, other: bool masks.
        value, other_value: what a voxel of either is painted with; 0 for background.
        spacing_mm: of the slice.
        limit: of the rule, 0 where it has none.
    """

    plane: np.ndarray
    structure: np.ndarray
    other: np.ndarray
    value: int
    other_value: int
    spacing_mm: tuple[float, ...]
    limit: float

    def painted(self, mask: np.ndarray, value: int) -> np.ndarray:
        """Return the slice with a value in a mask."""
        painted = self.plane.copy()
        painted[mask] = value
        return painted

    def without(self, mask: np.ndarray) -> np.ndarray:
        """Return the slice without some of its voxels: each piece of them becomes what most surrounds it."""
        left = self.plane.copy()
        pieces, count = label(mask, _EIGHT)
        for number in range(1, count + 1):
            piece = pieces == number
            around = left[slices.dilated(piece) & ~piece]
            left[piece] = np.bincount(around).argmax() if around.size else 0
        return left


def propose(
    plane: np.ndarray,
    rule: AnatomicalRule,
    *,
    label_values: Mapping[str, tuple[int, ...]],
    spacing_mm: tuple[float, ...],
) -> Iterator[np.ndarray]:
    """Yield slices that keep a rule better than the given one does, or lack what breaks it."""
    values = {**label_values, BACKGROUND: (0,)}
    part = Part(
        plane=plane,
        structure=np.isin(plane, [value for name in rule.label for value in values[name]]),
        other=np.isin(plane, [value for name in rule.other for value in values[name]]),
        value=values[rule.label[0]][0],
        other_value=values[rule.other[0]][0] if rule.other else 0,
        spacing_mm=spacing_mm,
        limit=rule.limit or 0.0,
    )
    yield from _MOVES.get(rule.rule, _none)(part)
    yield part.without(part.structure)


def _none(part: Part) -> Iterator[np.ndarray]:
    yield from ()


def _join_pieces(part: Part) -> Iterator[np.ndarray]:
    """Drop all but the largest piece, or close what parts the pieces."""
    pieces, _ = label(part.structure, _EIGHT)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    yield part.without(part.structure & (pieces != sizes.argmax()))
    yield from _smoothed(part, binary_closing)


def _fill_pockets(part: Part) -> Iterator[np.ndarray]:
    """Fill what is cut off: with the structure, or with what may be there."""
    pieces, _ = label(np.pad(~part.structure, 1, constant_values=True), _EIGHT)
    cut_off = (pieces != pieces[0, 0])[1:-1, 1:-1] & ~part.structure & ~part.other
    if part.other_value:
        yield part.painted(cut_off, part.other_value)
    yield part.painted(cut_off, part.value)


def _fill_holes(part: Part) -> Iterator[np.ndarray]:
    """Fill what no path across faces joins to the outside: a hole may reach it across a corner."""
    yield part.painted(binary_fill_holes(part.structure) & ~part.structure, part.value)


def _fill_gap(part: Part) -> Iterator[np.ndarray]:
    """Fill what both enclose, each voxel with the nearer of the two, or all with one."""
    joined = part.structure | part.other
    gap = binary_fill_holes(joined) & ~joined
    nearer = distance_transform_edt(~part.structure) <= distance_transform_edt(~part.other)
    painted = part.painted(gap & nearer, part.value)
    painted[gap & ~nearer] = part.other_value
    yield painted
    yield part.painted(gap, part.value)
    yield part.painted(gap, part.other_value)


def _bridge(part: Part) -> Iterator[np.ndarray]:
    """Lead the structure to the other by the shortest way."""
    if not part.other.any():
        return
    ways = distance_transform_edt(~part.structure, part.spacing_mm) + distance_transform_edt(
        ~part.other, part.spacing_mm
    )
    free = ~part.structure & ~part.other
    if not free.any():
        return
    shortest = ways[free].min()
    for slack in (0.0, 0.5):
        way = free & (ways <= shortest + slack * min(part.spacing_mm))
        yield part.painted(way, part.value)
        yield part.painted(way, part.other_value)


def _part_contact(part: Part) -> Iterator[np.ndarray]:
    """Put a wall between the two: of the label that the structure touches most."""
    near = slices.dilated(part.structure) & ~part.structure & ~part.other & (part.plane > 0)
    if not near.any():
        return
    wall = int(np.bincount(part.plane[near]).argmax())
    inner = part.structure & slices.dilated(part.other)
    outer = part.other & slices.dilated(part.structure)
    yield part.painted(inner, wall)
    yield part.painted(outer, wall)


def _enclose(part: Part) -> Iterator[np.ndarray]:
    """Paint the open border, within the structure or around it."""
    open_to = ~part.structure & ~part.other
    yield part.painted(open_to & slices.dilated(part.structure), part.other_value)
    yield part.painted(part.structure & slices.dilated(open_to), part.other_value)


def _drop_apart(part: Part) -> Iterator[np.ndarray]:
    """Drop the pieces that do not touch the other."""
    pieces, _ = label(part.structure, _EIGHT)
    near = np.unique(pieces[slices.dilated(part.other)])
    yield part.without(part.structure & ~np.isin(pieces, near))
    yield from _bridge(part)


def _fill_bays(part: Part) -> Iterator[np.ndarray]:
    """Grow into the bays from within, by the fewest voxels that suffice, or cut off what makes them."""
    whole = binary_fill_holes(part.structure)
    if not whole.any():
        return
    framed = np.pad(whole, 1)[None]
    bay = slices.convex_hulls(framed)[0, 1:-1, 1:-1] & ~whole
    distance = distance_transform_edt(~whole)
    for reach in np.unique(distance[bay])[:_STEPS]:
        grown = bay & (distance <= reach)
        depth = slices.concavity_mm(np.pad(whole | grown, 1)[None], spacing_mm=part.spacing_mm)[0]
        if depth <= part.limit:
            yield part.painted(grown, part.value)
            break
    yield part.painted(bay, part.value)
    yield from _smoothed(part, binary_opening, first_only=True)


def _round_off(part: Part) -> Iterator[np.ndarray]:
    """Smooth the border."""
    yield from _smoothed(part, binary_closing)
    yield from _smoothed(part, binary_opening)
    yield from _fill_bays(part)


def _smoothed(part: Part, smooth: Callable[..., np.ndarray], *, first_only: bool = False) -> Iterator[np.ndarray]:
    """Yield the slice with a structure that was opened or closed by discs of rising radius."""
    whole = binary_fill_holes(part.structure)
    for radius in _RADII:
        grid = np.arange(-radius, radius + 1)
        disc = grid[:, None] ** 2 + grid[None] ** 2 <= radius**2
        changed = np.pad(whole, radius + 1)
        changed = smooth(changed, disc)[radius + 1 : -radius - 1, radius + 1 : -radius - 1]
        if (changed == whole).all():
            continue
        smoothed = part.without(part.structure & ~changed)
        smoothed[changed & ~whole] = part.value
        yield smoothed
        if first_only:
            return


_MOVES: dict[str, Callable[[Part], Iterator[np.ndarray]]] = {
    "one_piece": _join_pieces,
    "no_holes": _fill_holes,
    "enclosed_by": _enclose,
    "touches": _drop_apart,
    "no_pockets": _fill_pockets,
    "no_gap": _fill_gap,
    "adjoins": _bridge,
    "no_contact": _part_contact,
    "concavity": _fill_bays,
    "circularity": _round_off,
}
