"""What a prior makes of a fold: reconstructions, codes, distances, gradients and patches, measured."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from acnn_nnunet.evaluation.masks.scores import LabelScores, score_masks
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.fold_prior.held_out import channel_names, load_on_grid
from acnn_nnunet.nnunet.folds import FoldView
from acnn_nnunet.shape_prior.code_statistics import (
    code_spread,
    dimension_shapes,
    mean_distance_between,
    prediction_error,
)
from acnn_nnunet.shape_prior.defects import DEFECTS, STRENGTHS, dose_response, move_slices, rank_correlation
from acnn_nnunet.shape_prior.grids.views import Grid
from acnn_nnunet.shape_prior.label_space import LabelSpace
from acnn_nnunet.shape_prior.loss.distances import FeatureDistance, make_code_distance
from acnn_nnunet.shape_prior.loss.gradient_norms import example_logits, gradient_norms
from acnn_nnunet.shape_prior.loss.prior_term import make_prior_term
from acnn_nnunet.shape_prior.networks.tl_network import Stage
from acnn_nnunet.shape_prior.pca import LinearShapeModel, most_cases
from acnn_nnunet.shape_prior.prior_file import Prior

NUM_PATCHES = 200
NUM_DEFECT_CASES = 8
_HISTOGRAM_BINS = 20
_TOLERANCE_MM = 1.0
_PERTURBATION = 0.2


@dataclass(frozen=True)
class HeldOutCase:
    """A held-out case on the prior's grid.

    Attributes:
        image: first channel (…).
        truth: masks (K, …) of the labels.
        models: masks (K, …) by the name of what made them: autoencoder, pca, predictor.
    """

    image: np.ndarray
    truth: np.ndarray
    models: dict[str, np.ndarray]


@dataclass(frozen=True)
class Codes:
    """Codes (N, K) on the CPU: of the held-out cases' labels and images, and of training patches."""

    held_out: Tensor
    predicted: Tensor
    training: Tensor


