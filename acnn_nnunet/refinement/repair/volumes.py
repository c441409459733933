"""The nearest label map that keeps its dataset's rules: slices first, then the volume, by the least change."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule, RuleCheck, check_rules, slice_axis
from acnn_nnunet.evaluation.masks.scores import largest_component
from acnn_nnunet.refinement.repair.islands import without_islands
from acnn_nnunet.refinement.repair.planes import MOST_TRIES, Tries, repair_plane

_ROUNDS = 4
MOST_CHANGED = 0.2
"""Share of the anatomy's voxels that a repair may change, unless the user says otherwise."""


@dataclass(frozen=True)
class Repair:
    """What became of a label map.

    Attributes:
        values: the label map that keeps the rules, or the given one where none was found within the limit.
        broken_before: names of the rules that were broken.
        share: changed voxels, of the anatomy's; dropped islands count to neither.
        reason: why it is left as it was; empty where it keeps the rules.
    """

    values: np.ndarray
    broken_before: tuple[str, ...] = ()
    share: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Repairer:
    """Repairs label maps.

    Attributes:
        rules: that they have to keep.
        label_values: the values of each label.
        most_changed: share of the anatomy's voxels that may change.
        most_tries: slices that the search for a label map's repair looks at.
    """

    rules: tuple[AnatomicalRule, ...]
    label_values: Mapping[str, tuple[int, ...]]
    most_changed: float = MOST_CHANGED
    most_tries: int = MOST_TRIES

    @property
    def plain_rules(self) -> list[dict[str, Any]]:
        """The rules as JSON holds them."""
        return [rule.as_plain() for rule in self.rules]

    def repair(
        self,
        values: np.ndarray,
        *,
        spacing_mm: Sequence[float],
        left_mm: Sequence[float] | None = None,
        candidates: Callable[[], Iterable[np.ndarray]] = tuple,
    ) -> Repair:
        """Return the nearest label map that keeps the rules, and what it took.

        Args:
            values: integers `(Z, Y, X)` or `(Y, X)`.
            spacing_mm: voxel size in array order.
            left_mm: per axis, how far a step leads to the patient's left; None where no file tells.
            candidates: gives label maps of the same size whose slices may be taken where moves change much or do not
                suffice; called only then.
        """
        job = _Job(self, tuple(spacing_mm), left_mm, candidates, Tries(self.most_tries))
        checks = job.check(values)
        before = tuple(check.rule.name for check in checks if check.violation)
        if not before:
            return Repair(values)
        start = without_islands(values, self.rules, label_values=self.label_values, spacing_mm=job.spacing_mm)
        repaired, checks = start, job.check(start)
        beyond = f"its repair changes more than {self.most_changed:.1%} of the anatomy's voxels"
        for _ in range(_ROUNDS):
            in_slices = job.repair_slices(repaired, checks, start=start)
            if in_slices is None:
                return Repair(values, before, reason=beyond)
            mended = job.repair_volume(in_slices, checks)
            if (mended == repaired).all():
                break  # what no move mends now, none will
            repaired = mended
            checks = job.check(repaired)
            if not any(check.violation for check in checks):
                break
        share = int(np.count_nonzero(repaired != start)) / max(1, int(np.count_nonzero(start)))
        remaining = [check.rule.name for check in checks if check.violation]
        if remaining:
            return Repair(values, before, reason=f"no repair was found for {', '.join(remaining)}")
        if share > self.most_changed:
            return Repair(values, before, reason=beyond)
        return Repair(repaired, before, float(share))


