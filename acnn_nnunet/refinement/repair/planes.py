"""The nearest slice that keeps the rules about slices: a search from the given one by small moves."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from itertools import count

import numpy as np
from scipy.ndimage import find_objects

from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule, check_rules
from acnn_nnunet.refinement.repair.moves import propose

_MARGIN = 8  # voxels around the anatomy that a repair may reach
_MOST_SLICES = 250  # that the search looks at
_PRICE, _LEAST_PRICE = 0.03, 10  # of a broken rule, in voxels: a share of the anatomy's, and at least these


def repair_plane(
    plane: np.ndarray,
    rules: Sequence[AnatomicalRule],
    *,
    label_values: Mapping[str, tuple[int, ...]],
    spacing_mm: tuple[float, ...],
    others: Iterable[np.ndarray] = (),
) -> np.ndarray | None:
    """Return the slice nearest to a given one, in changed voxels, that keeps all rules; None if none is found.

    The search goes on, by the moves for broken rules, from the slice with the fewest changed voxels so far, where a
    rule that is still broken counts like 3 % of the anatomy's.

    Args:
        plane: labels `(Y, X)`.
        rules: about slices.
        label_values: the values of each label.
        spacing_mm: of the slice.
        others: slices of the same size from elsewhere, such as a shape prior, that may be taken as they are.
    """
    others = list(others)
    box = _box([plane, *others])
    start = plane[box]
    price = max(_LEAST_PRICE, round(_PRICE * np.count_nonzero(start)))
    order = count()
    queue: list[tuple[int, int, np.ndarray, list[AnatomicalRule]]] = []
    seen: set[bytes] = set()

    def add(candidate: np.ndarray) -> None:
        if len(seen) >= _MOST_SLICES or (key := candidate.tobytes()) in seen:
            return
        seen.add(key)
        checks = check_rules(
            candidate, rules, label_values=label_values, spacing_mm=spacing_mm, slice_voxels=plane.size
        )
        broken = [check.rule for check in checks if check.violation]
        cost = int(np.count_nonzero(candidate != start)) + price * len(broken)
        heapq.heappush(queue, (cost, next(order), candidate, broken))

    for candidate in (start, *(other[box] for other in others)):
        add(candidate)
    while queue:
        _, _, current, broken = heapq.heappop(queue)
        if not broken:
            repaired = plane.copy()
            repaired[box] = current
            return repaired
        for rule in broken:
            for move in propose(current, rule, label_values=label_values, spacing_mm=spacing_mm):
                add(move)
    return None


def _box(planes: Sequence[np.ndarray]) -> tuple[slice, ...]:
    anywhere = np.any([plane > 0 for plane in planes], axis=0)
    found = find_objects(anywhere.astype(np.uint8))
    if not found:
        return (slice(None),) * anywhere.ndim
    return tuple(
        slice(max(each.start - _MARGIN, 0), min(each.stop + _MARGIN, n))
        for each, n in zip(found[0], anywhere.shape, strict=True)
    )
