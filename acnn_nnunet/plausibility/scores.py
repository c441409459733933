"""Scores of a predicted label map: by a prior and a dataset's rules, and true ones where there is a reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule, rule_violations
from acnn_nnunet.evaluation.masks.case_scores import score_case
from acnn_nnunet.evaluation.masks.scores import BOTH_EMPTY, score_masks
from acnn_nnunet.fold_prior.coder import Coder, GridCase
from acnn_nnunet.nnunet.label_files import LabelMap
from acnn_nnunet.nnunet.labels import values_of
from acnn_nnunet.shape_prior.loss.distances import WhitenedDistance

_TOLERANCE_MM = 1.0  # of a surface Dice that nobody reads


@dataclass(frozen=True)
class PredictionScores:
    """Scores of a prediction.

    Attributes:
        scores: by the names of `calibration.SCORES`; none where nothing is predicted, or nothing on the prior's grid.
        violations: by the rules' names, 0 to 1; None where the rule's structure is not predicted.
        outside_share: share of the predicted anatomy that lies beyond the prior's grid.
        maps: the prediction on the grid, hard label maps (C, …).
        reconstruction: the autoencoder's reconstruction of it, hard label maps (C, …); None without scores.
        image: (C', …) on the grid, if there is one.
    """

    scores: dict[str, float]
    violations: dict[str, float | None]
    outside_share: float
    maps: Tensor
    reconstruction: Tensor | None
    image: Tensor | None


@dataclass(frozen=True)
class PlausibilityScorer:
    """Scores predictions with a prior and rules.

    Attributes:
        coder: the prior, and how files come to its grid.
        rules: that the dataset declares.
    """

    coder: Coder
    rules: tuple[AnatomicalRule, ...]

    @cached_property
    def label_values(self) -> dict[str, tuple[int, ...]]:
        """The values of each label or region of the prior's dataset."""
        labels = self.coder.prior.spec.labels
        return {name: values_of(labels[name]) for name in self.coder.names.values()}

    def score_names(self, *, with_images: bool) -> tuple[str, ...]:
        """Return the names of the scores that `score` gives."""
        names = ["reconstruction_dice", "reconstruction_distance_mm", "mahalanobis"]
        names += ["image_disagreement", "image_dice"] if with_images else []
        names += ["rule_violation"] if self.rules else []
        return (*names, "missing_labels")

    def read(self, file: Path) -> LabelMap:
        """Read a label map in the labels and axes of the prior's dataset.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: naming the file, if it cannot be read or the prior does not know its labels or axes.
        """
        label_map = self.coder.reader.read(file)
        self.coder.check(label_map, file)
        return label_map

    def score(self, prediction: LabelMap, *, image_files: Sequence[Path] = ()) -> PredictionScores:
        """Score a prediction, and compare it with its image where there is one.

        Raises:
            FileNotFoundError: if there is no such image.
            ValueError: if the image does not belong to the prediction or the prior has no predictor, or if a score is
                not finite.
        """
        case = self.coder.bring(prediction, image_files=image_files)
        maps = self.coder.labels.hardened(case.maps[None])[0]
        violations = rule_violations(
            prediction.values,
            self.rules,
            label_values=self.label_values,
            spacing_mm=prediction.geometry.spacing_mm,
            left_mm=prediction.geometry.left_mm,
        )
        if case.empty:
            return PredictionScores({}, violations, case.outside_share, maps, None, case.image)
        code = self.coder.codes_of(case.maps[None])
        reconstruction = self.coder.labels.hardened(self.coder.decode(code))[0]
        dice, distance_mm = self._compare(maps, reconstruction)
        scores = {"reconstruction_dice": dice, "reconstruction_distance_mm": distance_mm}
        scores |= self._place(code, case, maps)
        if self.rules:
            scores["rule_violation"] = sum(value for value in violations.values() if value is not None)
        scores["missing_labels"] = float(len(self._missing(prediction)))
        if bad := [name for name, value in scores.items() if not np.isfinite(value)]:
            raise ValueError(f"its {bad[0]} is not finite: the prior cannot read it")
        return PredictionScores(scores, violations, case.outside_share, maps, reconstruction, case.image)

    def true_scores(self, prediction: LabelMap, reference: LabelMap) -> tuple[float, float]:
        """Return mean Dice and Hausdorff distance in mm over the labels that either map holds.

        A label that only one of the two holds has Dice 0 and the image's diagonal.

        Raises:
            ValueError: if the two lie on different grids, or neither holds a label.
        """
        if differences := prediction.geometry.differences(reference.geometry):
            raise ValueError(f"it is not on its reference's grid: {'; '.join(differences)} (prediction, reference)")
        labels, ignore = tuple(self.label_values.values()), self.coder.labels.ignore_label
        scored = score_case(reference, prediction, labels, ignore=ignore, tolerance_mm=_TOLERANCE_MM)
        applicable = [scores for scores, _ in scored if scores.dice is not None]
        if not applicable:
            raise ValueError("neither it nor its reference holds a label")
        return float(np.mean([s.dice for s in applicable])), float(np.mean([s.hausdorff_mm for s in applicable]))

    def _compare(self, maps: Tensor, others: Tensor) -> tuple[float, float]:
        """Return mean Dice and surface distance over the labels that either map (C, …) holds."""
        compared = []
        for channel in self.coder.names:
            first, second = (each[channel].numpy() > 0.5 for each in (maps, others))
            found = score_masks(first, second, self.coder.geometry, tolerance_mm=_TOLERANCE_MM)
            if found.status != BOTH_EMPTY:
                compared.append((found.dice, found.mean_surface_distance_mm))
        dice, distance_mm = np.array(compared, dtype=np.float64).mean(axis=0)
        return float(dice), float(distance_mm)

    def _place(self, code: Tensor, case: GridCase, maps: Tensor) -> dict[str, float]:
        """Return how far a code (1, K) is from the mean of the training labels, and from what its image says."""
        mean = self.coder.prior.network.code_mean.cpu()
        scores = {"mahalanobis": self._distance(code, mean[None])}
        if case.image is not None:
            predicted = self.coder.image_codes_of(case.image[None])
            scores["image_disagreement"] = self._distance(predicted, code)
            scores["image_dice"], _ = self._compare(maps, self.coder.labels.hardened(self.coder.decode(predicted))[0])
        return scores

    def _distance(self, first: Tensor, second: Tensor) -> float:
        return float(self._whitened(first, second).sqrt())

    @cached_property
    def _whitened(self) -> torch.nn.Module:
        return WhitenedDistance(self.coder.prior.network.code_covariance.cpu())

    def _missing(self, prediction: LabelMap) -> list[str]:
        """Return the labels that training cases have and the prediction lacks."""
        present = {value for value, box in enumerate(prediction.boxes, start=1) if box is not None}
        known = set(self.label_values) - set(self.coder.prior.spec.absent_labels)
        return sorted(name for name in known if not present & set(self.label_values[name]))
