"""What a prior's code and loss are worth: use of the code, distances, predictor, gradients and training patches."""

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from torch import Tensor

from acnn_nnunet.nnunet.folds import FoldView
from acnn_nnunet.prior_report.subject import Subject, evenly_spaced
from acnn_nnunet.shape_prior.code_statistics import (
    code_spread,
    dimension_shapes,
    mean_distance_between,
    prediction_error,
)
from acnn_nnunet.shape_prior.label_maps.defects import DEFECTS, STRENGTHS, dose_response, move_slices, rank_correlation
from acnn_nnunet.shape_prior.loss.gradient_norms import example_logits, gradient_norms
from acnn_nnunet.shape_prior.loss.prior_loss import choose_segmentation_loss
from acnn_nnunet.shape_prior.loss.prior_term import make_prior_term
from acnn_nnunet.shape_prior.training.augmentation import swap_mirrored_labels

NUM_PATCHES = 200
NUM_DEFECT_CASES = 8
_HISTOGRAM_BINS = 20
_PERTURBATION = 0.2


def num_batches(subject: Subject) -> int:
    """Return how many batches of training patches are drawn."""
    return math.ceil(NUM_PATCHES / subject.batch_size)


def defect_cases(subject: Subject) -> tuple[str, ...]:
    """Return the held-out cases that defects are made of."""
    return evenly_spaced(subject.view.validation_cases, NUM_DEFECT_CASES)


def _swap(view: FoldView, transforms: ComposeTransforms) -> None:
    """Make labels change places where the prior's training did."""
    if view.mirroring.swap_axis is not None:
        swap_mirrored_labels(transforms, axis=view.mirroring.swap_axis, swaps=view.mirroring.swaps)


@torch.no_grad()
def draw_patches(subject: Subject) -> tuple[dict[str, Any], Tensor, Tensor]:
    """Return how training patches hold the anatomy, codes of those that count, and the batch with most of these."""
    rows, codes, best, most = [], [], None, -1
    for target in subject.view.training_targets(num_batches(subject), seed=0, adapt=partial(_swap, subject.view)):
        maps = subject.labels.target_maps(target.to(subject.device))
        foreground = subject.labels.foreground(maps)
        view = subject.grid.around(foreground)
        present = foreground.flatten(1).any(1)
        counted = view.valid & present
        rows.append(torch.stack([present, view.cut_off, ~view.valid, view.outside_share * view.valid], 1).cpu())
        if counted.any():
            codes.append(subject.network.encoder(view(maps, beyond=subject.labels.background))[counted].cpu())
        if int(counted.sum()) > most:
            best, most = target, int(counted.sum())
        subject.advance()
    assert best is not None
    nothing = torch.zeros(0, subject.prior.spec.code_size)
    return _count_patches(torch.cat(rows).double()), torch.cat(codes) if codes else nothing, best


def describe_codes(held_out: Tensor, training: Tensor) -> dict[str, Any]:
    """Return spread and histograms of training patches' codes (N, K), or of held-out ones where too few count."""
    source, chosen = ("training patches", training) if len(training) > 1 else ("held-out cases", held_out)
    values = chosen.numpy().astype(np.float64)
    shapes = dimension_shapes(values)
    dimensions = []
    for column, other, shape in zip(values.T, held_out.numpy().T, shapes, strict=True):
        edges = np.histogram_bin_edges(np.concatenate([column, other]), _HISTOGRAM_BINS)
        dimensions.append(
            {
                **asdict(shape),
                "edges": edges.tolist(),
                "counts": np.histogram(column, edges)[0].tolist(),
                "held_out_counts": np.histogram(other, edges)[0].tolist(),
            }
        )
    return {
        "source": source,
        **asdict(code_spread(values)),
        "normal_dimensions": sum(shape.looks_normal for shape in shapes),
        "multimodal_dimensions": sum(shape.looks_multimodal for shape in shapes),
        "dimensions": dimensions,
    }


def answer_to_defects(subject: Subject, held_out: Tensor) -> dict[str, Any]:
    """Return how the distances, and Dice, answer to more and more of each defect, and the distance of two cases.

    Args:
        subject: the prior and its fold.
        held_out: codes (N, K) of the held-out cases.
    """
    strengths = (0.0, *STRENGTHS)
    names = (*subject.distances, "dice_loss")
    values: dict[str, dict[str, list[list[float]]]] = {kind: {name: [] for name in names} for kind in DEFECTS}
    for seed, identifier in enumerate(defect_cases(subject)):
        _, maps = subject.load(identifier, subject.view.validation_cases)
        truth = subject.labels.hardened(maps)
        hard, background = truth[0].cpu().numpy(), np.array(subject.labels.background)
        for kind, defect in DEFECTS.items():
            wrong = np.stack([defect(hard, background, strength, seed) for strength in strengths])
            for name, series in _compare(subject, truth, torch.from_numpy(wrong)).items():
                values[kind][name].append(series)
        subject.advance()
    pooled = {name: np.concatenate([np.ravel(values[kind][name]) for kind in DEFECTS]) for name in names}
    codes = held_out.to(subject.device)
    return {
        "strengths": list(strengths),
        "cases": len(defect_cases(subject)),
        "defects": {
            kind: {name: asdict(dose_response(strengths, np.array(v))) for name, v in of_kind.items()}
            for kind, of_kind in values.items()
        },
        "rank_correlation_with_dice_loss": {
            name: rank_correlation(series, pooled["dice_loss"]) for name, series in pooled.items()
        },
        "between_cases": {name: mean_distance_between(codes, distance=d) for name, d in subject.distances.items()},
    }


