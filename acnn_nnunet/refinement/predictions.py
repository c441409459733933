"""What nnUNetv2_predict wrote: label maps and, with --save_probabilities, the probabilities beside them."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.files.folders import find_images
from acnn_nnunet.files.on_demand import OnDemand
from acnn_nnunet.files.safe_writes import replace_atomically
from acnn_nnunet.fold_prior.coder import Coder
from acnn_nnunet.nnunet.models import ModelBundle

# Voxels that probabilities and label map decide differently, as a share of the anatomy in either.
_MOST_DIFFERENT = 0.2


@dataclass(frozen=True)
class PredictionFiles:
    """The files of one prediction.

    Attributes:
        label: the label map.
        probabilities: `CASE.npz`, or None.
        properties: `CASE.pkl`, which nnU-Net writes with it.
    """

    label: Path
    probabilities: Path | None
    properties: Path


@dataclass(frozen=True)
class Prediction:
    """A segmentation in memory.

    Attributes:
        values: integers (Z, Y, X), axes as the host's reader gives them.
        spacing_mm: in the same order.
        probabilities: (C, Z, Y, X) of classes with background, or of regions; None where there is only the label map.
    """

    values: np.ndarray
    spacing_mm: tuple[float, ...]
    probabilities: np.ndarray | None = None


def list_predictions(folder: Path, coder: Coder) -> Mapping[str, PredictionFiles]:
    """Return the files of each prediction of a folder, by case; they are looked for when they are asked for.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such folder, or no label map in it.
        ValueError: if the folder's own dataset.json or plans.json say that it belongs to another dataset.
    """
    labels = find_images(folder, (coder.file_ending,), may_be_none=True)
    if not labels:
        raise FileNotFoundError(
            f"{folder} holds no label map *{coder.file_ending}: name a folder that nnUNetv2_predict wrote."
        )
    _refuse_another_dataset(folder, coder)
    return OnDemand(labels, lambda case: _files_beside(labels[case], coder.file_ending))


def read_prediction(files: PredictionFiles, coder: Coder) -> tuple[Prediction, dict[str, Any]]:
    """Return a prediction and the host's properties, to write its label map with.

    Raises:
        ValueError: naming the file, if one cannot be read, label map or probabilities do not suit the prior, the two
            do not belong together, or the probabilities lack their .pkl.
    """
    label_map, properties = coder.reader.read_with_properties(files.label)
    coder.check(label_map, files.label)
    values = label_map.volume
    probabilities = None
    if files.probabilities is not None:
        if not files.properties.is_file():
            raise ValueError(
                f"{files.probabilities} has no {files.properties.name} beside it, which nnU-Net writes with it: "
                "predict the case again with --save_probabilities, or move the .npz away to refine the label map alone."
            )
        probabilities = _read_probabilities(files.probabilities, coder.labels.num_channels, values.shape)
        _refuse_another_case(probabilities, values, files, coder)
    return Prediction(values, tuple(float(s) for s in label_map.volume_spacing_mm), probabilities), properties


def write_label_map(values: np.ndarray, properties: dict[str, Any], target: Path, bundle: ModelBundle) -> None:
    """Write a label map (Z, Y, X) as the host writes it: beside and renamed.

    Args:
        values: integers, axes as the host's reader gives them.
        properties: the host's, of the file whose geometry it has.
        target: the file to write.
        bundle: whose file format it has.

    Raises:
        WriteError: if it cannot be written.
    """
    write_label_map_with(bundle.plans.image_reader_writer_class(), values, properties, target)


def write_label_map_with(writer: Any, values: np.ndarray, properties: dict[str, Any], target: Path) -> None:
    """Write a label map (Z, Y, X) with one of the host's reader-writers: beside and renamed.

    Raises:
        WriteError: if it cannot be written.
    """
    # The host's writers choose the format by the ending, which the file keeps while it is written beside its name.
    beside = target.with_name(f".partial-{target.name}")
    largest = int(values.max(initial=0))

    def write(partial: str) -> None:
        writer.write_seg(values.astype(np.uint8 if largest < 256 else np.uint16), str(beside), properties)
        beside.replace(partial)

    try:
        replace_atomically(target, write)
    finally:
        beside.unlink(missing_ok=True)


def decided(probabilities: np.ndarray, coder: Coder) -> np.ndarray:
    """Return the label map (Z, Y, X) of probabilities (C, Z, Y, X), as the host decides."""
    return np.asarray(coder.bundle.labels.convert_probabilities_to_segmentation(probabilities)).astype(np.int32)


def _files_beside(label: Path, ending: str) -> PredictionFiles:
    stem = label.name[: len(label.name) - len(ending)]  # as the file spells it, which the case's name need not
    npz = label.with_name(f"{stem}.npz")
    return PredictionFiles(label, npz if npz.is_file() else None, label.with_name(f"{stem}.pkl"))


def _read_probabilities(path: Path, num_channels: int, shape: tuple[int, ...]) -> np.ndarray:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
            probabilities = content["probabilities"]
    except KeyError:
        raise ValueError(f"{path} holds no probabilities: nnUNetv2_predict --save_probabilities writes them.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} cannot be read ({error}): predict the case again with --save_probabilities."
        ) from None
    if probabilities.shape != (num_channels, *shape):
        raise ValueError(
            f"{path} holds probabilities of {probabilities.shape}, channels first; its label map and the prior's "
            f"labels ask for {(num_channels, *shape)}: predict the case again with the prior's dataset."
        )
    return probabilities


def _refuse_another_case(probabilities: np.ndarray, values: np.ndarray, files: PredictionFiles, coder: Coder) -> None:
    of_probabilities = decided(probabilities, coder)
    anatomy = int(np.count_nonzero((of_probabilities > 0) | (values > 0)))
    different = int(np.count_nonzero(of_probabilities != values))
    if different > _MOST_DIFFERENT * max(1, anatomy):
        raise ValueError(
            f"{files.probabilities} and {files.label.name} do not belong together: {different} voxels differ, and the "
            f"anatomy has {anatomy}. Are the labels in another order? Predict the case again, or move the .npz away."
        )


def _refuse_another_dataset(folder: Path, coder: Coder) -> None:
    """Refuse a folder whose dataset.json and plans.json, which nnUNetv2_predict puts there, are not the prior's."""
    spec = coder.prior.spec
    labels = _of_json(folder / "dataset.json").get("labels")
    if labels is not None and _without_ignore(labels) != _without_ignore(spec.labels):
        raise ValueError(
            f"{folder / 'dataset.json'} has other labels than the prior {coder.prior.path}: "
            f"{_in_words(labels)}, not {_in_words(spec.labels)}. Choose the prior of that dataset."
        )
    dataset = _of_json(folder / "plans.json").get("dataset_name", spec.dataset)
    if dataset != spec.dataset:
        raise ValueError(
            f"{folder / 'plans.json'} is of {dataset}, the prior {coder.prior.path} of {spec.dataset}: choose a prior "
            f"of {dataset}, or, if the predictions are of the prior's anatomy, move that plans.json away."
        )


def _of_json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is no JSON ({error}): nnUNetv2_predict wrote it, predict again or delete it."
        ) from None
    return content if isinstance(content, dict) else {}


def _without_ignore(labels: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in labels.items() if name != "ignore"}


def _in_words(labels: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in labels.items())
