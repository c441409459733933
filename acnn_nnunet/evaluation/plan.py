"""What is to be evaluated: two folders, their common format, the labels, and which case has which files."""

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acnn_nnunet.evaluation.anatomy.declared import find_rules
from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule, parse_rules
from acnn_nnunet.evaluation.masks.scores import PIECE_IOU
from acnn_nnunet.files.folders import find_images, image_path
from acnn_nnunet.nnunet.labels import (
    DatasetLabels,
    label_key,
    labels_of_dataset,
    labels_of_words,
    read_dataset_json,
    values_of,
)
from acnn_nnunet.nnunet.readers import choose_reader, find_file_ending

_PREDICTION_MARKS = ("predict_from_raw_data_args.json", "plans.json", "summary.json")
_GROUND_TRUTH_FOLDERS = ("labelsTr", "labelsTs", "labelsVal", "gt_segmentations")  # as nnU-Net and its users name them


@dataclass(frozen=True)
class EvaluationPlan:
    """A reference folder, a prediction folder, and how both are read and scored.

    Attributes:
        reference: folder of the reference label maps.
        prediction: folder of the predicted ones.
        labels: what is scored.
        file_ending: of the label maps in both folders.
        reader_name: the host's class that reads them.
        tolerance_mm: of the surface Dice.
        cases: names of all reference cases, sorted.
        extra: predictions without a reference.
        note: a sentence on what lies there and was left aside.
        rules: anatomical rules that predictions are checked against.
        piece_iou: least IoU of two pieces that match.
    """

    reference: Path
    prediction: Path
    labels: DatasetLabels
    file_ending: str
    reader_name: str
    tolerance_mm: float
    cases: tuple[str, ...] = ()
    extra: tuple[str, ...] = field(default=())
    note: str = ""
    rules: tuple[AnatomicalRule, ...] = ()
    piece_iou: float = PIECE_IOU

    @property
    def label_values(self) -> dict[str, tuple[int, ...]]:
        """The values of each label and region, by its name."""
        return {self.labels.names[label_key(label)]: values_of(label) for label in self.labels.foreground}

    def reference_file(self, case: str) -> Path:
        """Where the reference of a case lies."""
        return image_path(self.reference, case, self.file_ending)

    def prediction_file(self, case: str) -> Path:
        """Where the prediction of a case should lie."""
        return image_path(self.prediction, case, self.file_ending)

    def files(self, case: str) -> tuple[Path, Path]:
        """Where reference and prediction of a case lie."""
        return self.reference_file(case), self.prediction_file(case)

    def header(self) -> dict[str, Any]:
        """Return what must be equal for results to belong together, as plain values."""
        return {
            "reference": str(self.reference),
            "prediction": str(self.prediction),
            "labels": [list(label) if isinstance(label, tuple) else label for label in self.labels.foreground],
            "label_names": self.labels.names,
            "ignore_label": self.labels.ignore,
            "exhaustive": self.labels.exhaustive,
            "file_ending": self.file_ending,
            "reader": self.reader_name,
            "tolerance_mm": self.tolerance_mm,
            "piece_iou": self.piece_iou,
            "rules": [rule.as_plain() for rule in self.rules],
            "cases": list(self.cases),
            "extra_predictions": list(self.extra),
        }

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> "EvaluationPlan":
        """Return the plan that `header` wrote down."""
        foreground = tuple(tuple(label) if isinstance(label, list) else label for label in header["labels"])
        return cls(
            reference=Path(header["reference"]),
            prediction=Path(header["prediction"]),
            labels=DatasetLabels(foreground, header["label_names"], header["ignore_label"], header["exhaustive"]),
            file_ending=header["file_ending"],
            reader_name=header["reader"],
            tolerance_mm=header["tolerance_mm"],
            cases=tuple(header["cases"]),
            extra=tuple(header["extra_predictions"]),
            rules=parse_rules(header.get("rules", []), names=header["label_names"].values(), where="the journal"),
            piece_iou=header.get("piece_iou", PIECE_IOU),
        )


def plan_evaluation(
    reference: Path,
    prediction: Path,
    *,
    labels: list[str] | None,
    ignore_label: int | None,
    dataset_json: Path | None,
    tolerance_mm: float,
    only_predicted: bool = False,
    rules_file: Path | None = None,
    piece_iou: float = PIECE_IOU,
) -> EvaluationPlan:
    """Look at both folders and settle what is evaluated.

    Rules are those of `rules_file`, else those that the dataset.json declares for its own labels. Labels, regions and
    the ignore label come from `labels` if given, else from the dataset.json that is given or lies in or above either
    folder. With `only_predicted`, references without a prediction are no cases, instead of misses.

    Raises:
        FileNotFoundError: if a folder, or a file of rules, does not exist.
        NotADirectoryError: if it is a file.
        ValueError: if the folders are the same or seem swapped, hold no label maps, have no case in common, or if
            nothing says which labels there are.
    """
    reference, prediction = (_existing_folder(folder) for folder in (reference, prediction))
    _refuse_swapped(reference, prediction)
    _check_options(tolerance_mm, piece_iou, labels=labels, ignore_label=ignore_label)
    is_named = dataset_json is not None
    dataset_json = dataset_json or _find_dataset_json(reference, prediction)
    content, note = _content_of(dataset_json, may_be_bad=bool(labels) and not is_named)
    _refuse_without_labels(labels, dataset_json, reference, prediction)
    scored = _scored_labels(labels, ignore_label, dataset_json)
    ending = str(content.get("file_ending") or find_file_ending(_files(reference), reference))
    rules = find_rules(
        rules_file, {} if labels else content, names=scored.names.values(), where=str(dataset_json or "dataset.json")
    )
    cases, predicted = (_cases(folder, ending) for folder in (reference, prediction))
    with_prediction = set(predicted)
    _refuse_strangers(reference, prediction, cases, predicted, ending)
    return EvaluationPlan(
        reference=reference,
        prediction=prediction,
        labels=scored,
        file_ending=ending,
        reader_name=choose_reader(
            ending,
            asked_for=content.get("overwrite_image_reader_writer"),
            asked_in=dataset_json or "dataset.json",
            examples=(image_path(reference, case, ending) for case in cases),
        ),
        tolerance_mm=float(tolerance_mm),
        cases=tuple(case for case in cases if case in with_prediction) if only_predicted else tuple(cases),
        extra=tuple(sorted(with_prediction - set(cases))),
        note=note,
        rules=rules,
        piece_iou=float(piece_iou),
    )


