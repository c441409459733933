"""Cross-validated predictions of a trained model, as label maps on the grid of preprocessed cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from acvl_utils.cropping_and_padding.bounding_boxes import bounding_box_to_slice
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from acnn_nnunet.nnunet.label_files import LabelFileReader, choose_reader
from acnn_nnunet.nnunet.labels import read_dataset_json
from acnn_nnunet.nnunet.resampling import spacings_mm


@dataclass(frozen=True)
class PredictionPreprocessor:
    """Brings files of predictions to the grid of their preprocessed cases.

    Attributes:
        plans: that the cases were preprocessed with.
        configuration: of the plans.
        dataset_json: of the cases' dataset.
    """

    plans: PlansManager
    configuration: ConfigurationManager
    dataset_json: Mapping[str, Any]

    def load(self, file: Path, properties: Mapping[str, Any], shape: Sequence[int]) -> np.ndarray:
        """Return a label map (Z, Y, X): transposed, cropped and resampled as the host preprocesses labels.

        Args:
            file: the prediction.
            properties: of the preprocessed case.
            shape: of the preprocessed case, (Z, Y, X).

        Raises:
            ValueError: naming the file, if it cannot be read, is of another size than its case, or holds a label that
                the dataset has not.
        """
        order = [int(axis) for axis in self.plans.transpose_forward]
        segmentation = np.transpose(self._read(file), order)
        size = tuple(int(n) for n in properties["shape_before_cropping"])
        if segmentation.shape != size:
            raise ValueError(
                f"{file} is of {segmentation.shape} voxels, its training case of {size}: it was predicted from another "
                f"image; name a model of this dataset with network_maps."
            )
        cropped = segmentation[bounding_box_to_slice(properties["bbox_used_for_cropping"])][None].astype(np.int16)
        current, target = spacings_mm(properties["spacing"], self.plans, self.configuration)
        return np.asarray(self.configuration.resampling_fn_seg(cropped, tuple(shape), current, target))[0]

    @cached_property
    def _reader(self) -> LabelFileReader:
        asked_for = self.plans.plans.get("image_reader_writer")
        return LabelFileReader(choose_reader(self.dataset_json["file_ending"], asked_for=asked_for))

    @cached_property
    def _labels(self) -> list[int]:
        return [int(label) for label in self.plans.get_label_manager(self.dataset_json).all_labels]

    def _read(self, file: Path) -> np.ndarray:
        """Return the label map (Z, Y, X) of a file."""
        values = self._reader.read(file).values
        if other := sorted({int(value) for value in np.unique(values)} - set(self._labels)):
            raise ValueError(
                f"{file} holds the label {other[0]}, which its dataset has not (it has "
                f"{', '.join(map(str, self._labels))}): predict it again, or take it away."
            )
        return values[None] if values.ndim == 2 else values


def add_network_maps(dataset, model_folder: Path, folder: Path, *, preprocessor: PredictionPreprocessor) -> int:
    """Give a host dataset a model's predictions, so that its cases come with them as with a cascade's previous stage.

    A case without a prediction comes with its own label map.

    Args:
        dataset: a host dataset of preprocessed cases.
        model_folder: of the trained model, as `find_predictions` takes it.
        folder: where the label maps are written; what it held of these cases is overwritten.
        preprocessor: for the predictions.

    Returns:
        The number of cases with a prediction.

    Raises:
        FileNotFoundError: if there is no such model, or none of its folds has predictions.
        ValueError: if the model has other labels, no case has a prediction, or one cannot be used.
    """
    predictions = find_predictions(model_folder, dataset_json=preprocessor.dataset_json)
    predicted = [case for case in dataset.identifiers if case in predictions]
    if not predicted:
        raise ValueError(
            f"{model_folder} has a prediction of none of the {len(dataset.identifiers)} training cases, only of "
            f"{len(predictions)} others such as {min(predictions)}: train its folds that hold the training cases out, "
            f"or set network_maps=none."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for case in dataset.identifiers:
        _, segmentation, _, properties = dataset.load_case(case)
        if case in predictions:
            label_map = preprocessor.load(predictions[case], properties, segmentation.shape[1:])
        else:
            label_map = np.maximum(np.asarray(segmentation[0]), 0)
        dataset.save_seg(label_map.astype(np.int16), str(folder / case))
    dataset.folder_with_segs_from_previous_stage = str(folder)
    return len(predicted)


def find_predictions(model_folder: Path, *, dataset_json: Mapping[str, Any]) -> dict[str, Path]:
    """Return the file of every case that a fold of a trained model has predicted as its validation case.

    A case of several folds' validation is taken from the first. `fold_all` has seen what it predicts and is left out.

    Args:
        model_folder: such as `nnUNet_results/DATASET/nnUNetTrainer__nnUNetPlans__3d_fullres`.
        dataset_json: of the dataset whose cases are wanted: its labels, and the files' ending.

    Raises:
        FileNotFoundError: if there is no such folder, or none of its folds has predictions.
        ValueError: if the model has other labels.
    """
    if not (model_folder / "dataset.json").is_file():
        raise FileNotFoundError(
            f"{model_folder} is no folder of a trained model: network_maps takes an absolute path such as "
            f"…/nnUNet_results/DATASET/nnUNetTrainer__nnUNetPlans__3d_fullres, which holds dataset.json and fold_0."
        )
    labels = read_dataset_json(model_folder / "dataset.json").get("labels")
    if labels != dataset_json["labels"]:
        raise ValueError(
            f"The model {model_folder} has the labels {labels}, the dataset {dataset_json['labels']}: name a model of "
            f"the same labels with network_maps."
        )
    ending = dataset_json["file_ending"]
    folds = [path for path in model_folder.glob("fold_*") if path.name.removeprefix("fold_").isdecimal()]
    predictions: dict[str, Path] = {}
    for fold in sorted(folds, key=lambda path: int(path.name.removeprefix("fold_"))):
        for file in (fold / "validation").glob(f"*{ending}"):
            predictions.setdefault(file.name.removesuffix(ending), file)
    if not predictions:
        raise FileNotFoundError(
            f"No fold of {model_folder} has predictions (fold_K/validation/CASE{ending}), which network_maps takes: "
            f"train its folds, or make them with nnUNetv2_train … --val."
        )
    return predictions
