"""The nearest slice that keeps the rules about slices: a search from the given one by small moves."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule, check_rules
from acnn_nnunet.files.geometry import foreground_box
from acnn_nnunet.refinement.repair.moves import propose

_MARGIN = 8  # voxels around the anatomy that a repair may reach
_MOST_SLICES = 100  # that a search looks at
_PRICES, _LEAST_PRICE = (0.03, 0.3), 10  # of a broken rule, in voxels: shares of the anatomy's, and at least these


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
    rule that is still broken counts like 3 % of the anatomy's. If it finds nothing, a second search makes for the
    fewest broken rules: there each counts like 30 %.

    Args:
        plane: labels `(Y, X)`.
        rules: about slices.
        label_values: the values of each label.
        spacing_mm: of the slice.
        others: slices of the same size from elsewhere, such as a shape prior, that may be taken as they are.
    """
    others = list(others)
    box = _box([plane, *others])
    search = _Search(rules, label_values, spacing_mm, plane.size)
    for price in _PRICES:
        found = search.run(plane[box], [other[box] for other in others], price)
        if found is not None:
            repaired = plane.copy()
            repaired[box] = found
            return repaired
    return None


@dataclass
class _Search:
    """A best-first search; what it has learnt of a slice's broken rules serves the next one."""

    rules: Sequence[AnatomicalRule]
    label_values: Mapping[str, tuple[int, ...]]
    spacing_mm: tuple[float, ...]
    slice_voxels: int
    known: dict[bytes, list[AnatomicalRule]] = field(default_factory=dict)

    def run(self, start: np.ndarray, others: Sequence[np.ndarray], price: float) -> np.ndarray | None:
        """Return the nearest slice that keeps all rules, None if none is among those that are looked at."""
        voxels = max(_LEAST_PRICE, round(price * np.count_nonzero(start)))
        order = count()
        queue: list[tuple[int, int, np.ndarray, list[AnatomicalRule]]] = []
        seen: set[bytes] = set()

        def add(candidate: np.ndarray) -> None:
            if len(seen) >= _MOST_SLICES or (key := candidate.tobytes()) in seen:
                return
            seen.add(key)
            broken = self._broken(candidate, key)
            cost = int(np.count_nonzero(candidate != start)) + voxels * len(broken)
            heapq.heappush(queue, (cost, next(order), candidate, broken))

        for candidate in (start, *others):
            add(candidate)
        while queue:
            _, _, current, broken = heapq.heappop(queue)
            if not broken:
                return current
            for rule in broken:
                for move in propose(current, rule, label_values=self.label_values, spacing_mm=self.spacing_mm):
                    add(move)
        return None

    def _broken(self, candidate: np.ndarray, key: bytes) -> list[AnatomicalRule]:
        if key not in self.known:
            checks = check_rules(
                candidate,
                self.rules,
                label_values=self.label_values,
                spacing_mm=self.spacing_mm,
                slice_voxels=self.slice_voxels,
            )
            self.known[key] = [check.rule for check in checks if check.violation]
        return self.known[key]


def _box(planes: Sequence[np.ndarray]) -> tuple[slice, ...]:
    anywhere = np.any([plane > 0 for plane in planes], axis=0)
    found = foreground_box(anywhere)
    if found is None:
        return (slice(None),) * anywhere.ndim
    return tuple(
        slice(max(each.start - _MARGIN, 0), min(each.stop + _MARGIN, n))
        for each, n in zip(found, anywhere.shape, strict=True)
    )
