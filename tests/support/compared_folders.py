"""Evaluation folders made by hand: what `acnn-nnunet evaluate` writes, without evaluating."""

import json
from dataclasses import replace
from pathlib import Path

from acnn_nnunet.evaluation.masks.scores import BOTH_EMPTY, MISSED, OK, SPURIOUS, LabelScores
from acnn_nnunet.evaluation.masks.table import CASES_FILE, LARGEST_COMPONENT_FILE, write_scores

DIAGONAL_MM = 100.0
_EMPTY = {"dice": None, "iou": None, "hausdorff_mm": None, "hd95_mm": None, "mean_surface_distance_mm": None}


def score(case: str, label: str = "1", dice: float = 0.9, *, distance_mm: float = 2.0, volume_ml=10.0) -> LabelScores:
    """A label that both have."""
    iou = dice / (2 - dice)
    distances = (distance_mm, distance_mm / 2, distance_mm / 4)
    return LabelScores(case, label, OK, dice, iou, *distances, dice, volume_ml, volume_ml, 1, 0)


def missed(case: str, label: str = "1") -> LabelScores:
    distances = (DIAGONAL_MM,) * 3
    return LabelScores(case, label, MISSED, 0.0, 0.0, *distances, 0.0, 10.0, 0.0, 0, 0)


def spurious(case: str, label: str = "1") -> LabelScores:
    distances = (DIAGONAL_MM,) * 3
    return LabelScores(case, label, SPURIOUS, 0.0, 0.0, *distances, 0.0, 0.0, 10.0, 1, 0)


def both_empty(case: str, label: str = "1") -> LabelScores:
    return replace(spurious(case, label), status=BOTH_EMPTY, surface_dice=None, volume_prediction_ml=0.0, **_EMPTY)


def write_evaluation(
    folder: Path, scores: list[LabelScores], *, cleaned: list[LabelScores] | None = None, **summary
) -> Path:
    """Write a folder; the clean-up changes nothing unless told."""
    folder.mkdir(parents=True)
    write_scores(folder / CASES_FILE, scores)
    write_scores(folder / LARGEST_COMPONENT_FILE, scores if cleaned is None else cleaned)
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder
