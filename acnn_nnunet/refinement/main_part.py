"""Which pieces of a prediction are its anatomy: the debris that a bad image leaves is not, however large it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from acnn_nnunet.evaluation.masks.pieces import number_pieces
from acnn_nnunet.nnunet.cases import MAIN_SHARE, main_pieces
from acnn_nnunet.refinement.placement import Placement

TOO_LARGE = "the anatomy is larger than the prior's grid"
_OBJECT_SHARE = 0.5  # of the best piece's explained voxels, from which on another piece may be an object of its own
_AS_WELL = 0.05  # Dice by which an object of its own may resemble its reconstruction less than the best piece does


@dataclass(frozen=True)
class Explained:
    """How a part of a prediction and its reconstruction by a prior agree, on the prior's grid.

    Attributes:
        voxels: whose label both have.
        resemblance: Dice of the two anatomies.
    """

    voxels: int
    resemblance: float


@dataclass(frozen=True)
class MainPart:
    """The anatomy in a prediction.

    Attributes:
        anatomy: mask of its pieces, without islands.
        debris: mask of what does not belong to it, small islands near it aside.
    """

    anatomy: np.ndarray
    debris: np.ndarray


def find_main_part(
    foreground: np.ndarray,
    *,
    place: Callable[[np.ndarray], Placement],
    explain: Callable[[np.ndarray], Explained] | None = None,
) -> MainPart | str:
    """Return the anatomy in a prediction, or the reason why it is not of the prior's kind.

    Where the training labels are one piece, and the pieces together do not fit on the prior's grid, the anatomy is the
    piece of which the prior explains most voxels, with those that fit on the grid next to it. The rest is debris,
    unless it is explained as well as the anatomy: then there are several objects.

    Args:
        foreground: bool (Z, Y, X) with at least one voxel.
        place: lays the prior's grid around a mask.
        explain: judges a mask, where the training labels are one piece; None where they are several.
    """
    if explain is not None:
        return _explained_part(_Pieces(foreground), place, explain)
    main = main_pieces(foreground)
    if place(main).fits:
        return MainPart(main, np.zeros_like(main))
    pieces = _Pieces(main)
    objects = pieces.from_share(_OBJECT_SHARE)
    if len(objects) > 1 and place(pieces.mask(objects[:1])).fits:
        return _several(len(objects))
    return TOO_LARGE


def count_pieces(mask: np.ndarray) -> int:
    """Return the number of pieces of a mask; voxels that share a corner belong together."""
    return len(_Pieces(mask).order)


class _Pieces:
    """The pieces of a mask, the largest first."""

    def __init__(self, mask: np.ndarray):
        self.numbers = number_pieces(mask)[0]
        self.sizes = np.bincount(self.numbers.ravel())
        self.sizes[0] = 0
        self.order = [int(each) for each in np.argsort(-self.sizes, kind="stable") if self.sizes[each]]

    def mask(self, chosen: Sequence[int]) -> np.ndarray:
        is_chosen = np.zeros(len(self.sizes), dtype=bool)
        is_chosen[list(chosen)] = True
        return is_chosen[self.numbers]

    def from_share(self, share: float) -> list[int]:
        return [each for each in self.order if self.sizes[each] >= share * self.sizes[self.order[0]]]


def _explained_part(
    pieces: _Pieces, place: Callable[[np.ndarray], Placement], explain: Callable[[np.ndarray], Explained]
) -> MainPart | str:
    large = pieces.from_share(MAIN_SHARE)
    best = large[0]
    if len(large) > 1 and not place(pieces.mask(large)).fits:
        judged = {each: explain(pieces.mask([each])) for each in large}
        best = max(large, key=lambda each: judged[each].voxels)
        objects = [
            each
            for each, found in judged.items()
            if found.voxels >= _OBJECT_SHARE * judged[best].voxels
            and found.resemblance >= judged[best].resemblance - _AS_WELL
            and (each == best or not place(pieces.mask([best, each])).fits)
        ]
        if len(objects) > 1 and place(pieces.mask([best])).fits:
            return _several(len(objects))
    if not place(pieces.mask([best])).fits:
        return TOO_LARGE
    chosen = [best]
    chosen += [each for each in large if each != best and place(pieces.mask([*chosen, each])).fits]
    return MainPart(anatomy := pieces.mask(chosen), _debris(pieces, chosen, place(anatomy)))


def _debris(pieces: _Pieces, chosen: Sequence[int], placement: Placement) -> np.ndarray:
    """Return the mask of the pieces that were not chosen, without the small ones that reach into the grid."""
    near = set(np.unique(pieces.numbers[placement.box]).tolist())
    limit = MAIN_SHARE * pieces.sizes[chosen[0]]
    return pieces.mask(
        [each for each in pieces.order if each not in chosen and (each not in near or pieces.sizes[each] >= limit)]
    )


def _several(count: int) -> str:
    return f"there are {count} objects, further apart than the prior's grid is long"
