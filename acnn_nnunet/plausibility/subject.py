"""What predictions are judged as: the labels and rules of a dataset, and how its files are read."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acnn_nnunet.evaluation.anatomy.declared import find_rules
from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule
from acnn_nnunet.nnunet.label_files import LabelFileReader, LabelMap
from acnn_nnunet.nnunet.labels import labels_of_dataset, read_dataset_json, values_of
from acnn_nnunet.nnunet.readers import choose_reader

if TYPE_CHECKING:
    from acnn_nnunet.fold_prior.coder import Coder


@dataclass(frozen=True)
class Subject:
    """The dataset that predictions belong to.

    Attributes:
        label_values: the values of each label or region, by name.
        ignore: value of unannotated voxels of a reference, or None.
        file_ending: of label maps.
        reader: of label maps.
        rules: anatomical rules.
        coder: of the prior, if there is one: it knows how its training cases lie.
    """

    label_values: dict[str, tuple[int, ...]]
    ignore: int | None
    file_ending: str
    reader: LabelFileReader
    rules: tuple[AnatomicalRule, ...] = ()
    coder: "Coder | None" = field(default=None, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the labels and regions."""
        return tuple(self.label_values)

    def read(self, file: Path) -> LabelMap:
        """Read a label map of the dataset.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: naming the file, if it cannot be read or has labels or axes that the dataset does not have.
        """
        label_map = self.reader.read(file)
        if self.coder is not None:
            self.coder.check(label_map, file)
            return label_map
        known = {value for values in self.label_values.values() for value in values} | {0}
        known |= set() if self.ignore is None else {self.ignore}
        present = {value for value, box in enumerate(label_map.boxes, start=1) if box is not None}
        if unknown := sorted(present - known):
            raise ValueError(
                f"{file} holds the label {unknown[0]}, which the dataset does not have; its labels are "
                f"{', '.join(f'{name} {value}' for name, (value, *_) in self.label_values.items())}"
            )
        return label_map

    def rules_about(self, name: str) -> tuple[AnatomicalRule, ...]:
        """Return the rules that name a label, as the structure or as its neighbour."""
        return tuple(rule for rule in self.rules if name in (*rule.label, *rule.other))


def subject_of_prior(coder: "Coder", rules_file: Path | None) -> Subject:
    """Return what predictions are judged as with a prior; rules are those of a file, or of the prior's dataset.json.

    Raises:
        FileNotFoundError: if there is no file of rules.
        ValueError: naming the file, if it holds no rules or they do not suit the labels.
    """
    spec = coder.prior.spec
    names = tuple(coder.names.values())
    return Subject(
        coder.label_values,
        coder.labels.ignore_label,
        coder.file_ending,
        coder.reader,
        find_rules(rules_file, coder.bundle.dataset_json, names=names, where=f"dataset.json of {spec.dataset}"),
        coder,
    )


def subject_of_dataset(dataset_json: Path, rules_file: Path | None) -> Subject:
    """Return what predictions are judged as without a prior, by a dataset.json; does not load torch.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if its labels, its ending or the rules cannot be used.
    """
    content = read_dataset_json(dataset_json)
    labels = labels_of_dataset(dataset_json)
    if not isinstance(ending := content.get("file_ending"), str):
        raise ValueError(f"{dataset_json} has no `file_ending`: name another dataset.json with -djfile.")
    values = {labels.names[str(label)]: values_of(label) for label in labels.foreground}
    rules = find_rules(rules_file, content, names=tuple(values), where=str(dataset_json))
    reader = choose_reader(ending, asked_for=content.get("overwrite_image_reader_writer"), asked_in=dataset_json)
    return Subject(values, labels.ignore, ending, LabelFileReader(reader), rules)


def find_dataset_json(folders: Iterable[Path | None]) -> Path:
    """Return the dataset.json in or above folders, the first one's first.

    Raises:
        FileNotFoundError: if there is none.
    """
    named = [Path(folder).absolute() for folder in folders if folder is not None]
    for folder in named:
        for place in (folder, folder.parent, folder.parent.parent):
            if (path := place / "dataset.json").is_file():
                return path
    raise FileNotFoundError(
        f"No dataset.json lies in or above {named[0]}: -djfile names the one that says the labels (without a prior)."
    )


def read_json(path: Path, wanted: str) -> Any:
    """Return the content of a JSON file.

    Raises:
        FileNotFoundError, ValueError: naming the file and what is wanted, if there is none or it is no JSON.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}: it should be {wanted}.")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): it should be {wanted}.") from None
