"""Soft predictions of the study's networks for every test image, made once and kept in a scratch folder."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scripts.studies.defaults.arms import FEW_FOLD
from scripts.studies.defaults.workplace import Workplace
from scripts.studies.refinement.images import CLEAN, KINDS, make_image

PARTS = ("selection", "confirmation")
NETWORKS = ("none_unmirrored", "none_unmirrored_hidden", "none")
"""Trained without a prior: today's defaults, the same with `hidden_parts=0.5`, and as stock nnU-Net trains."""


def file_of(store: Path, dataset: str, network: str, seed: int, case: str, kind: str) -> Path:
    """Return where the prediction of an image lies."""
    return store / dataset / f"{network}_seed{seed}" / f"{case}__{kind}.npz"


def images_of(place: Workplace, part: str, kind: str) -> list[str]:
    """Return the cases of a part that are predicted.

    Of hearts that is one phase of each patient, diastole and systole in turn, unless the images are clean.
    """
    cases = place.cases(part)
    if not place.study.grouped or kind == CLEAN:
        return cases
    return [case for index, case in enumerate(cases) if (index // 2 + index) % 2 == 0]


def seeds_of(place: Workplace, store: Path, network: str) -> list[int]:
    """Return the seeds of a network of which predictions are kept."""
    found = (store / place.name).glob(f"{network}_seed*")
    return sorted(int(folder.name.removeprefix(f"{network}_seed")) for folder in found)


def load(path: Path) -> np.ndarray:
    """Return probabilities (C, Z, Y, X), float32, on the image's grid."""
    with np.load(path) as content:
        return content["probabilities"].astype(np.float32)


class Networks:
    """The trained networks of a dataset's workplace, and their predictions.

    Args:
        place: of the study of defaults.
        store: folder of predictions.
    """

    def __init__(self, place: Workplace, store: Path):
        self.place, self.store = place, store

    def folder(self, network: str, seed: int) -> Path:
        """Return the folder of a trained network's fold."""
        return self.place.trainer_folder(
            self.place.raw.name, "ACNNTrainer", self.place.configuration_of(network, seed), FEW_FOLD
        )

    def predict(self, network: str, seed: int, part: str, *, kinds: Sequence[str] = KINDS, until: float) -> bool:
        """Predict every image of a part that is not there; return whether all are, before a time of `time.time`."""
        missing = [
            (case, kind)
            for kind in kinds
            for case in images_of(self.place, part, kind)
            if not file_of(self.store, self.place.name, network, seed, case, kind).is_file()
        ]
        if not missing:
            return True
        predictor = self._predictor(network, seed)
        for case, kind in missing:
            if time.time() > until:
                return False
            path = file_of(self.store, self.place.name, network, seed, case, kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            image, properties = self._image(case, kind)
            _, probabilities = predictor.predict_single_npy_array(image, properties, None, None, True)
            partial = path.with_name(f".{path.name}")
            np.savez_compressed(partial, probabilities=probabilities.astype(np.float16))
            partial.rename(path)
        return True

    def _image(self, case: str, kind: str) -> tuple[np.ndarray, dict]:
        from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

        reader, raw = SimpleITKIO(), self.place.raw
        image, properties = reader.read_images([str(raw / "imagesTr" / f"{case}_0000.nii.gz")])
        label, _ = reader.read_seg(str(raw / "labelsTr" / f"{case}.nii.gz"))
        spacing_mm = tuple(float(s) for s in properties["spacing"])
        motion_mm = self.place.study.motion_mm
        return make_image(image[0], label[0], kind, case=case, spacing_mm=spacing_mm, motion_mm=motion_mm)[
            None
        ], properties

    def _predictor(self, network: str, seed: int):
        import torch
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        predictor = nnUNetPredictor(
            use_mirroring=False, perform_everything_on_device=False, device=torch.device("cpu"), verbose=False,
            allow_tqdm=False,
        )  # fmt: skip
        folder = self.folder(network, seed)
        predictor.initialize_from_trained_model_folder(str(folder.parent), (FEW_FOLD,), "checkpoint_final.pth")
        return predictor
