"""Rules that a label map of a dataset has to keep, and by how much it breaks each of them; no reference is needed.

A dataset declares its rules under `anatomical_rules` of its dataset.json; one that declares none has none.
docs/reference/anatomical_rules.md gives the definitions in words.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import binary_fill_holes, find_objects, generate_binary_structure, label

from acnn_nnunet.evaluation.masks.scores import largest_component

DATASET_KEY = "anatomical_rules"
# Voxels as long as the longest but for rounding are equally long.
_SPACING_TOLERANCE = 1e-3


@dataclass(frozen=True)
class AnatomicalRule:
    """A rule about a structure, as a dataset declares it.

    Attributes:
        rule: one of `RULES`.
        label: names of the labels that make up the structure.
        other: names of the labels that it has to touch or to be enclosed by; empty for rules about one structure.
        in_plane: whether the rule is about each slice across the longest voxels, instead of the volume.
    """

    rule: str
    label: tuple[str, ...]
    other: tuple[str, ...] = ()
    in_plane: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for an unknown rule, or one with labels too many or too few."""
        if self.rule not in RULES:
            raise ValueError(f"there is no rule {self.rule!r}; the rules are {', '.join(RULES)}")
        if not self.label:
            raise ValueError(f"the rule {self.rule} names no label")
        needs_other = self.rule in _RULES_ABOUT_TWO
        if bool(self.other) != needs_other:
            raise ValueError(f"the rule {self.rule} takes {'an' if needs_other else 'no'} `other`")
        if set(self.label) & set(self.other):
            raise ValueError(f"the rule {self.rule} names {', '.join(sorted(set(self.label) & set(self.other)))} twice")

    @property
    def name(self) -> str:
        """What the rule says, for a table's head: "LV enclosed_by MYO in_plane"."""
        words = ["+".join(self.label), self.rule, "+".join(self.other), "in_plane" if self.in_plane else ""]
        return " ".join(filter(None, words))

    def as_plain(self) -> dict[str, Any]:
        """Return the dictionary that `parse_rules` reads."""
        other = {"other": list(self.other)} if self.other else {}
        return {"rule": self.rule, "label": list(self.label), **other, "in_plane": self.in_plane}


def parse_rules(declared: Any, *, names: Iterable[str], where: str) -> tuple[AnatomicalRule, ...]:
    """Read declared rules: a list of `{"rule": …, "label": …, "other": …, "in_plane": …}`; a label is a name or a list.

    Args:
        declared: from JSON.
        names: of the dataset's labels.
        where: the file, for errors.

    Raises:
        ValueError: naming the file, the entry and what is wrong with it.
    """
    if not isinstance(declared, list):
        raise ValueError(f"{where}: rules are a list of objects, not {type(declared).__name__}.")
    known = [name for name in names if name not in ("background", "ignore")]
    rules = []
    for number, entry in enumerate(declared, start=1):
        try:
            rules.append(_parse_rule(entry, known))
        except ValueError as error:
            raise ValueError(f"{where}, rule {number}: {error}.") from None
    if len({rule.name for rule in rules}) < len(rules):
        raise ValueError(f"{where} declares a rule twice.")
    return tuple(rules)


def rule_violations(
    values: np.ndarray,
    rules: Sequence[AnatomicalRule],
    *,
    label_values: Mapping[str, tuple[int, ...]],
    spacing_mm: Sequence[float],
) -> dict[str, float | None]:
    """Return by how much a label map breaks each rule, by the rule's name.

    Args:
        values: integers `(Z, Y, X)` or `(Y, X)`.
        rules: what to look at.
        label_values: the values of each label; several for a region.
        spacing_mm: voxel size in array order.

    Returns:
        0 where a rule is kept, up to 1; None where the rule's structure is absent.
    """
    axis = slice_axis(spacing_mm)
    box = next(iter(find_objects((values > 0).astype(np.uint8))), None)
    # A frame of background: what lies at the image's edge is not enclosed.
    inside = np.pad(values[box], 1) if box is not None else np.zeros((1,) * values.ndim, values.dtype)
    masks = {name: np.isin(inside, numbers) for name, numbers in label_values.items()}
    violations: dict[str, float | None] = {}
    for rule in rules:
        structure, other = (_union(masks, names, inside.shape) for names in (rule.label, rule.other))
        measured = RULES[rule.rule](structure, other, axis if rule.in_plane else None) if structure.any() else None
        violations[rule.name] = measured
    return violations


