"""Rules that a label map of a dataset has to keep, and by how much it breaks each of them; no reference is needed.

A dataset declares its rules under `anatomical_rules` of its dataset.json; one that declares none has none.
docs/reference/anatomical_rules.md gives the definitions in words.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.anatomy.measures import MEASURES, SLICE_MEASURES, Scene
from acnn_nnunet.evaluation.anatomy.presets import PRESETS
from acnn_nnunet.files.geometry import foreground_box, longest_axis

DATASET_KEY = "anatomical_rules"
BACKGROUND = "background"
_NEED_OTHER = ("enclosed_by", "touches", "left_of", "no_gap", "adjoins", "no_contact")
_MAY_HAVE_OTHER = ("no_pockets",)
_NEED_LIMIT = ("concavity", "circularity")
_VOLUME_ONLY = ("left_of",)
_KEYS = ("rule", "label", "other", "limit", "in_plane")


@dataclass(frozen=True)
class AnatomicalRule:
    """A rule about a structure, as a dataset declares it.

    Attributes:
        rule: one of `MEASURES`.
        label: names of the labels that make up the structure.
        other: names of the labels that it has to touch, to be enclosed by or to keep away from; empty for rules about
            one structure.
        in_plane: whether the rule is about each slice across the longest voxels, instead of the volume.
        limit: the largest concavity in mm, or the least circularity; None for other rules.
    """

    rule: str
    label: tuple[str, ...]
    other: tuple[str, ...] = ()
    in_plane: bool = False
    limit: float | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an unknown rule, or one with labels, a limit or a plane that it cannot have."""
        if self.rule not in MEASURES:
            raise ValueError(f"there is no rule {self.rule!r}; the rules are {', '.join(MEASURES)}")
        if not self.label:
            raise ValueError(f"the rule {self.rule} names no label")
        if self.rule not in _MAY_HAVE_OTHER and bool(self.other) != (needed := self.rule in _NEED_OTHER):
            raise ValueError(f"the rule {self.rule} takes {'an' if needed else 'no'} `other`")
        if set(self.label) & set(self.other):
            raise ValueError(f"the rule {self.rule} names {', '.join(sorted(set(self.label) & set(self.other)))} twice")
        if (self.limit is None) == (needed := self.rule in _NEED_LIMIT):
            raise ValueError(f"the rule {self.rule} takes {'a' if needed else 'no'} `limit`")
        if not self.in_plane and self.rule in SLICE_MEASURES:
            raise ValueError(f"the rule {self.rule} is about slices: it takes in_plane true")
        if self.in_plane and self.rule in _VOLUME_ONLY:
            raise ValueError(f"the rule {self.rule} is about the volume: it takes no in_plane")

    @property
    def name(self) -> str:
        """What the rule says, for a table's head: "LV enclosed_by MYO in_plane"."""
        limit = "" if self.limit is None else f"{self.limit:g}"
        words = ["+".join(self.label), self.rule, "+".join(self.other), limit, "in_plane" if self.in_plane else ""]
        return " ".join(filter(None, words))

    def as_plain(self) -> dict[str, Any]:
        """Return the dictionary that `parse_rules` reads."""
        other = {"other": list(self.other)} if self.other else {}
        limit = {} if self.limit is None else {"limit": self.limit}
        return {"rule": self.rule, "label": list(self.label), **other, **limit, "in_plane": self.in_plane}


@dataclass(frozen=True)
class RuleCheck:
    """The outcome of one rule in one label map.

    Attributes:
        rule: the rule.
        violation: 0 where it is kept, up to 1; None where it does not apply.
        slices: indices of the slices that break it; empty for rules about the volume.
    """

    rule: AnatomicalRule
    violation: float | None
    slices: tuple[int, ...] = ()


def parse_rules(declared: Any, *, names: Iterable[str], where: str) -> tuple[AnatomicalRule, ...]:
    """Read declared rules: the name of a preset, or a list of such names and of objects.

    An object is `{"rule": …, "label": …, "other": …, "limit": …, "in_plane": …}`; a label is a name or a list of names.

    Args:
        declared: from JSON.
        names: of the dataset's labels.
        where: the file, for errors.

    Raises:
        ValueError: naming the file, the entry and what is wrong with it.
    """
    declared = [declared] if isinstance(declared, str) else declared
    if not isinstance(declared, list):
        raise ValueError(f"{where}: rules are a list of objects, not {type(declared).__name__}.")
    known = [name for name in names if name not in (BACKGROUND, "ignore")]
    rules: list[AnatomicalRule] = []
    for number, entry in enumerate(declared, start=1):
        try:
            rules += [_parse_rule(each, known) for each in _expanded(entry)]
        except ValueError as error:
            raise ValueError(f"{where}, rule {number}: {error}.") from None
    if len({rule.name for rule in rules}) < len(rules):
        raise ValueError(f"{where} declares a rule twice.")
    return tuple(rules)


