"""The nearest slice that keeps the rules about slices: a search from the given one by small moves."""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from acnn_nnunet.evaluation.anatomy.rules import BACKGROUND, AnatomicalRule, check_rules
from acnn_nnunet.files.geometry import foreground_box
from acnn_nnunet.refinement.repair.moves import propose

_MARGIN = 8  # voxels around the anatomy that a repair may reach
_PRICE, _LEAST_PRICE = 0.03, 10  # of a broken rule, in voxels: a share of the anatomy's, and at least so many
_MOST_SLICES = 60  # that the repair of one slice looks at
_RULES_AT_ONCE = 2  # broken rules that moves are tried for; the others come later
_OTHERS_FROM = 0.1  # of a slice's anatomy that changes
MOST_TRIES = 200
"""Slices that the repair of a label map looks at, unless the user says otherwise."""


@dataclass
class Tries:
    """How many slices a repair may still look at.

    Attributes:
        left: their number.
    """

    left: int

    def take(self) -> bool:
        """Count one, and return whether it was left."""
        self.left -= 1
        return self.left >= 0


def repair_plane(
    plane: np.ndarray,
    rules: Sequence[AnatomicalRule],
    *,
    label_values: Mapping[str, tuple[int, ...]],
    spacing_mm: tuple[float, ...],
    most_voxels: int | None = None,
    tries: Tries | None = None,
    others: Callable[[], Iterable[np.ndarray]] = tuple,
) -> np.ndarray | None:
    """Return the nearest slice found, in changed voxels, that keeps all rules; None if none is found.

    Moves for the first broken rules lead from slice to slice, from the one with the fewest changed voxels so far, where
    a rule that is still broken counts like 3 % of the anatomy.

    Args:
        plane: labels `(Y, X)`.
        rules: about slices.
        label_values: the values of each label.
        spacing_mm: of the slice.
        most_voxels: that may change; None for any number.
        tries: slices that may be looked at; None for any number, up to 60.
        others: gives slices of the same size from elsewhere, such as a shape prior, that may be taken as they are;
            called where moves change more than a tenth of the anatomy.
    """
    box = _box(plane)
    limit = plane.size + 1 if most_voxels is None else most_voxels + 1
    found = _Search(rules, label_values, spacing_mm, plane.size, plane[box]).run(limit, tries or Tries(_MOST_SLICES))
    repaired = None
    if found is not None:
        repaired = plane.copy()
        repaired[box] = found
        limit = int(np.count_nonzero(repaired != plane))
    if limit <= _OTHERS_FROM * np.count_nonzero(plane):
        return repaired
    whole = _Search(rules, label_values, spacing_mm, plane.size, plane)
    return _first_kept(whole, others(), limit, otherwise=repaired)


def _first_kept(
    search: "_Search", others: Iterable[np.ndarray], limit: int, *, otherwise: np.ndarray | None
) -> np.ndarray | None:
    """Return the nearest of other slices that keeps all rules and changes fewer voxels than a limit."""
    changes = [(int(np.count_nonzero(other != search.start)), index, other) for index, other in enumerate(others)]
    for changed, _, other in sorted(changes, key=lambda each: each[:2]):
        if changed >= limit:
            break
        if not search.broken(other):
            return other
    return otherwise


@dataclass
class _Search:
    """A best-first search from a slice."""

    rules: Sequence[AnatomicalRule]
    label_values: Mapping[str, tuple[int, ...]]
    spacing_mm: tuple[float, ...]
    slice_voxels: int
    start: np.ndarray
    known: dict[tuple[AnatomicalRule, tuple[bytes, ...]], bool] = field(default_factory=dict)

    def run(self, limit: int, tries: Tries) -> np.ndarray | None:
        """Return the nearest slice that keeps all rules, among those that are looked at and change less than a limit.

        Args:
            limit: changed voxels that are too many.
            tries: slices that may be looked at.
        """
        voxels = max(_LEAST_PRICE, round(_PRICE * np.count_nonzero(self.start)))
        order, looked_at = count(), 0
        queue: list[tuple[int, int, np.ndarray, list[AnatomicalRule] | None]] = [(0, next(order), self.start, None)]
        seen = {self.start.tobytes()}
        while queue:
            cost, number, current, broken = heapq.heappop(queue)
            if broken is None:
                if looked_at == _MOST_SLICES or not tries.take():
                    return None
                looked_at += 1
                broken = self.broken(current)
                heapq.heappush(queue, (cost + voxels * len(broken), number, current, broken))
                continue
            if not broken:
                return current
            for rule in broken[:_RULES_AT_ONCE]:
                for move in propose(current, rule, label_values=self.label_values, spacing_mm=self.spacing_mm):
                    changed = int(np.count_nonzero(move != self.start))
                    if changed < limit and (key := move.tobytes()) not in seen:
                        seen.add(key)
                        # No slice costs less than its changed voxels: its rules are looked at when it comes up.
                        heapq.heappush(queue, (changed, next(order), move, None))
        return None

    def broken(self, candidate: np.ndarray) -> list[AnatomicalRule]:
        """Return the rules that a slice breaks; what is known of a rule's structures is not measured again."""
        masks = {name: np.isin(candidate, numbers).tobytes() for name, numbers in self.label_values.items()}
        masks[BACKGROUND] = (candidate == 0).tobytes()
        keys = [(rule, tuple(masks[name] for name in (*rule.label, *rule.other))) for rule in self.rules]
        new = [key for key in keys if key not in self.known]
        checks = check_rules(
            candidate,
            [key[0] for key in new],
            label_values=self.label_values,
            spacing_mm=self.spacing_mm,
            slice_voxels=self.slice_voxels,
        )
        self.known |= {key: bool(check.violation) for key, check in zip(new, checks, strict=True)}
        return [rule for rule, key in zip(self.rules, keys, strict=True) if self.known[key]]


def _box(plane: np.ndarray) -> tuple[slice, ...]:
    found = foreground_box(plane > 0)
    if found is None:
        return (slice(None),) * plane.ndim
    return tuple(
        slice(max(each.start - _MARGIN, 0), min(each.stop + _MARGIN, n))
        for each, n in zip(found, plane.shape, strict=True)
    )