def slice_axis(spacing_mm: Sequence[float]) -> int | None:
    """Return the axis across the slices, that of the longest voxels (the first of equal ones); None for 2 axes."""
    if len(spacing_mm) < 3:
        return None
    return next(i for i, size in enumerate(spacing_mm) if size >= max(spacing_mm) * (1 - _SPACING_TOLERANCE))


def _in_pieces(structure: np.ndarray, other: np.ndarray, axis: int | None) -> float:
    """The share of the structure outside of its largest piece; voxels that share a corner belong together."""
    if axis is None:
        return 1 - np.count_nonzero(largest_component(structure)) / np.count_nonzero(structure)
    pieces, _ = label(structure, _neighbourhood(structure.ndim, axis, structure.ndim))
    sizes = [np.bincount(plane[plane > 0]) for plane in np.moveaxis(pieces, axis, 0) if plane.any()]
    return 1 - float(sum(size.max() for size in sizes)) / np.count_nonzero(structure)


def _with_holes(structure: np.ndarray, other: np.ndarray, axis: int | None) -> float:
    """The share of holes in the structure filled up; what no path across faces joins to the outside is a hole."""
    filled = binary_fill_holes(structure, structure=_neighbourhood(structure.ndim, axis, 1))
    return 1 - np.count_nonzero(structure) / np.count_nonzero(filled)


def _open(structure: np.ndarray, other: np.ndarray, axis: int | None) -> float:
    """The share of the structure's border, counted in voxel faces, that has neither itself nor `other` behind it.

    In the plane, faces along the slices alone count, and those of the base do not, where a ventricle may be open: of
    the structure's first and last slice the one that holds more of it, if it has more than one.
    """
    if axis is not None:
        profile = np.count_nonzero(structure, axis=tuple(i for i in range(structure.ndim) if i != axis))
        present = np.flatnonzero(profile)
        if len(present) > 1:
            base = present[0] if profile[present[0]] > profile[present[-1]] else present[-1]
            structure, other = (np.delete(mask, base, axis) for mask in (structure, other))
    border = enclosed = 0
    for here, there in _neighbours(structure.ndim, axis):
        faces = structure[here] & ~structure[there]
        border += np.count_nonzero(faces)
        enclosed += np.count_nonzero(faces & other[there])
    return 1 - enclosed / border


def _apart(structure: np.ndarray, other: np.ndarray, axis: int | None) -> float:
    """The share of the structure in pieces, of a slice where in the plane, that share no face with `other`."""
    pieces, count = label(structure, _neighbourhood(structure.ndim, axis, structure.ndim))
    touching = np.zeros(count + 1, dtype=bool)
    for here, there in _neighbours(structure.ndim, axis):
        touching[pieces[here][other[there]]] = True
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    return float(sizes[~touching[1:]].sum() / sizes.sum())


RULES: dict[str, Callable[[np.ndarray, np.ndarray, int | None], float]] = {
    "one_piece": _in_pieces,
    "no_holes": _with_holes,
    "enclosed_by": _open,
    "touches": _apart,
}
_RULES_ABOUT_TWO = ("enclosed_by", "touches")


def _parse_rule(entry: Any, known: Sequence[str]) -> AnatomicalRule:
    if not isinstance(entry, dict) or "rule" not in entry:
        raise ValueError('it is no object with "rule" and "label"')
    if unknown := sorted(set(entry) - {"rule", "label", "other", "in_plane"}):
        raise ValueError(f"it has no key {unknown[0]!r}; the keys are rule, label, other and in_plane")
    label, other = (_names(entry.get(key, [])) for key in ("label", "other"))
    if missing := [name for name in (*label, *other) if name not in known]:
        raise ValueError(f"there is no label {missing[0]!r}; the labels are {', '.join(known)}")
    in_plane = entry.get("in_plane", False)
    if not isinstance(in_plane, bool):
        raise ValueError("in_plane is true or false")
    return AnatomicalRule(str(entry["rule"]), label, other, in_plane)


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise ValueError("labels are given by name, or as a list of names")


def _union(masks: Mapping[str, np.ndarray], names: Sequence[str], shape: tuple[int, ...]) -> np.ndarray:
    union = np.zeros(shape, dtype=bool)
    for name in names:
        union |= masks[name]
    return union


def _neighbourhood(ndim: int, axis: int | None, connectivity: int) -> np.ndarray:
    """Return SciPy's neighbourhood of a voxel, limited to its slice across `axis`."""
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