def check_rules(
    values: np.ndarray,
    rules: Sequence[AnatomicalRule],
    *,
    label_values: Mapping[str, tuple[int, ...]],
    spacing_mm: Sequence[float],
    left_mm: Sequence[float] | None = None,
    slice_voxels: int | None = None,
) -> list[RuleCheck]:
    """Return by how much a label map breaks each rule, and in which slices.

    Args:
        values: integers `(Z, Y, X)` or `(Y, X)`.
        rules: what to look at.
        label_values: the values of each label; several for a region.
        spacing_mm: voxel size in array order.
        left_mm: per axis, how far a step of one voxel leads to the patient's left; None where no file tells.
        slice_voxels: voxels of a slice of the whole image, of which `values` may be a part; None counts them.
    """
    axis = slice_axis(spacing_mm)
    box = foreground_box(values)
    if not rules or box is None:
        return [RuleCheck(rule, None) for rule in rules]
    masks = _framed_masks(values, box, label_values)
    if slice_voxels is None:
        slice_voxels = values.size if axis is None else values.size // values.shape[axis]
    checks = []
    for rule in rules:
        structure, other = (_union(masks, names) for names in (rule.label, rule.other))
        if not structure.any():
            checks.append(RuleCheck(rule, None))
            continue
        scene = Scene(
            structure=structure,
            other=other,
            axis=axis if rule.in_plane else None,
            spacing_mm=tuple(spacing_mm),
            limit=rule.limit or 0.0,
            slice_voxels=slice_voxels,
            left_mm=None if left_mm is None else tuple(left_mm),
        )
        broken, total = MEASURES[rule.rule](scene)
        first = 0 if scene.axis is None else _with_margin(box, values.shape)[scene.axis].start - 1
        checks.append(
            RuleCheck(
                rule,
                float(broken.sum() / total.sum()) if total.sum() else None,
                tuple((np.flatnonzero(broken) + first).tolist()) if scene.axis is not None else (),
            )
        )
    return checks


def slice_axis(spacing_mm: Sequence[float]) -> int | None:
    """Return the axis across the slices, that of the longest voxels (the first of equal ones); None for 2 axes."""
    return None if len(spacing_mm) < 3 else longest_axis(spacing_mm)


def _expanded(entry: Any) -> list[Any]:
    if not isinstance(entry, str):
        return [entry]
    if entry not in PRESETS:
        raise ValueError(f"there is no set of rules {entry!r}; the sets are {', '.join(PRESETS)}")
    return PRESETS[entry]


def _parse_rule(entry: Any, known: Sequence[str]) -> AnatomicalRule:
    if not isinstance(entry, dict) or "rule" not in entry:
        raise ValueError('it is no object with "rule" and "label", and no name of a set of rules')
    if unknown := sorted(set(entry) - set(_KEYS)):
        raise ValueError(f"it has no key {unknown[0]!r}; the keys are {', '.join(_KEYS)}")
    label, other = (_names(entry.get(key, [])) for key in ("label", "other"))
    may_be_other = [*known, BACKGROUND] if entry["rule"] == "no_contact" else known
    for names, allowed in ((label, known), (other, may_be_other)):
        if missing := [name for name in names if name not in allowed]:
            raise ValueError(f"there is no label {missing[0]!r}; the labels are {', '.join(known)}")
    in_plane, limit = entry.get("in_plane", False), entry.get("limit")
    if not isinstance(in_plane, bool):
        raise ValueError("in_plane is true or false")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit >= 0):
        raise ValueError(f"a limit is a number from 0 on, not {limit!r}")
    return AnatomicalRule(str(entry["rule"]), label, other, in_plane, None if limit is None else float(limit))


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise ValueError("labels are given by name, or as a list of names")


def _framed_masks(
    values: np.ndarray, box: tuple[slice, ...], label_values: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Return each label's mask around all labels, and `background`; what lies beyond the image is neither.

    A frame one voxel wide goes around it, so that whatever reaches the image's edge is open there.
    """
    inside = values[_with_margin(box, values.shape)]
    masks = {name: np.pad(np.isin(inside, numbers), 1) for name, numbers in label_values.items()}
    return masks | {BACKGROUND: np.pad(inside == 0, 1)}


def _with_margin(box: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(max(each.start - 1, 0), min(each.stop + 1, n)) for each, n in zip(box, shape, strict=True))


def _union(masks: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    union = np.zeros_like(masks[BACKGROUND])
    for name in names:
        union |= masks[name]
    return union