def judge_predictor(subject: Subject, predicted: Tensor, held_out: Tensor) -> dict[str, Any] | None:
    """Return how far predicted codes (N, K) are from those of the labels (N, K); None without a predictor."""
    if not subject.has_predictor:
        return None
    predicted, held_out = predicted.to(subject.device), held_out.to(subject.device)
    distances = subject.distances.items()
    return {name: asdict(prediction_error(predicted, held_out, distance=d)) for name, d in distances}


def check_gradient(subject: Subject, target: Tensor) -> dict[str, Any]:
    """Return norms of gradients at the logits: of the segmentation loss, of each term of the prior's, and of their sum.

    With deep supervision the loss of the full resolution, where the prior is, is one of several: it has its weight.
    """
    settings, labels = subject.view.settings, subject.labels
    prior = make_prior_term(
        subject.network,
        distance=settings.prior_distance,
        grid=subject.grid,
        labels=labels,
        outside_weight=settings.outside_weight,
    )
    target = target.to(subject.device)
    maps = labels.target_maps(target)
    background = np.array(labels.background)
    moved = [move_slices(m, background, _PERTURBATION, seed) for seed, m in enumerate(maps.cpu().numpy())]
    corrupted = torch.from_numpy(np.stack(moved)).to(subject.device)
    loss = choose_segmentation_loss(subject.view.segmentation_loss(), settings.segmentation_loss, labels)
    losses: dict[str, Callable] = {
        "segmentation_loss": lambda logits, target: loss([logits], [target]),
        "prior": lambda logits, target: sum(prior.weights[k] * v for k, v in prior(logits, target).terms.items()),
    }
    for term in prior.weights:
        losses[term] = lambda logits, target, term=term: prior(logits, target).terms[term]
    predictions = {}
    for name, logits in example_logits(maps, corrupted, regions=labels.regions).items():
        norms = gradient_norms(losses, logits, target)
        whole, of_prior = norms["segmentation_loss"], norms.pop("prior")
        ratios = {term: norms[term] / whole if whole > 0 else None for term in prior.weights}
        summed = of_prior / whole if whole > 0 else None
        predictions[name] = {"norms": norms, "ratios": ratios, "ratio_of_the_weighted_sum": summed}
    return {"terms": list(prior.weights), "predictions": predictions}


def _count_patches(table: Tensor) -> dict[str, Any]:
    """Return shares of patches (N, 4): anatomy present, cut off, masked, and the share of it beyond the grid."""
    present, cut_off, masked, outside = table.T
    with_anatomy = max(1.0, present.sum().item())
    return {
        "patches": len(table),
        "with_anatomy": int(present.sum().item()),
        "cut_off_share": (cut_off * present).sum().item() / with_anatomy,
        "masked_share": masked.mean().item(),
        "masked_anatomy_share": (masked * present).sum().item() / with_anatomy,
        "outside_share": (outside * present).sum().item() / max(1.0, ((1 - masked) * present).sum().item()),
    }


@torch.no_grad()
def _compare(subject: Subject, truth: Tensor, wrong: Tensor) -> dict[str, list[float]]:
    """Return each measure of wrong maps (N, C, …) against the truth (1, C, …), N values each."""
    code = subject.network.encoder(truth)
    result: dict[str, list[float]] = {name: [] for name in (*subject.distances, "dice_loss")}
    for part in wrong.split(max(1, subject.batch_size)):
        part = part.to(subject.device, truth.dtype)
        other = subject.network.encoder(part)
        for name, distance in subject.distances.items():
            result[name] += distance(other, code.expand_as(other)).tolist()
        result["dice_loss"] += [1 - _mean_dice(subject.masks(one[None]), subject.masks(truth)) for one in part]
    return result


def _mean_dice(first: np.ndarray, second: np.ndarray) -> float:
    """Return Dice averaged over the masks (K, …) that are not empty in both."""
    sizes = [(int(a.sum()) + int(b.sum()), int((a & b).sum())) for a, b in zip(first, second, strict=True)]
    return float(np.mean([2 * overlap / size for size, overlap in sizes if size] or [1.0]))
