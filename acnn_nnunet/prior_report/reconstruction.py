"""How well a prior reconstructs held-out label maps, next to PCA and to the codes predicted from images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acnn_nnunet.evaluation.masks.scores import score_masks
from acnn_nnunet.fold_prior.held_out import mean_of_known
from acnn_nnunet.prior_report.subject import Subject, evenly_spaced
from acnn_nnunet.shape_prior.label_maps.pca import LinearShapeModel, most_cases

_TOLERANCE_MM = 1.0


@dataclass(frozen=True)
class HeldOutCase:
    """A held-out case on the prior's grid.

    Attributes:
        image: first channel (…).
        truth: masks (K, …) of the labels.
        models: masks (K, …) by the model that made them: autoencoder, pca, predictor.
        code: (1, K) of the labels, on the CPU.
        predicted: (1, K) that the predictor gives the image, on the CPU.
    """

    image: np.ndarray
    truth: np.ndarray
    models: dict[str, np.ndarray]
    code: Tensor
    predicted: Tensor


def pca_cases(subject: Subject) -> tuple[str, ...]:
    """Return the training cases that the PCA is fitted to: as many as fit into memory."""
    return evenly_spaced(subject.view.training_cases, most_cases((len(subject.names), *subject.grid.size)))


def fit_pca(subject: Subject) -> LinearShapeModel:
    """Fit a PCA with as many components as the prior's code to training label maps."""
    masks = []
    for identifier in pca_cases(subject):
        _, maps = subject.load(identifier, subject.view.training_cases)
        masks.append(subject.masks(subject.labels.hardened(maps)))
        subject.advance()
    return LinearShapeModel(masks, components=subject.prior.spec.code_size, exclusive=not subject.labels.regions)


@torch.no_grad()
def look_at(subject: Subject, pca: LinearShapeModel, identifier: str) -> HeldOutCase:
    """Return a held-out case with its reconstruction by each model."""
    image, maps = subject.load(identifier, subject.view.validation_cases)
    code, predicted = subject.network.encoder(maps), subject.network.predictor(image)
    truth = subject.masks(subject.labels.hardened(maps))
    models = {"autoencoder": subject.decoded(code), "pca": pca.reconstruct(truth)}
    if subject.has_predictor:
        models["predictor"] = subject.decoded(predicted)
    return HeldOutCase(image[0, 0].cpu().numpy(), truth, models, code.cpu(), predicted.cpu())


def measure_reconstruction(subject: Subject, pca: LinearShapeModel) -> tuple[dict[str, Any], Tensor, Tensor]:
    """Return scores of all models on the held-out cases, and the cases' codes and predicted codes (N, K)."""
    cases, codes, predictions = {}, [], []
    for identifier in subject.view.validation_cases:
        case = look_at(subject, pca, identifier)
        cases[identifier] = {model: _scores(subject, case.truth, masks) for model, masks in case.models.items()}
        codes.append(case.code)
        predictions.append(case.predicted)
        subject.advance()
    summary = summarise_scores(cases)
    summary["pca"] = {"components": pca.components, "cases": pca.num_cases}
    return summary, torch.cat(codes), torch.cat(predictions)


def summarise_scores(cases: dict[str, dict[str, dict[str, dict[str, Any]]]]) -> dict[str, Any]:
    """Return means of scores by case, model and label, over the cases to which a score applies.

    Returns:
        `per_label` by model and label: mean Dice and Hausdorff distance, cases and missed labels; `mean` by model: the
        mean over labels; `cases`: as given; `ranking`: cases by the autoencoder's mean Dice, best first.
    """
    models = next(iter(cases.values()))
    per_label = {
        model: {name: _summarise([case[model][name] for case in cases.values()]) for name in of_model}
        for model, of_model in models.items()
    }
    means = {
        model: {
            metric: mean_of_known(label[metric] for label in of_model.values()) for metric in ("dice", "hausdorff_mm")
        }
        for model, of_model in per_label.items()
    }
    by_case = {
        key: mean_of_known(score["dice"] for score in case["autoencoder"].values()) for key, case in cases.items()
    }
    known = {key: dice for key, dice in by_case.items() if dice is not None}
    ranking = sorted(known, key=lambda key: -known[key])
    return {"per_label": per_label, "mean": means, "ranking": ranking, "cases": cases}


def _scores(subject: Subject, truth: np.ndarray, masks: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return status, Dice and Hausdorff distance of masks (K, …) by label."""
    found = {}
    for name, reference, mask in zip(subject.names.values(), truth, masks, strict=True):
        scores = score_masks(reference, mask, subject.geometry, tolerance_mm=_TOLERANCE_MM)
        found[name] = {"status": scores.status, "dice": scores.dice, "hausdorff_mm": scores.hausdorff_mm}
    return found


def _summarise(scores: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "dice": mean_of_known(score["dice"] for score in scores),
        "hausdorff_mm": mean_of_known(score["hausdorff_mm"] for score in scores),
        "cases": sum(score["dice"] is not None for score in scores),
        "missed": sum(score["status"] == "missed" for score in scores),
    }