@dataclass(frozen=True)
class _Job:
    """One label map's repair."""

    repairer: Repairer
    spacing_mm: tuple[float, ...]
    left_mm: Sequence[float] | None
    candidates: Callable[[], Iterable[np.ndarray]] = field(repr=False)
    tries: Tries

    @property
    def axis(self) -> int | None:
        return slice_axis(self.spacing_mm)

    @cached_property
    def others(self) -> list[np.ndarray]:
        return list(self.candidates())

    def check(self, values: np.ndarray) -> list[RuleCheck]:
        return check_rules(
            values,
            self.repairer.rules,
            label_values=self.repairer.label_values,
            spacing_mm=self.spacing_mm,
            left_mm=self.left_mm,
        )

    def repair_slices(self, values: np.ndarray, checks: Sequence[RuleCheck], *, start: np.ndarray) -> np.ndarray | None:
        """Return the label map with its broken slices mended, None where that changes too much of the first one.

        A slice of a volume for which no mending is found becomes what the next one is, or empty, whichever is nearer.
        """
        most = int(self.repairer.most_changed * np.count_nonzero(start))
        if values.ndim == 2:
            if not any(check.violation and check.rule.in_plane for check in checks):
                return values
            flat = self._plane(values, None, most)
            return values if flat is None else flat
        repaired = values.copy()
        stack = np.moveaxis(repaired, self.axis or 0, 0)
        stack_at_first = np.moveaxis(start, self.axis or 0, 0)
        lost = []
        for index in sorted({index for check in checks for index in check.slices}):
            left = most - int(np.count_nonzero(repaired != start))
            if left < 0:
                return None
            allowed = left + int(np.count_nonzero(stack[index] != stack_at_first[index]))
            plane = self._plane(stack[index].copy(), index, allowed)
            if plane is None:
                lost.append(index)
            else:
                stack[index] = plane
        for index in lost:
            stack[index] = _nearest_of_stack(stack, index, without=lost)
        return repaired

    def repair_volume(self, values: np.ndarray, checks: Sequence[RuleCheck]) -> np.ndarray:
        """Return the label map with what breaks rules about the volume removed, where that can help."""
        for check in checks:
            if not check.violation or check.rule.in_plane:
                continue
            structure = np.isin(values, [v for name in check.rule.label for v in self.repairer.label_values[name]])
            if check.rule.rule == "one_piece" and structure.any():
                values = values.copy()
                values[structure & ~largest_component(structure)] = 0
            if check.rule.rule == "left_of" and self.left_mm is not None:
                values = _on_their_side(values, structure, check.rule, self.repairer.label_values, self.left_mm)
        return values

    def _plane(self, plane: np.ndarray, index: int | None, most_voxels: int) -> np.ndarray | None:
        """Return a slice, by its index in a volume, that keeps the rules about slices."""

        def others() -> list[np.ndarray]:
            return [other if index is None else np.moveaxis(other, self.axis or 0, 0)[index] for other in self.others]

        return repair_plane(
            plane,
            [rule for rule in self.repairer.rules if rule.in_plane],
            label_values=self.repairer.label_values,
            spacing_mm=tuple(size for i, size in enumerate(self.spacing_mm) if i != self.axis),
            most_voxels=most_voxels,
            tries=self.tries,
            others=others,
        )


def _nearest_of_stack(stack: np.ndarray, index: int, *, without: Sequence[int]) -> np.ndarray:
    """Return the slice with the fewest other voxels among the next ones that were not lost, and an empty one."""
    kept = [other for other in range(len(stack)) if other not in without]
    beside = [max((k for k in kept if k < index), default=None), min((k for k in kept if k > index), default=None)]
    candidates = [np.zeros_like(stack[index]), *(stack[k].copy() for k in beside if k is not None)]
    return min(candidates, key=lambda each: int(np.count_nonzero(each != stack[index])))


def _on_their_side(
    values: np.ndarray,
    structure: np.ndarray,
    rule: AnatomicalRule,
    label_values: Mapping[str, tuple[int, ...]],
    left_mm: Sequence[float],
) -> np.ndarray:
    """Return the label map with the structure's voxels beyond the other's centre given to the other."""
    other = np.isin(values, [value for name in rule.other for value in label_values[name]])
    if not other.any():
        return values
    places = np.tensordot(np.array(left_mm), np.indices(values.shape), axes=1)
    values = values.copy()
    values[structure & (places <= places[other].mean())] = label_values[rule.other[0]][0]
    return values