def _refuse_without_labels(
    labels: list[str] | None, dataset_json: Path | None, reference: Path, prediction: Path
) -> None:
    if not labels and dataset_json is None:
        raise ValueError(
            f"There is no dataset.json in or above {reference} or {prediction}: name one with -djfile, or the labels "
            "with --labels."
        )


def _scored_labels(labels: list[str] | None, ignore_label: int | None, dataset_json: Path | None) -> DatasetLabels:
    if labels:
        return labels_of_words(labels, ignore=ignore_label)
    assert dataset_json is not None
    return labels_of_dataset(dataset_json)


def _check_options(
    tolerance_mm: float, piece_iou: float, *, labels: list[str] | None, ignore_label: int | None
) -> None:
    if not 0 <= tolerance_mm < math.inf:
        raise ValueError(f"The tolerance of the surface Dice is {tolerance_mm} mm; it is 0 or more.")
    if not 0 < piece_iou <= 1:
        raise ValueError(f"The least IoU of matching pieces is {piece_iou}; it is above 0 and at most 1.")
    if ignore_label is not None and not labels:
        raise ValueError("-il goes with --labels: without them the dataset.json says which label is ignored.")


def _content_of(dataset_json: Path | None, *, may_be_bad: bool) -> tuple[dict[str, Any], str]:
    """Return what a dataset.json says, and a sentence if it is left aside: one that nobody named may be another's."""
    if dataset_json is None:
        return {}, ""
    try:
        content = read_dataset_json(dataset_json)
        if not isinstance(content.get("file_ending") or "", str):
            raise ValueError(f"{dataset_json} has the file_ending {content['file_ending']!r}: it is a text, '.nii.gz'.")
        if reader := content.get("overwrite_image_reader_writer"):
            choose_reader("", asked_for=str(reader), asked_in=dataset_json)
    except ValueError as error:
        if not may_be_bad:
            raise
        return {}, f"{dataset_json} is left aside: {error}"
    return content, ""


def _existing_folder(folder: Path) -> Path:
    folder = Path(folder)
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file: GT and PRED are folders.")
    if not folder.is_dir():
        raise FileNotFoundError(f"The folder {folder} does not exist.")
    # What lies next to a link counts, not what lies next to its target.
    named = Path(os.path.abspath(folder))
    return named if named.exists() and named.samefile(folder) else folder.resolve()


def _refuse_swapped(reference: Path, prediction: Path) -> None:
    if reference.samefile(prediction):
        raise ValueError(f"{reference} was given as reference and as prediction.")
    marks = [mark for mark in _PREDICTION_MARKS if (reference / mark).is_file()]
    # Predictions alone are no mistake: pseudo-labels are references, too.
    if marks and prediction.name in _GROUND_TRUTH_FOLDERS:
        raise ValueError(
            f"{reference} was given as the reference but holds {marks[0]}, as predictions of nnU-Net do, and "
            f"{prediction} is named like ground truth: are the folders swapped? It is `evaluate GT PRED`."
        )


def _refuse_strangers(reference: Path, prediction: Path, cases: list[str], predicted: list[str], ending: str) -> None:
    """Raise ValueError if there are no references, or none that is predicted."""
    if not cases:
        raise ValueError(f"{reference} holds no {ending} file: it should hold the reference label maps.")
    if not set(cases) & set(predicted):
        held = f"{predicted[0]}{ending}, …" if predicted else f"no {ending} file"
        raise ValueError(
            f"{prediction} holds no prediction of a case of {reference} (it has {held}; wanted are {cases[0]}{ending}, "
            "…): are these the right folders?"
        )


def _find_dataset_json(reference: Path, prediction: Path) -> Path | None:
    folders = (reference, reference.parent, prediction, prediction.parent, prediction.parent.parent)
    return next((path for folder in folders if (path := folder / "dataset.json").is_file()), None)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _cases(folder: Path, ending: str) -> list[str]:
    images = find_images(folder, (ending,), may_be_none=True)
    for path in images.values():
        if not _is_text(str(path)):
            raise ValueError(f"The name of {str(path)!a} is not UTF-8: rename it.")  # SimpleITK aborts on it
    return list(images)


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
