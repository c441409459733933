"""What a prediction's plausibility is calibrated on: its true scores, and copies that are wrong on purpose."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from acnn_nnunet.evaluation.masks.case_scores import score_case
from acnn_nnunet.fold_prior.coder import Coder
from acnn_nnunet.nnunet.cases import as_label
from acnn_nnunet.nnunet.label_files import LabelMap
from acnn_nnunet.shape_prior.defects import DEFECTS, STRENGTHS

_TOLERANCE_MM = 1.0  # of a surface Dice that nobody reads
_MARGIN = 0.5  # of the anatomy's extent, where a defect may grow to


@dataclass(frozen=True)
class Truth:
    """True scores of a prediction, means over the labels that it or its reference has.

    Attributes:
        dice: 0 to 1.
        hausdorff_mm: the image's diagonal for a label that only one of the two has.
    """

    dice: float
    hausdorff_mm: float


@dataclass(frozen=True)
class References:
    """A folder of reference label maps, named as the predictions are.

    Attributes:
        folder: of the references.
        coder: how they are read, and which labels there are.
    """

    folder: Path
    coder: Coder

    @cached_property
    def labels(self) -> tuple[int | tuple[int, ...], ...]:
        """Values of the labels, or of the regions."""
        named = self.coder.prior.spec.labels
        return tuple(as_label(named[name]) for name in self.coder.names.values())

    def read(self, case: str) -> LabelMap:
        """Read a reference.

        Raises:
            FileNotFoundError, ValueError: naming the file, if it is missing or cannot be used.
        """
        file = self.folder / f"{case}{self.coder.file_ending}"
        reference = self.coder.reader.read(file)
        self.coder.check(reference, file)
        return reference

    def judge(self, reference: LabelMap, prediction: LabelMap) -> Truth:
        """Return the true scores of a prediction.

        Raises:
            ValueError: if the two lie on different grids, or neither holds a label.
        """
        if differences := prediction.geometry.differences(reference.geometry):
            raise ValueError(f"it is not on its reference's grid: {'; '.join(differences)} (prediction, reference)")
        ignore = self.coder.labels.ignore_label
        scored = score_case(reference, prediction, self.labels, ignore=ignore, tolerance_mm=_TOLERANCE_MM)
        applicable = [each.scores for each in scored.values() if each.scores.dice is not None]
        if not applicable:
            raise ValueError("neither it nor its reference holds a label")
        return Truth(
            dice=float(np.mean([each.dice for each in applicable])),
            hausdorff_mm=float(np.mean([each.hausdorff_mm for each in applicable])),
        )


def spoil(prediction: LabelMap, *, seed: int) -> LabelMap:
    """Return a copy of a label map with one defect of `label_defects`, both its kind and strength drawn from the seed.

    Values become channels without background, so that a defect of one channel more or less is a label.
    """
    rng = np.random.default_rng(seed)
    kind, strength = str(rng.choice(list(DEFECTS))), float(rng.choice(STRENGTHS))
    box = _box_with_margin(prediction.values > 0)
    inside = prediction.values[box]
    labels = np.unique(inside[inside > 0])
    channels = np.stack([inside == 0, *(inside == label for label in labels)]).astype(np.float32)
    background = np.array([1.0, *np.zeros(len(labels))])
    spoilt = DEFECTS[kind](channels, background, strength, int(rng.integers(2**31)))
    values = prediction.values.copy()
    values[box] = np.array([0, *labels], dtype=values.dtype)[spoilt.argmax(0)]
    return replace(prediction, values=values)


def _box_with_margin(mask: np.ndarray) -> tuple[slice, ...]:
    found = np.argwhere(mask)
    low, high = found.min(0), found.max(0) + 1
    margin = np.maximum(2, np.ceil(_MARGIN * (high - low))).astype(int)
    return tuple(slice(max(0, start), stop) for start, stop in zip(low - margin, high + margin, strict=True))
