"""How unlike a prediction is to those that a calibration was made of, whatever that says of its Dice.

Expectations hold for predictions such as the calibration's. Images of another contrast or organ, upside down, or with
half of the stack missing give predictions that no calibration case was like: a half heart is drawn well, agrees among
members, and comes back from the prior's code. Its volume gives it away.

The distance is Mahalanobis', in the scores of one structure, with a shrunk covariance (Ledoit and Wolf, 2004). A case
is as unlike as its most unlike structure. It is unusual beyond the distances of nineteen in twenty calibration
cases, each by a fit without its patient.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acnn_nnunet.plausibility.estimates import BADNESS, badness, folds_of, parts_of
from acnn_nnunet.plausibility.scores import scores_of
from acnn_nnunet.plausibility.size import VOLUME
from acnn_nnunet.plausibility.table import PlausibilityRow

FALSE_ALARMS = 0.05
_TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {**BADNESS, VOLUME: np.log}
_LEAST_CASES = 5


@dataclass(frozen=True)
class Cloud:
    """Where the scores of a structure lie.

    Attributes:
        scores: their names; those that never move are left out.
        centres, scales: mean and standard deviation of each, transformed.
        precision: (F, F) inverse covariance of the standardised ones.
    """

    scores: tuple[str, ...]
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]

    def distances(self, scores: Sequence[Mapping[str, float]]) -> np.ndarray:
        """Return Mahalanobis distances (N,) of scores by name."""
        values = (badness(scores, self.scores, _TRANSFORMS) - np.array(self.centres)) / np.array(self.scales)
        squared = np.einsum("nf,fg,ng->n", values, np.array(self.precision), values)
        return np.sqrt(np.maximum(squared, 0))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Cloud":
        """Read a dictionary of a file; raises TypeError, KeyError or ValueError if it is none."""
        scores, centres, scales = (tuple(plain[name]) for name in ("scores", "centres", "scales"))
        found = cls(scores, centres, scales, tuple(tuple(row) for row in plain["precision"]))
        fits = np.shape(found.precision) == (len(scores), len(scores)) and len(scores) == len(centres) == len(scales)
        if not fits or not set(scores) <= set(_TRANSFORMS):
            raise ValueError("its numbers do not fit together")
        return found


@dataclass(frozen=True)
class Novelty:
    """What is usual, by structure.

    Attributes:
        clouds: by label.
        limit: a case is unusual beyond this distance.
    """

    clouds: dict[str, Cloud]
    limit: float

    def of(self, rows: Sequence[PlausibilityRow]) -> list[dict[str, float]]:
        """Return the distance of each structure that a row holds, by name."""
        found: list[dict[str, float]] = [{} for _ in rows]
        for name, cloud in self.clouds.items():
            own = [index for index, row in enumerate(rows) if name in row.structures and row.structures[name].present]
            distances = cloud.distances([rows[index].scores_for(name) for index in own])
            for index, distance in zip(own, distances, strict=True):
                found[index][name] = float(distance)
        return found

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Novelty":
        """Read a dictionary of a file; raises TypeError, KeyError or ValueError if it is none."""
        found = cls({name: Cloud.from_plain(each) for name, each in plain["clouds"].items()}, float(plain["limit"]))
        if not np.isfinite(found.limit):
            raise ValueError("its numbers do not fit together")
        return found


def novelty_scores(sources: Sequence[str]) -> tuple[str, ...]:
    """Return the scores that say what is usual: the volume, with the prior's scores, or without a prior the members'.

    Members agree on many a strange prediction: next to the prior, they found fewer of them.
    """
    source = next((name for name in ("prior", "members") if name in sources), None)
    return (VOLUME, *(() if source is None else scores_of(source)))


def fit_novelty(
    rows: Sequence[PlausibilityRow], units: Mapping[str, str], *, names: Sequence[str], scores: Sequence[str]
) -> tuple[Novelty, list[dict[str, float]]]:
    """Return what is usual, and the distances of each row's structures by fits without its patient.

    Args:
        rows: scored ones.
        units: patient of each case.
        names: labels to look at.
        scores: names of the scores to look at.
    """
    held_out: list[dict[str, float]] = [{} for _ in rows]
    clouds = {}
    for name in names:
        own = np.array([index for index, row in enumerate(rows) if row.structures[name].present])
        known = [rows[index].scores_for(name) for index in own]
        cloud = _fit(known, scores)
        if cloud is None:
            continue
        clouds[name] = cloud
        patients = np.unique([units[rows[index].case] for index in own], return_inverse=True)[1]
        for part, rest in parts_of(folds_of(patients)):
            without = _fit([each for each, there in zip(known, rest, strict=True) if there], scores) or cloud
            distances = without.distances([each for each, there in zip(known, part, strict=True) if there])
            for index, distance in zip(own[part], distances, strict=True):
                held_out[index][name] = float(distance)
    return Novelty(clouds, _limit(rows, units, held_out)), held_out


def _limit(rows: Sequence[PlausibilityRow], units: Mapping[str, str], held_out: Sequence[Mapping[str, float]]) -> float:
    """Return the distance that all but one in twenty calibration cases keep, each patient weighing the same."""
    farthest = np.array([max(distances.values(), default=0.0) for distances in held_out])
    _, patients, counts = np.unique([units[row.case] for row in rows], return_inverse=True, return_counts=True)
    order = np.argsort(farthest)
    weights = np.cumsum(1 / counts[patients][order])
    return float(farthest[order][np.searchsorted(weights, (1 - FALSE_ALARMS) * len(counts) - 1e-9)])


def _fit(known: Sequence[Mapping[str, float]], scores: Sequence[str]) -> Cloud | None:
    """Return the cloud of cases; None for too few, or where no score moves."""
    from sklearn.covariance import LedoitWolf

    values = badness(known, scores, _TRANSFORMS)
    if len(values) < _LEAST_CASES:
        return None
    centres, scales = values.mean(0), values.std(0)
    moves = scales > 1e-9 * np.maximum(1, np.abs(centres))
    if not moves.any():
        return None
    standardised = (values[:, moves] - centres[moves]) / scales[moves]
    precision = LedoitWolf(assume_centered=True).fit(standardised).precision_
    kept = tuple(name for name, there in zip(scores, moves, strict=True) if there)
    moments = [tuple(each[moves].tolist()) for each in (centres, scales)]
    return Cloud(kept, moments[0], moments[1], tuple(map(tuple, precision.tolist())))
