"""Which labels a dataset has, read from its dataset.json as the host reads it, without loading torch."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Label = int | tuple[int, ...]


@dataclass(frozen=True)
class DatasetLabels:
    """The labels to score.

    Attributes:
        foreground: labels (an integer) and regions (a tuple), without background, in the dataset's order.
        names: name of each, keyed as `label_key` writes it.
        ignore: the value of unannotated voxels, or None.
        exhaustive: a voxel with any other value is a mistake; False where a user names only some labels.
    """

    foreground: tuple[Label, ...]
    names: dict[str, str] = field(default_factory=dict)
    ignore: int | None = None
    exhaustive: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError if there is nothing to score, a value is negative or background, or one comes twice."""
        if not self.foreground:
            raise ValueError("No label to score: only background is declared.")
        for label in self.foreground:
            values = values_of(label)
            if not values or min(values) < 1 or self.ignore in values:
                raise ValueError(
                    f"{label} cannot be scored: it is empty, negative, or holds background or ignored voxels."
                )
        if len(set(self.foreground)) < len(self.foreground):
            raise ValueError(f"A label comes twice among {', '.join(map(label_key, self.foreground))}.")

    @property
    def values(self) -> set[int]:
        """Every foreground value of a voxel."""
        return {value for label in self.foreground for value in values_of(label)}


def values_of(label: int | Iterable[int]) -> tuple[int, ...]:
    """Return the values of a voxel that a label or region of dataset.json stands for."""
    return tuple(int(value) for value in label) if isinstance(label, Iterable) else (int(label),)


def known_values(labels: Iterable[int | Iterable[int]]) -> set[int]:
    """Return every value of a voxel that labels and regions of dataset.json stand for, background included."""
    return {0}.union(*map(values_of, labels))


def label_key(label: Label) -> str:
    """Return the label as the host's summary.json writes it: "2", or "(1, 2)" for a region."""
    return str(label)


def labels_of_dataset(dataset_json: Path) -> DatasetLabels:
    """Read labels, regions and the ignore label from a dataset.json.

    Raises:
        ValueError: naming the file, if it is no JSON or its `labels` cannot be used.
    """
    content = read_dataset_json(dataset_json)
    labels = content.get("labels")
    if not isinstance(labels, dict):
        raise ValueError(f"{dataset_json} has no `labels`: name them with --labels.")
    try:
        values = {name: _parse_value(value) for name, value in labels.items()}
        ignore = values.pop("ignore", None)
        if isinstance(ignore, tuple):
            raise ValueError("the ignore label is a region")
        # As the host has it: one true region makes all of them regions, else every entry is a label.
        has_regions = any(isinstance(value, tuple) and len(value) > 1 for value in values.values())
        if not has_regions:
            values = {name: value[0] if isinstance(value, tuple) else value for name, value in values.items()}
        scored = {name: value for name, value in values.items() if value not in (0, (0,))}
        return DatasetLabels(tuple(scored.values()), {label_key(v): name for name, v in scored.items()}, ignore)
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"The labels of {dataset_json} cannot be used ({error}): name them with --labels.") from error


def labels_of_words(words: Sequence[str], *, ignore: int | None = None) -> DatasetLabels:
    """Return the labels that a user names: "1" for a label, "1,2" for a region, "LV=3" to give it a name.

    Raises:
        ValueError: naming the word that cannot be read, or whose name another label has.
    """
    foreground: list[Label] = []
    names: dict[str, str] = {}
    for word in words:
        name, _, value = word.rpartition("=")
        try:
            numbers = tuple(int(number) for number in value.strip("()").split(",") if number.strip())
            label: Label = numbers[0] if len(numbers) == 1 else numbers
        except ValueError:
            raise ValueError(f"--labels {word}: write 1 for a label, 1,2 for a region, LV=3 to name it.") from None
        if name and name in names.values():
            raise ValueError(f"--labels {word}: another label is called {name} already.")
        foreground.append(label)
        names[label_key(label)] = name or label_key(label)
    return DatasetLabels(tuple(foreground), names, ignore, exhaustive=False)


def read_dataset_json(path: Path) -> dict:
    """Return the content of a dataset.json.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no JSON object.
    """
    from acnn_nnunet.files.safe_writes import read_text  # here, because `configure --help` answers at once

    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}: -djfile names a dataset.json.")
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): repair it, or name another with -djfile.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object: repair it, or name another with -djfile.")
    return content


def _parse_value(value: object) -> Label:
    return tuple(int(item) for item in value) if isinstance(value, (list, tuple)) else int(value)  # type: ignore[call-overload]