class Examination:
    """Measures a prior on a fold's held-out cases and training patches.

    Args:
        view: dataset, configuration and fold.
        prior: the prior, on `device`.
        labels: what the network's channels mean in this configuration.
        device: where to compute.
        advance: called after every case and batch.
    """

    def __init__(self, view: FoldView, prior: Prior, labels: LabelSpace, *, device, advance: Callable[[], Any]):
        self.view, self.prior, self.labels, self.device, self.advance = view, prior, labels, device, advance
        self.network = prior.network
        self.grid: Grid = prior.spec.make_grid(view.bundle.configuration.spacing)
        self.names = channel_names(view.label_names, labels)
        self.geometry = Geometry(self.grid.size, tuple(float(s) for s in prior.spec.spacing_mm))
        kinds = ("l2", "whitened", *(["decoded"] if prior.spec.architecture == "hybrid" else []))
        self.distances = {kind: make_code_distance(kind, self.network) for kind in kinds}
        # The predictor's stage never came where training ended with the first.
        self.has_predictor = prior.spec.stage != Stage.AUTOENCODER.value
        self.pca_cases = evenly_spaced(view.training_cases, most_cases((len(self.names), *self.grid.size)))
        self.defect_cases = evenly_spaced(view.validation_cases, NUM_DEFECT_CASES)
        self.num_batches = math.ceil(NUM_PATCHES / view.bundle.configuration.batch_size)

    @property
    def num_steps(self) -> int:
        """How often `advance` will be called."""
        return len(self.pca_cases) + len(self.view.validation_cases) + len(self.defect_cases) + self.num_batches

    def run(self) -> tuple[dict[str, Any], Codes]:
        """Return all measures as plain values, and the codes."""
        reconstruction, held_out, predicted = self._reconstruct()
        patches, training, target = self._draw_patches()
        codes = Codes(held_out, predicted, training)
        between = {name: mean_distance_between(held_out.to(self.device), distance=d) for name, d in self._spaces()}
        return {
            "reconstruction": reconstruction,
            "codes": self._describe_codes(codes),
            "code_distance": {**self._answer_to_defects(), "between_cases": between},
            "predictor": self._judge_predictor(codes),
            "gradient": self._check_gradient(target),
            "training_patches": patches,
        }, codes

    def load(self, identifier: str) -> HeldOutCase:
        """Return a held-out case with what each model makes of it; call it after `run`, which fits the PCA."""
        return self._look_at(identifier)[0]

    def _spaces(self) -> Iterator[tuple[str, nn.Module]]:
        yield from self.distances.items()

    def _load(self, identifier: str, cases: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        image, maps, _ = load_on_grid(
            self.view.dataset(cases), identifier, self.view.label_names, self.labels, self.grid, device=self.device
        )
        return image, maps

    def _masks(self, maps: Tensor) -> np.ndarray:
        """Return bool masks (K, …) of the foreground channels of hard maps (1, C, …)."""
        return maps[0, 0 if self.labels.regions else 1 :].cpu().numpy() > 0.5

    @torch.no_grad()
    def _look_at(self, identifier: str) -> tuple[HeldOutCase, Tensor, Tensor]:
        image, maps = self._load(identifier, self.view.validation_cases)
        code, predicted = self.network.encoder(maps), self.network.predictor(image)
        truth = self._masks(self.labels.hardened(maps))
        models = {
            "autoencoder": self._masks(self.labels.decisions(self.network.decoder(code))),
            "pca": self.pca.reconstruct(truth),
        }
        if self.has_predictor:
            models["predictor"] = self._masks(self.labels.decisions(self.network.decoder(predicted)))
        return HeldOutCase(image[0, 0].cpu().numpy(), truth, models), code.cpu(), predicted.cpu()

    def _reconstruct(self) -> tuple[dict[str, Any], Tensor, Tensor]:
        """Return scores of all models on the held-out cases, and the cases' codes and predicted codes."""
        self.pca = self._fit_pca()
        cases, codes, predictions = {}, [], []
        for identifier in self.view.validation_cases:
            case, code, predicted = self._look_at(identifier)
            cases[identifier] = {
                model: {
                    name: _scores(score_masks(truth, mask, self.geometry, tolerance_mm=_TOLERANCE_MM))
                    for name, truth, mask in zip(self.names.values(), case.truth, masks, strict=True)
                }
                for model, masks in case.models.items()
            }
            codes.append(code)
            predictions.append(predicted)
            self.advance()
        summary = summarise_scores(cases)
        summary["pca"] = {"components": self.pca.components, "cases": self.pca.num_cases}
        return summary, torch.cat(codes), torch.cat(predictions)

    def _fit_pca(self) -> LinearShapeModel:
        masks = []
        for identifier in self.pca_cases:
            _, maps = self._load(identifier, self.view.training_cases)
            masks.append(self._masks(self.labels.hardened(maps)))
            self.advance()
        return LinearShapeModel(masks, components=self.prior.spec.code_size, exclusive=not self.labels.regions)

    @torch.no_grad()
    def _draw_patches(self) -> tuple[dict[str, Any], Tensor, Tensor]:
        """Return how training patches hold the anatomy, codes of those that count, and the batch with most of these."""
        rows, codes, best, most = [], [], None, -1
        for target in self.view.training_targets(self.num_batches, seed=0):
            maps = self.labels.target_maps(target.to(self.device))
            foreground = self.labels.foreground(maps)
            view = self.grid.around(foreground)
            present = foreground.flatten(1).any(1)
            counted = view.valid & present
            rows.append(torch.stack([present, view.cut_off, ~view.valid, view.outside_share * view.valid], 1).cpu())
            if counted.any():
                codes.append(self.network.encoder(view(maps, beyond=self.labels.background))[counted].cpu())
            if int(counted.sum()) > most:
                best, most = target, int(counted.sum())
            self.advance()
        table = torch.cat(rows).double()
        present, cut_off, masked, outside = table.T
        with_anatomy = max(1.0, present.sum().item())
        counts = {
            "patches": len(table),
            "with_anatomy": int(present.sum().item()),
            "cut_off_share": (cut_off * present).sum().item() / with_anatomy,
            "masked_share": masked.mean().item(),
            "masked_anatomy_share": (masked * present).sum().item() / with_anatomy,
            "outside_share": (outside * present).sum().item() / max(1.0, ((1 - masked) * present).sum().item()),
        }
        assert best is not None
        return counts, torch.cat(codes) if codes else torch.zeros(0, self.prior.spec.code_size), best

    def _describe_codes(self, codes: Codes) -> dict[str, Any]:
        """Return spread and histograms; of the held-out cases' codes where too few training patches count."""
        source, chosen = ("training patches", codes.training)
        if len(chosen) < 2:
            source, chosen = ("held-out cases", codes.held_out)
        values = chosen.numpy().astype(np.float64)
        shapes = dimension_shapes(values)
        dimensions = []
        for column, held_out, shape in zip(values.T, codes.held_out.numpy().T, shapes, strict=True):
            edges = np.histogram_bin_edges(np.concatenate([column, held_out]), _HISTOGRAM_BINS)
            dimensions.append(
                {
                    **asdict(shape),
                    "edges": edges.tolist(),
                    "counts": np.histogram(column, edges)[0].tolist(),
                    "held_out_counts": np.histogram(held_out, edges)[0].tolist(),
                }
            )
        return {
            "source": source,
            **asdict(code_spread(values)),
            "normal_dimensions": sum(shape.looks_normal for shape in shapes),
            "multimodal_dimensions": sum(shape.looks_multimodal for shape in shapes),
            "dimensions": dimensions,
        }

    def _answer_to_defects(self) -> dict[str, Any]:
        """Return how the distances, and Dice, answer to more and more of each defect."""
        strengths = (0.0, *STRENGTHS)
        features = FeatureDistance(self.network.feature_variances).to(self.device)
        values: dict[str, dict[str, list]] = {
            kind: {name: [] for name in (*self.distances, "features", "dice_loss")} for kind in DEFECTS
        }
        for seed, identifier in enumerate(self.defect_cases):
            _, maps = self._load(identifier, self.view.validation_cases)
            truth = self.labels.hardened(maps)
            for kind, defect in DEFECTS.items():
                hard = truth[0].cpu().numpy()
                spoilt = [defect(hard, np.array(self.labels.background), strength, seed) for strength in strengths]
                for name, series in self._compare(truth, torch.from_numpy(np.stack(spoilt)), features).items():
                    values[kind][name].append(series)
            self.advance()
        pooled = {name: np.concatenate([np.ravel(values[kind][name]) for kind in DEFECTS]) for name in values[kind]}
        return {
            "strengths": list(strengths),
            "cases": len(self.defect_cases),
            "defects": {
                kind: {name: asdict(dose_response(strengths, np.array(v))) for name, v in of_kind.items()}
                for kind, of_kind in values.items()
            },
            "rank_correlation_with_dice_loss": {
                name: rank_correlation(series, pooled["dice_loss"]) for name, series in pooled.items()
            },
        }

    @torch.no_grad()
    def _compare(self, truth: Tensor, spoilt: Tensor, features: nn.Module) -> dict[str, list[float]]:
        """Return each measure of spoilt maps (N, C, …) against the truth (1, C, …), N values each."""
        code, maps = self.network.encoder.with_features(truth)
        result: dict[str, list[float]] = {name: [] for name in (*self.distances, "features", "dice_loss")}
        for part in spoilt.split(max(1, self.view.bundle.configuration.batch_size)):
            part = part.to(self.device, truth.dtype)
            other, other_maps = self.network.encoder.with_features(part)
            for name, distance in self.distances.items():
                result[name] += distance(other, code.expand_as(other)).tolist()
            same = [scale.expand(len(part), *scale.shape[1:]) for scale in maps]
            result["features"] += features(other_maps, same).tolist()
            result["dice_loss"] += [1 - _mean_dice(self._masks(one[None]), self._masks(truth)) for one in part]
        return result

    def _judge_predictor(self, codes: Codes) -> dict[str, Any] | None:
        if not self.has_predictor:
            return None
        predicted, held_out = codes.predicted.to(self.device), codes.held_out.to(self.device)
        return {name: asdict(prediction_error(predicted, held_out, distance=d)) for name, d in self._spaces()}

    def _check_gradient(self, target: Tensor) -> dict[str, Any]:
        """Return norms of gradients at the logits: of the segmentation loss and of each term of the prior's."""
        settings = self.view.settings
        prior = make_prior_term(
            self.network,
            distance=settings.prior_distance,
            grid=self.grid,
            labels=self.labels,
            feature_weight=settings.feature_weight,
            reconstruction_weight=settings.reconstruction_weight,
        )
        target = target.to(self.device)
        maps = self.labels.target_maps(target)
        background = np.array(self.labels.background)
        spoilt = [move_slices(m, background, _PERTURBATION, seed) for seed, m in enumerate(maps.cpu().numpy())]
        corrupted = torch.from_numpy(np.stack(spoilt)).to(self.device)
        losses: dict[str, Callable] = {"segmentation_loss": self.view.segmentation_loss()}
        for term in prior.weights:
            losses[term] = lambda logits, target, term=term: prior(logits, target).terms[term]
        predictions = example_logits(maps, corrupted, regions=self.labels.regions)
        norms = {name: gradient_norms(losses, logits, target) for name, logits in predictions.items()}
        return {
            "terms": list(prior.weights),
            "predictions": {
                name: {
                    "norms": of_prediction,
                    "ratios": {
                        term: _ratio(of_prediction[term], of_prediction["segmentation_loss"]) for term in prior.weights
                    },
                }
                for name, of_prediction in norms.items()
            },
        }


def summarise_scores(cases: dict[str, dict[str, dict[str, dict[str, Any]]]]) -> dict[str, Any]:
    """Return means of scores by case, model and label, over the cases to which a score applies.

    Returns:
        `per_label` by model and label: mean Dice and Hausdorff distance, cases and missed labels; `mean` by model: the
        mean over labels; `cases`: what was given; `ranking`: cases by the autoencoder's mean Dice, best first.
    """
    models = list(next(iter(cases.values())))
    names = list(next(iter(cases.values()))[models[0]])
    per_label: dict[str, dict[str, Any]] = {model: {} for model in models}
    for model in models:
        for name in names:
            scores = [case[model][name] for case in cases.values()]
            per_label[model][name] = {
                "dice": _mean(score["dice"] for score in scores),
                "hausdorff_mm": _mean(score["hausdorff_mm"] for score in scores),
                "cases": sum(score["dice"] is not None for score in scores),
                "missed": sum(score["status"] == "missed" for score in scores),
            }
    means = {
        model: {metric: _mean(label[metric] for label in of_model.values()) for metric in ("dice", "hausdorff_mm")}
        for model, of_model in per_label.items()
    }
    by_case = {key: _mean(score["dice"] for score in case["autoencoder"].values()) for key, case in cases.items()}
    known = {key: dice for key, dice in by_case.items() if dice is not None}
    ranking = sorted(known, key=lambda key: -known[key])
    return {"per_label": per_label, "mean": means, "ranking": ranking, "cases": cases}


def evenly_spaced(items: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return at most `count` of the items, from the first to the last."""
    if len(items) <= count:
        return tuple(items)
    return tuple(items[int(index)] for index in np.linspace(0, len(items) - 1, count).round())


def _scores(scores: LabelScores) -> dict[str, Any]:
    return {"status": scores.status, "dice": scores.dice, "hausdorff_mm": scores.hausdorff_mm}


def _mean(values) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _mean_dice(first: np.ndarray, second: np.ndarray) -> float:
    """Return Dice averaged over the masks (K, …) of which one at least is not empty."""
    sizes = [(int(a.sum()) + int(b.sum()), int((a & b).sum())) for a, b in zip(first, second, strict=True)]
    return float(np.mean([2 * overlap / size for size, overlap in sizes if size] or [1.0]))


def _ratio(norm: float, reference: float) -> float | None:
    return norm / reference if reference > 0 else None
