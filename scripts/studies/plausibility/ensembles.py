"""Predictions of the study's networks: each member's label maps, and those of their mean probability."""

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.studies.defaults.arms import FEW_FOLD
from scripts.studies.defaults.workplace import CONFIGURATION, Workplace
from scripts.studies.plausibility.images import IMAGES

MEMBERS, ENSEMBLE, LOGITS, PREPROCESSED = "members", "ensemble", "logits", "pre"


class Ensemble:
    """Networks of a dataset, named ARM_seedN, and their predictions in a folder of this study.

    Args:
        place: of the study of defaults, whose networks these are.
        folder: of this study and dataset.
        models: names of the members.
    """

    def __init__(self, place: Workplace, folder: Path, models: Sequence[str]):
        self.place, self.folder, self.models = place, folder, tuple(models)

    def predict(self, keys: Sequence[str]) -> None:
        """Predict images with every member, then with their mean probability; what is there is kept."""
        for model in self.models:
            missing = [key for key in keys if not self._logits(model, key).is_file()]
            predictor = self._predictor(model) if missing else None
            for key in missing:
                data, properties = self._preprocessed(predictor, key)
                logits = predictor.predict_logits_from_preprocessed_data(data).float()
                self._write(predictor, logits.clone(), properties, self.folder / MEMBERS / model / f"{key}.nii.gz")
                self._keep(self._logits(model, key), logits.numpy())
        self._combine(keys)

    def _combine(self, keys: Sequence[str]) -> None:
        import torch

        missing = [key for key in keys if not (self.folder / ENSEMBLE / f"{key}.nii.gz").is_file()]
        predictor = self._predictor(self.models[0]) if missing else None
        for key in missing:
            _, properties = self._preprocessed(predictor, key)
            logits = [torch.from_numpy(np.load(self._logits(model, key))).float() for model in self.models]
            mean = torch.stack([each.softmax(0) for each in logits]).mean(0)
            path = self.folder / ENSEMBLE / f"{key}.nii.gz"
            self._write(predictor, mean.clamp(min=1e-7).log(), properties, path)

    def _logits(self, model: str, key: str) -> Path:
        return self.folder / LOGITS / model / f"{key}.npy"

    def _predictor(self, model: str) -> Any:
        import torch
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        place = self.place
        folder = place.trainer_folder(place.raw.name, "ACNNTrainer", f"{CONFIGURATION}_{model}", FEW_FOLD)
        predictor = nnUNetPredictor(
            use_mirroring=False,
            perform_everything_on_device=False,
            device=torch.device("cpu"),
            allow_tqdm=False,
        )
        predictor.initialize_from_trained_model_folder(str(folder.parent), (FEW_FOLD,), "checkpoint_final.pth")
        return predictor

    def _preprocessed(self, predictor: Any, key: str) -> tuple[Any, dict[str, Any]]:
        """Return an image as nnU-Net preprocesses it, the same for all members, and its properties."""
        import torch

        path = self.folder / PREPROCESSED / f"{key}.pkl"
        if not path.is_file():
            plans, configuration = predictor.plans_manager, predictor.configuration_manager
            files = [str(self.folder / IMAGES / f"{key}_0000.nii.gz")]
            preprocessor = configuration.preprocessor_class(verbose=False)
            data, _, properties = preprocessor.run_case(files, None, plans, configuration, predictor.dataset_json)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pickle.dumps((np.asarray(data), properties)))
        data, properties = pickle.loads(path.read_bytes())
        return torch.from_numpy(data).float(), properties

    def _write(self, predictor: Any, logits: Any, properties: dict[str, Any], path: Path) -> None:
        from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape

        plans, configuration = predictor.plans_manager, predictor.configuration_manager
        segmentation = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits, plans, configuration, predictor.label_manager, properties, num_threads_torch=1
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        plans.image_reader_writer_class().write_seg(segmentation, str(path), properties)

    def _keep(self, path: Path, logits: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".tmp.npy")
        np.save(partial, logits.astype(np.float16))
        os.replace(partial, path)
