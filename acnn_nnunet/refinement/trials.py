"""Trials for a calibration: what every method and choice makes of a prediction whose truth is known."""

import zlib
from dataclasses import replace

import numpy as np
import torch

from acnn_nnunet.evaluation.masks.scores import BOTH_EMPTY, score_masks
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.fold_prior.held_out import as_target
from acnn_nnunet.refinement.anatomy_refiner import METHODS, AnatomyRefiner
from acnn_nnunet.refinement.calibration import Trial
from acnn_nnunet.refinement.choices import choices_of
from acnn_nnunet.refinement.predictions import Prediction, decided
from acnn_nnunet.refinement.structural_errors import spoil


def make_trials(
    refiner: AnatomyRefiner, prediction: Prediction, truth: np.ndarray, *, case: str, unit: str
) -> list[Trial]:
    """Return the trials of a prediction and of its spoilt copy, those that can be refined.

    Args:
        refiner: of the prior.
        prediction: as nnUNetv2_predict made it.
        truth: label map (Z, Y, X) on the same grid.
        case: its name; the spoilt copy is always the same.
        unit: patient, or case where there are none.
    """
    made = []
    for spoilt, each in ((False, prediction), (True, spoilt_copy(prediction, refiner, seed=zlib.crc32(case.encode())))):
        opinion = refiner.propose(each)
        if isinstance(opinion, str) or not opinion.resembles:
            continue
        labels = list(refiner.coder.names.values())
        resemblance, choices = opinion.measures["resemblance"], choices_of(labels)
        scores = np.full((2, len(labels), len(METHODS), len(choices)), np.nan)
        known: dict[str, np.ndarray] = {}  # several choices may come to the same
        for m, method in enumerate(METHODS):
            for k, choice in enumerate(choices):
                step = choice.step(method, resemblance)
                if str(step) not in known:
                    refined = each.values if step is None else refiner.written_back(each, opinion, step)
                    known[str(step)] = score_labels(truth, refined, each.spacing_mm, refiner)
                scores[:, :, m, k] = known[str(step)]
        if np.isnan(scores).all():
            continue  # every label lies in voxels that are ignored
        made.append(Trial(unit, spoilt, resemblance, scores[0], scores[1]))
    return made


def spoilt_copy(prediction: Prediction, refiner: AnatomyRefiner, *, seed: int) -> Prediction:
    """Return a prediction with parts missing, moved and added, as a bad image would have it."""
    labels = refiner.coder.labels
    if prediction.probabilities is None:
        target = as_target(prediction.values[None].astype(np.int16), refiner.coder.prior.spec.labels, labels)
        soft = labels.target_maps(target[None])[0]
    else:
        soft = torch.from_numpy(prediction.probabilities.astype(np.float32))
    # The host's first axis is that across the slices, which bad images lose.
    order = [0, *(1 + axis for axis in refiner.coder.layout.transpose)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        spoilt = spoil(soft.permute(order), labels).permute(np.argsort(order).tolist()).numpy()
    values = decided(spoilt, refiner.coder).astype(prediction.values.dtype)
    kept = None if prediction.probabilities is None else spoilt
    return replace(prediction, values=values, probabilities=kept)


def score_labels(
    truth: np.ndarray, values: np.ndarray, spacing_mm: tuple[float, ...], refiner: AnatomyRefiner
) -> np.ndarray:
    """Return Dice and Hausdorff distance in mm (2, labels) of a label map; NaN where a label is in neither.

    Voxels with the ignore label are background in both, as in `evaluate`.
    """
    geometry = Geometry(tuple(truth.shape), spacing_mm)
    ignore = refiner.coder.prior.spec.labels.get("ignore")
    if ignore is not None:
        values = np.where(truth == ignore, 0, values)
    scores = []
    for of_label in refiner.coder.label_values.values():
        reference, mask = np.isin(truth, of_label), np.isin(values, of_label)
        box = _around(reference | mask)
        found = score_masks(reference[box], mask[box], geometry, tolerance_mm=1.0)
        missing = found.status == BOTH_EMPTY
        scores.append((np.nan, np.nan) if missing else (found.dice, found.hausdorff_mm))
    return np.array(scores, dtype=float).T


def _around(mask: np.ndarray) -> tuple[slice, ...]:
    """Return the box of the mask with a voxel of margin, within the array."""
    found = np.argwhere(mask)
    if not len(found):
        return (slice(0, 1),) * mask.ndim
    low, high = found.min(0), found.max(0) + 1
    return tuple(slice(max(0, int(a) - 1), int(b) + 1) for a, b in zip(low, high, strict=True))
