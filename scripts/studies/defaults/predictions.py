"""One network of the study on all test images: predicted and scored in one process, without files in between.

Tiles, export and scores are the host's and `acnn-nnunet evaluate`'s own, on the arrays that `images.py` keeps.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scripts.studies.defaults.images import TestImage, read_test_images
from scripts.studies.label_shares import log_shares

if TYPE_CHECKING:
    from torch import Tensor

# Scores of the prediction, and again, with _LARGEST behind the name, of each label's largest component.
SCORES = ("dice", "hausdorff_mm", "hd95_mm")
LARGEST = "_largest"


def predict_and_score(
    model: Path,
    fold: int,
    test: Path,
    labels: Path,
    *,
    device: str,
    adjusted_to: Sequence[str] = (),
    mirrored: bool = False,
) -> pd.DataFrame:
    """Return a row per test image and label: part, kind, case, label, scores as text.

    Args:
        model: folder of a trained model.
        fold: whose checkpoint_final.pth predicts.
        test: folder of test images.
        labels: folder of the cases' label maps.
        device: "cpu" or "cuda".
        adjusted_to: cases of `labels`; the log of each label's share of their voxels is added to its logits.
        mirrored: the logits are the mean over all mirrorings of the training, as nnUNetv2_predict has it without
            `--disable_tta`.
    """
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    if device == "cpu":
        torch.set_num_threads(1)
    predictor = nnUNetPredictor(
        use_mirroring=mirrored,
        perform_everything_on_device=device != "cpu",
        device=torch.device(device),
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(str(model), (fold,), "checkpoint_final.pth")
    scored = _Scorer(predictor, labels, adjusted_to)
    cases = groupby(read_test_images(test), key=lambda image: (image.part, image.case))
    return pd.DataFrame([row for _, images in cases for row in scored.rows(list(images))])


class _Scorer:
    """Predicts with one model and scores against the label maps of a folder."""

    def __init__(self, predictor: Any, labels: Path, adjusted_to: Sequence[str]):
        import torch

        from acnn_nnunet.nnunet.label_files import LabelFileReader

        self.predictor, self.labels = predictor, labels
        self.reader = LabelFileReader(predictor.plans_manager.image_reader_writer_class.__name__)
        self.label_manager = predictor.plans_manager.get_label_manager(predictor.dataset_json)
        adjusted = [labels / f"{case}.nii.gz" for case in adjusted_to]
        shift = log_shares(adjusted, len(self.label_manager.all_labels)) if adjusted else [0.0]
        self.shift = torch.tensor(shift).view(-1, 1, 1, 1)

    def rows(self, images: list[TestImage]) -> list[dict[str, str]]:
        """Return a row per kind and label of one case."""
        import torch

        from acnn_nnunet.evaluation.masks.case_scores import score_case
        from acnn_nnunet.nnunet.label_files import LabelMap
        from scripts.studies.defaults.tiles import predict_logits

        reference = self.reader.read(self.labels / f"{images[0].case}.nii.gz")
        logits = predict_logits(self.predictor, [torch.from_numpy(image.data) for image in images])
        rows = []
        for image, of_image in zip(images, logits, strict=True):
            prediction = LabelMap(self.export(of_image + self.shift, image), reference.geometry)
            for own, cleaned in score_case(
                reference, prediction, tuple(self.label_manager.foreground_labels), ignore=None, tolerance_mm=1.0
            ):
                scores = {name: str(getattr(own, name)) for name in SCORES}
                scores |= {f"{name}{LARGEST}": str(getattr(cleaned, name)) for name in SCORES}
                rows.append({"part": image.part, "kind": image.kind, "case": image.case, "label": own.label, **scores})
        return rows

    def export(self, logits: "Tensor", image: TestImage) -> np.ndarray:
        """Return the label map of logits on the image's own grid, as the host exports it."""
        from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape

        return convert_predicted_logits_to_segmentation_with_correct_shape(
            logits,
            self.predictor.plans_manager,
            self.predictor.configuration_manager,
            self.label_manager,
            image.properties,
            num_threads_torch=1,
        )
