"""One arm against another: paired by image and seed, with intervals over patients and seeds."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from scripts.studies.defaults.predictions import LARGEST, SCORES
from scripts.studies.resampling import draw_counts

RESAMPLES, CONFIDENCE = 5000, 0.95
_PAIRED = ["seed", "patient", "case", "kind"]
NUMBERS = tuple(f"{name}{end}" for name in SCORES for end in ("", LARGEST))


@dataclass(frozen=True)
class Difference:
    """The paired difference of two arms in one score.

    Attributes:
        seeds: that both arms have.
        num_patients: with an image.
        baseline: mean of the baseline.
        mean: mean difference, arm − baseline.
        draws: bootstrap draws of the mean difference and of the baseline's mean, (2, R).
    """

    seeds: tuple[int, ...]
    num_patients: int
    baseline: float
    mean: float
    draws: np.ndarray

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean difference."""
        return _interval(self.draws[0])

    @property
    def share(self) -> float:
        """The difference over the baseline's mean."""
        return self.mean / self.baseline

    @cached_property
    def share_interval(self) -> tuple[float, float]:
        """95 % interval of the share."""
        return _interval(self.draws[0] / self.draws[1])


def image_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a row per dataset, arm, seed, part, kind and case: the mean over its labels, numbers as numbers.

    Raises:
        ValueError: naming a run with a score that is no number: none may drop out.
    """
    table = scores.astype({"seed": int} | dict.fromkeys(NUMBERS, float)) if len(scores) else scores
    if len(table) and (missing := table[table[list(NUMBERS)].isna().any(axis=1)]).size:
        row = missing.iloc[0]
        raise ValueError(f"{row['arm']}, seed {row['seed']}, case {row['case']}: a score is missing.")
    keys = ["dataset", "arm", "seed", "part", "kind", "case"]
    return table.groupby(keys, as_index=False)[list(NUMBERS)].mean() if len(table) else table


def compare(
    images: pd.DataFrame, arm: str, baseline: str, score: str, *, resamples: int = RESAMPLES
) -> Difference | None:
    """Compare two arms on the seeds that both have, trained on one kind of machine; None where there are none.

    Each draw takes seeds and patients with replacement, so an interval covers other seeds and other patients. A single
    seed is kept in every draw: then it covers other patients only.

    Args:
        images: rows of `image_means` with columns `patient` and `device`, of one dataset and the kinds that count.
        arm: compared.
        baseline: compared with.
        score: column.
        resamples: draws.
    """
    own, other = (images.loc[images["arm"] == name, [*_PAIRED, "device", score]] for name in (arm, baseline))
    trained = [set(rows[["seed", "device"]].itertuples(index=False, name=None)) for rows in (own, other)]
    seeds = sorted(seed for seed, _ in trained[0] & trained[1])
    if not seeds:
        return None
    own, other = (rows[rows["seed"].isin(seeds)].drop(columns="device") for rows in (own, other))
    pairs = own.merge(other, on=_PAIRED, suffixes=("", "_baseline"))
    if not len(pairs) == len(own) == len(other):
        raise ValueError(f"{arm} and {baseline} were not tested on the same images: score both with one version.")
    base = pairs[f"{score}_baseline"].to_numpy(float)
    differences = pairs[score].to_numpy(float) - base
    row, column = (np.unique(pairs[name], return_inverse=True)[1] for name in ("seed", "patient"))
    grids = np.zeros((3, len(seeds), column.max() + 1))
    for grid, values in zip(grids, (differences, base, np.ones_like(base)), strict=True):
        np.add.at(grid, (row, column), values)
    return Difference(
        tuple(seeds), grids.shape[2], float(base.mean()), float(differences.mean()), _draw(grids, resamples)
    )


def _draw(grids: np.ndarray, resamples: int) -> np.ndarray:
    """Return (2, R): means of the first two grids (seeds, patients) of sums over the third one's counts."""
    of_seeds, of_patients = draw_counts(*grids.shape[1:], resamples)
    sums = [((of_seeds @ grid) * of_patients).sum(axis=1) for grid in grids]
    return np.stack([sums[0] / sums[2], sums[1] / sums[2]])


def _interval(draws: Iterable[float]) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.asarray(draws), (tail, 1 - tail))
    return float(low), float(high)
