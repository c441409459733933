"""Pieces of a reference that a prediction detects, misses and invents."""

from dataclasses import dataclass
from typing import Literal

import cc3d
import numpy as np

CONNECTIVITY: dict[int, Literal[8, 26]] = {2: 8, 3: 26}
"""Of a mask's axes: voxels that share a corner belong together."""


@dataclass(frozen=True)
class Pieces:
    """Numbers of connected pieces; voxels that share a corner belong together.

    Attributes:
        detected: pieces of the reference that are matched by one of the prediction's.
        missed: pieces of the reference without a match.
        invented: pieces of the prediction without a match.
    """

    detected: int
    missed: int
    invented: int

    @property
    def predicted(self) -> int:
        """All pieces of the prediction."""
        return self.detected + self.invented


def count_pieces(reference: np.ndarray, prediction: np.ndarray, *, least_iou: float) -> Pieces:
    """Match pieces one to one, in the order of their intersection over union, down to the least.

    Args:
        reference: bool mask.
        prediction: bool mask, the same shape.
        least_iou: above 0, up to 1; pieces of this IoU still match.
    """
    first, num_first = number_pieces(reference)
    second, num_second = number_pieces(prediction)
    both = reference & prediction
    if num_first == num_second == 1:
        overlap = np.count_nonzero(both)
        detected = int(overlap / np.count_nonzero(reference | prediction) >= least_iou)
        return Pieces(detected, 1 - detected, 1 - detected)
    numbers, overlaps = np.unique(first[both].astype(np.int64) * (num_second + 1) + second[both], return_counts=True)
    pairs = np.divmod(numbers, num_second + 1)
    sizes = [np.bincount(pieces.ravel()) for pieces in (first, second)]
    unions = sizes[0][pairs[0]] + sizes[1][pairs[1]] - overlaps
    ious = overlaps / unions
    taken: tuple[set[int], set[int]] = (set(), set())
    for index in np.argsort(-ious, kind="stable"):
        one, other = int(pairs[0][index]), int(pairs[1][index])
        if ious[index] >= least_iou and one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
    detected = len(taken[0])
    return Pieces(detected, num_first - detected, num_second - detected)


def number_pieces(mask: np.ndarray, connectivity: Literal[4, 6, 8, 26] | None = None) -> tuple[np.ndarray, int]:
    """Return the pieces of a bool mask, 2D or 3D, numbered from 1, and how many there are.

    Args:
        mask: to be taken apart.
        connectivity: of pixels or voxels of a piece; None joins those that share a corner.
    """
    # cc3d 4.1.1 takes bool masks of two axes another way, which numbers some background, and fails on some of one axis.
    voxels = np.ascontiguousarray(mask).view(np.uint8)
    pieces, count = cc3d.connected_components(
        voxels, connectivity=connectivity or CONNECTIVITY[mask.ndim], return_N=True
    )
    return pieces, int(count)
