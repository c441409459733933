"""Along which axes patches are mirrored, and which labels change places there.

An axis is one of the patch, in the order of the plans (`patch_size`, `spacing`), as in nnU-Net's own
`inference_allowed_mirroring_axes`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_FILE_AXES = "zyx"  # the host reads files as arrays in this order


@dataclass(frozen=True)
class Mirroring:
    """How training patches are mirrored.

    Attributes:
        axes: of the patch, each mirrored in every second sample.
        swap_axis: the one of them along which labels change places, or None.
        swaps: label value to the value that it becomes there; empty where labels stay.
    """

    axes: tuple[int, ...] = ()
    swap_axis: int | None = None
    swaps: dict[int, int] = field(default_factory=dict)

    @property
    def prediction_axes(self) -> tuple[int, ...]:
        """Axes along which prediction may average: the host averages without swapping channels."""
        return tuple(axis for axis in self.axes if axis != self.swap_axis)

    @property
    def swaps_in_words(self) -> str:
        """The pairs of values that change places, such as "1:2, 3:4"."""
        return ", ".join(f"{low}:{high}" for low, high in sorted(self.swaps.items()) if low < high)

    def describe(self, transpose_forward: Sequence[int], *, num_axes: int) -> str:
        """Return a sentence that names the axes, also as those of the image files.

        Args:
            transpose_forward: of the plans.
            num_axes: of the patch.
        """
        if not self.axes:
            return "Nothing is mirrored."
        names = [f"{axis} ({file_axis(axis, transpose_forward, num_axes=num_axes)} of the files)" for axis in self.axes]
        sentence = f"Mirrors along {'axis' if len(names) == 1 else 'axes'} {', '.join(names)}"
        if self.swap_axis is None:
            return f"{sentence}."
        return (
            f"{sentence}; labels {self.swaps_in_words} change places along axis {self.swap_axis}, which prediction "
            f"does not mirror."
        )


def file_axis(axis: int, transpose_forward: Sequence[int], *, num_axes: int) -> str:
    """Return "x", "y" or "z", the axis of the image files that an axis of the patch is.

    A file's x is the first axis of a NIfTI file, or the columns of a PNG. A two-dimensional patch lacks the first axis
    of the plans.
    """
    return _FILE_AXES[transpose_forward[axis + len(_FILE_AXES) - num_axes]]


def read_axes(value: Any) -> tuple[int, ...]:
    """Return the axes of a setting: a number, a list of them, or a string such as "0,1".

    Raises:
        ValueError: if it is anything else, or an axis comes twice.
    """
    words = value.split(",") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else [value]
    axes = []
    for word in words:
        if isinstance(word, bool) or not isinstance(word, (int, str)) or not str(word).strip().isdecimal():
            raise ValueError
        axes.append(int(word))
    if len(set(axes)) < len(axes):
        raise ValueError("an axis comes twice")
    if not axes:
        raise ValueError
    return tuple(axes)


def read_pairs(text: Any) -> list[tuple[str, str]]:
    """Return the pairs of names or values in a string such as "left:right, 3:4".

    Raises:
        ValueError: if it holds anything else, or a name comes twice.
    """
    if not isinstance(text, str):
        raise ValueError
    pairs = []
    for word in text.split(","):
        names = [name.strip() for name in word.split(":")]
        if len(names) != 2 or not all(names):
            raise ValueError(f"'{word.strip()}' is no pair")
        pairs.append((names[0], names[1]))
    _refuse_repeated(name for pair in pairs for name in pair)
    return pairs


def plan_mirroring(
    wanted: Any,
    *,
    pairs: str | None,
    swap_axis: int | None,
    num_axes: int,
    labels: Mapping[str, Any],
) -> Mirroring:
    """Return the mirroring that settings ask for.

    Args:
        wanted: True for all axes, False for none, or axes as `read_axes` takes them.
        pairs: the setting `mirrored_labels`.
        swap_axis: the setting `mirrored_labels_axis`.
        num_axes: of the patch.
        labels: the labels entry of dataset.json.

    Raises:
        ValueError: if the data lacks an axis or a label, or the settings contradict each other.
    """
    axes = tuple(range(num_axes)) if wanted is True else () if wanted is False else read_axes(wanted)
    available = ", ".join(map(str, range(num_axes)))
    if beyond := [axis for axis in axes if axis >= num_axes]:
        raise ValueError(f"mirroring names axis {beyond[0]}, and a patch of this configuration has {available} only")
    if pairs is None:
        if swap_axis is not None:
            raise ValueError(
                f"mirrored_labels_axis={swap_axis} goes with mirrored_labels alone: name the pairs, or leave it out"
            )
        return Mirroring(axes)
    if not axes:
        raise ValueError(
            f"mirrored_labels={pairs} needs mirroring along an axis: add mirroring=AXIS, with one of {available}"
        )
    if swap_axis is None:
        if len(axes) > 1:
            raise ValueError(
                f"mirrored_labels={pairs} needs to know which of the mirrored axes {', '.join(map(str, axes))} lies "
                f"between the labels of a pair: add mirrored_labels_axis=AXIS, or name that one axis in mirroring"
            )
        (swap_axis,) = axes
    if swap_axis not in axes:
        raise ValueError(
            f"mirrored_labels_axis={swap_axis} is none of the axes that are mirrored ({', '.join(map(str, axes))})"
        )
    return Mirroring(axes, swap_axis, swapped_values(pairs, labels))


def swapped_values(text: str, labels: Mapping[str, Any]) -> dict[int, int]:
    """Return the value that each label value becomes where pairs of labels or regions change places.

    Values of regions are paired so that every region becomes its partner, or itself where it has none. Values that lie
    in the same regions are alike to a training with regions; they are paired in their order.

    Args:
        text: pairs of names or values, as `read_pairs` takes them.
        labels: the labels entry of dataset.json.

    Raises:
        ValueError: naming the pair, for an unknown name, a label with a region, or regions that do not become regions.
    """
    values = {
        name: tuple(map(int, value)) if isinstance(value, (list, tuple)) else (int(value),)
        for name, value in labels.items()
        if name != "ignore" and value not in (0, [0], (0,))  # which is background
    }
    pairs = [(_find(first, values), _find(second, values)) for first, second in read_pairs(text)]
    _refuse_repeated(name for pair in pairs for name in pair)
    for first, second in pairs:
        if len(values[first]) != len(values[second]):
            raise ValueError(
                f"mirrored_labels pairs unequal kinds: {first} is {_kind(values[first])}, and {second} is "
                f"{_kind(values[second])}"
            )
    return _swaps_of_values(values, {name: other for pair in pairs for name, other in (pair, pair[::-1])}, text)


def _swaps_of_values(values: Mapping[str, tuple[int, ...]], partners: Mapping[str, str], text: str) -> dict[int, int]:
    by_membership: dict[frozenset[str], list[int]] = {}
    for value in sorted({value for of_name in values.values() for value in of_name}):
        members = frozenset(name for name, of_name in values.items() if value in of_name)
        by_membership.setdefault(members, []).append(value)
    swaps: dict[int, int] = {}
    for members, alike in by_membership.items():
        others = by_membership.get(frozenset(partners.get(name, name) for name in members), [])
        if len(others) != len(alike):
            raise ValueError(
                f"mirrored_labels={text} leaves label {alike[0]} (in {', '.join(sorted(members))}) without a "
                f"counterpart: name every pair of regions that mirror each other"
            )
        swaps.update(zip(alike, others, strict=True))
    return {value: other for value, other in swaps.items() if value != other}


def _find(word: str, values: Mapping[str, tuple[int, ...]]) -> str:
    """Return the name of the label or region that a word names, or whose only value it is."""
    if word in values:
        return word
    for name, of_name in values.items():
        if [word] == list(map(str, of_name)):
            return name
    if word in ("background", "ignore", "0"):
        raise ValueError(f"mirrored_labels names '{word}', which has no side and changes places with nothing")
    listed = ", ".join(f"{name} ({', '.join(map(str, of_name))})" for name, of_name in values.items())
    raise ValueError(f"mirrored_labels names '{word}', which the dataset lacks; it has {listed}")


def _kind(values: Sequence[int]) -> str:
    return "one label" if len(values) == 1 else f"a region of {len(values)} labels"


def _refuse_repeated(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"'{name}' comes twice in mirrored_labels")
        seen.add(name)
