"""Scores of a predicted label map by a shape prior: what comes back from its code, and where the code lies."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acnn_nnunet.evaluation.masks.scores import BOTH_EMPTY, score_masks
from acnn_nnunet.fold_prior.coder import Coder, load_coder
from acnn_nnunet.nnunet.cases import main_pieces
from acnn_nnunet.nnunet.label_files import LabelMap
from acnn_nnunet.nnunet.labels import values_of
from acnn_nnunet.plausibility.slices import ComparedMaps, KeptSlice
from acnn_nnunet.shape_prior.loss.distances import WhitenedDistance

RECONSTRUCTION_DICE, RECONSTRUCTION_DISTANCE = "reconstruction_dice", "reconstruction_distance_mm"
MAHALANOBIS = "mahalanobis"
_TOLERANCE_MM = 1.0  # of a surface Dice that nobody reads


@dataclass(frozen=True)
class PriorScores:
    """What the prior says of a prediction.

    Attributes:
        structures: by label, `reconstruction_dice` and `reconstruction_distance_mm`; none for a label that neither
            the prediction nor its reconstruction holds. One that the prediction holds beyond the grid alone, or too
            small for it, has Dice 0 and the grid's diagonal.
        mahalanobis: distance of the code from the mean code of the training labels; None for an empty grid.
        outside_share: share of the predicted anatomy that lies beyond the grid.
        maps, reconstruction: hard label maps (C, …) on the grid; no reconstruction of an empty grid.
        image: (C', …) on the grid, if there is one.
    """

    structures: dict[str, dict[str, float]]
    mahalanobis: float | None
    outside_share: float
    maps: Tensor
    reconstruction: Tensor | None
    image: Tensor | None

    @property
    def empty(self) -> bool:
        """Whether nothing is predicted on the grid."""
        return self.reconstruction is None


@dataclass(frozen=True)
class PriorScorer:
    """Scores predictions with a prior.

    Attributes:
        coder: the prior, and how files come to its grid.
    """

    coder: Coder

    def score(self, prediction: LabelMap, *, image_files: tuple[Path, ...] = ()) -> PriorScores:
        """Score a prediction that the coder has checked.

        Raises:
            FileNotFoundError: if there is no such image.
            ValueError: if the image does not belong to the prediction, or a score is not finite.
        """
        coder = self.coder
        case = coder.bring(prediction, image_files=image_files)
        maps = coder.labels.hardened(case.maps[None])[0]
        if case.empty:
            return PriorScores({}, None, case.outside_share, maps, None, case.image)
        code = coder.codes_of(case.maps[None])
        reconstruction = coder.labels.hardened(coder.decode(code))[0]
        distance = float(self._whitened(code, coder.prior.network.code_mean.cpu()[None]).sqrt())
        if not np.isfinite(distance):
            raise ValueError(f"its {MAHALANOBIS} is not finite: the prior cannot read it")
        structures = {**self._lost(prediction), **self._compare(maps, reconstruction)}
        return PriorScores(structures, distance, case.outside_share, maps, reconstruction, case.image)

    def slice_of(self, scores: PriorScores, prediction: LabelMap) -> KeptSlice | None:
        """Return the slice where prediction and reconstruction differ most; None where there is no reconstruction."""
        compared = self.compared(scores)
        if compared is None:
            return None
        kept = compared.slice()
        if prediction.values.ndim != 3:
            return replace(kept, number=None)
        # The grid was laid around the main pieces: an island far off has no place on it.
        grid, file = (main_pieces(values > 0) for values in (compared.prediction, prediction.values))
        return kept.numbered_like(grid, file, self.coder.bundle.plans.transpose_forward)

    def compared(self, scores: PriorScores) -> ComparedMaps | None:
        """Return prediction and reconstruction on the prior's grid; None where there is no reconstruction."""
        if scores.reconstruction is None:
            return None
        regions = self.coder.labels.regions
        painted = [_painted(maps, regions) for maps in (scores.maps, scores.reconstruction)]
        image = None if scores.image is None else scores.image[0].numpy()
        names = {channel + regions: name for channel, name in self.coder.names.items()}
        return ComparedMaps(painted[0], painted[1], self.coder.geometry.spacing_mm, image, names)

    def _compare(self, maps: Tensor, others: Tensor) -> dict[str, dict[str, float]]:
        """Return Dice and surface distance of each label that either map (C, …) holds."""
        found = {}
        for channel, name in self.coder.names.items():
            first, second = (each[channel].numpy() > 0.5 for each in (maps, others))
            scores: Any = score_masks(first, second, self.coder.geometry, tolerance_mm=_TOLERANCE_MM)
            if scores.status != BOTH_EMPTY:
                found[name] = {
                    RECONSTRUCTION_DICE: float(scores.dice),
                    RECONSTRUCTION_DISTANCE: float(scores.mean_surface_distance_mm),
                }
        return found

    def _lost(self, prediction: LabelMap) -> dict[str, dict[str, float]]:
        """Return the scores of each label that a prediction holds, if neither map on the grid does."""
        coder = self.coder
        if len(coder.grid.size) != prediction.values.ndim:  # a 2D prior sees one slice of a volume
            return {}
        lost = {RECONSTRUCTION_DICE: 0.0, RECONSTRUCTION_DISTANCE: coder.geometry.diagonal_mm}
        present = {value for value, box in enumerate(prediction.boxes, start=1) if box is not None}
        labels = coder.prior.spec.labels
        return {name: lost for name in coder.names.values() if present & set(values_of(labels[name]))}

    @cached_property
    def _whitened(self) -> torch.nn.Module:
        return WhitenedDistance(self.coder.prior.network.code_covariance.cpu())


def load_prior_scorer(prior_file: Path, *, device: str = "cpu") -> PriorScorer:
    """Return the scorer of a prior; raises as `load_coder` does."""
    return PriorScorer(load_coder(prior_file, device=device))


def _painted(maps: Tensor, regions: bool) -> np.ndarray:
    """Return a label map (…) of hard maps (C, …): the class's channel, or 1 + the channel of the last region there."""
    if not regions:
        return maps.argmax(0).numpy().astype(np.uint16)
    numbers = np.arange(1, len(maps) + 1).reshape(-1, *(1,) * (maps.ndim - 1))
    return ((maps.numpy() > 0.5) * numbers).max(0).astype(np.uint16)
