"""Five-fold networks of the study, each member's label maps, and those of their mean probability."""

import json
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.files.safe_writes import write_json
from scripts.studies.defaults.arms import FEW_FOLD
from scripts.studies.defaults.workplace import CONFIGURATION, Workplace
from scripts.studies.jobs import run_all
from scripts.studies.plausibility.images import IMAGES

ARM = "none_unmirrored"  # of the study of defaults: nnU-Net's trainer without mirroring
NUM_FOLDS = 5
MEMBERS, ENSEMBLE = "members", "ensemble"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")  # the second where a training has not ended
_WINDOW = 1.2  # of a patch: 240 mm of a heart's slice, which holds every heart of the dataset


def train_folds(place: Workplace, *, jobs: int) -> None:
    """Train the networks of five folds of the study's few training cases; what is trained is kept.

    Args:
        place: of the study of defaults, prepared.
        jobs: processes, of one thread each, at a time.
    """
    _write_folds(place)
    environment = {**place.environment, "nnUNet_n_proc_DA": "0"}
    calls = [(_train_fold, (place, number)) for number in range(NUM_FOLDS)]
    run_all(calls, environment=environment, ends=math.inf, processes=jobs)


def _write_folds(place: Workplace) -> None:
    """Add the five folds of the few training cases, by patient, behind the folds of the study of defaults."""
    place.write_split()
    path = place.preprocessed / "splits_final.json"
    splits = json.loads(path.read_text())
    cases = splits[FEW_FOLD]["train"]
    units = sorted({place.unit(case) for case in cases})
    for number in range(NUM_FOLDS):
        held_out = set(units[number::NUM_FOLDS])  # ACDC numbers its patients by group: every fold has its share
        kept = [case for case in cases if place.unit(case) not in held_out]
        splits.append({"train": kept, "val": [case for case in cases if place.unit(case) in held_out]})
    write_json(path, splits)


def _first_fold(place: Workplace) -> int:
    return FEW_FOLD + 1 + len(place.study.sizes)


def _train_fold(place: Workplace, number: int) -> None:
    name = f"{CONFIGURATION}_{ARM}_fold{number}"
    with place.log(name):
        place.configure(place.study.dataset_id, CONFIGURATION, name, place.settings_of(ARM, number))
        place.train(name, _first_fold(place) + number, "ACNNTrainer")


class Ensemble:
    """Networks of a dataset, named ARM_foldN or ARM_seedN, and their predictions in a folder of this study.

    Args:
        place: of the study of defaults, whose networks these are.
        folder: of this study and dataset.
        models: names of the members.
    """

    def __init__(self, place: Workplace, folder: Path, models: Sequence[str]):
        self.place, self.folder, self.models = place, folder, tuple(models)

    def predict(self, keys: Sequence[str]) -> None:
        """Predict images with every member and with their mean probability; what is there is kept.

        They come in random order: where time runs out, every kind and part has its share.
        """
        for index in np.random.default_rng(0).permutation(len(keys)):
            key = keys[index]
            if not (self.folder / ENSEMBLE / f"{key}.nii.gz").is_file():
                self._predict(key)

    def _predict(self, key: str) -> None:
        import torch

        first = self._predictors[self.models[0]]
        files = [str(self.folder / IMAGES / f"{key}_0000.nii.gz")]
        preprocessor = first.configuration_manager.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case(
            files, None, first.plans_manager, first.configuration_manager, first.dataset_json
        )
        image, probabilities = torch.from_numpy(np.asarray(data)).float(), []
        for model in self.models:
            logits = predict_middle(self._predictors[model], image)
            probabilities.append(logits.softmax(0))
            self._write(first, logits, properties, self.folder / MEMBERS / model / f"{key}.nii.gz")
        mean = torch.stack(probabilities).mean(0).clamp(min=1e-7).log()
        self._write(first, mean, properties, self.folder / ENSEMBLE / f"{key}.nii.gz")

    @cached_property
    def _predictors(self) -> dict[str, Any]:
        import torch
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        found = {}
        for model in self.models:
            number = _first_fold(self.place) + int(model[-1]) if model[:-1].endswith("_fold") else FEW_FOLD
            folder = self.place.trainer_folder(self.place.raw.name, "ACNNTrainer", f"{CONFIGURATION}_{model}", number)
            found[model] = nnUNetPredictor(
                use_mirroring=False, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
            )
            name = next(each for each in CHECKPOINTS if (folder / each).is_file())
            if name != CHECKPOINTS[0]:
                print(f"{model} is still being trained: {name} is taken", flush=True)
            found[model].initialize_from_trained_model_folder(str(folder.parent), (number,), name)
            found[model].network.load_state_dict(found[model].list_of_parameters[0])
            found[model].network.eval()
        return found

    def _write(self, predictor: Any, logits: Any, properties: dict[str, Any], path: Path) -> None:
        from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape

        plans, configuration = predictor.plans_manager, predictor.configuration_manager
        segmentation = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits.clone(), plans, configuration, predictor.label_manager, properties, num_threads_torch=1
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        plans.image_reader_writer_class().write_seg(segmentation, str(path), properties)


def predict_middle(predictor: Any, image: Any) -> Any:
    """Return logits (C, Z, Y, X) of an image (C', Z, Y, X), from one window around its middle; background elsewhere.

    nnU-Net's sliding windows cost several times as much, and there is no anatomy at the edge of these images.
    """
    import torch

    patch = predictor.configuration_manager.patch_size
    sizes = [min(length, round(_WINDOW * own)) for length, own in zip(image.shape[1:], patch, strict=True)]
    starts = [(length - own) // 2 for length, own in zip(image.shape[1:], sizes, strict=True)]
    window = tuple(slice(start, start + own) for start, own in zip(starts, sizes, strict=True))
    multiples = 8  # by which the networks' strides divide an axis
    padding = [(-own) % multiples for own in sizes]
    around = [size for pad in reversed(padding) for size in (0, pad)]
    with torch.no_grad():
        seen = predictor.network(torch.nn.functional.pad(image[(slice(None), *window)][None], around))[0].float()
    seen = seen[(slice(None), *(slice(own) for own in sizes))]
    logits = torch.full((len(seen), *image.shape[1:]), -10.0)
    logits[0] = 10.0
    logits[(slice(None), *window)] = seen
    return logits
