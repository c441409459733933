"""One arm against another: paired by image and seed, with intervals over patients and seeds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from scripts.studies.defaults.predictions import LARGEST, SCORES

RESAMPLES, CONFIDENCE = 5000, 0.95
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
    """Compare two arms on the seeds that both have; None where there are none.

    Each draw takes seeds and patients with replacement, so an interval covers other seeds and other patients. A single
    seed is kept in every draw: then it covers other patients only.

    Args:
        images: rows of `image_means` with a column `patient`, of one dataset and the kinds that count.
        arm: compared.
        baseline: compared with.
        score: column.
        resamples: draws.
    """
    keys = ["seed", "patient", "case", "kind"]
    own, other = (images[images["arm"] == name].set_index(keys)[score] for name in (arm, baseline))
    seeds = sorted(set(own.index.get_level_values("seed")) & set(other.index.get_level_values("seed")))
    if not seeds:
        return None
    own, other = own.loc[seeds], other.loc[seeds]
    if set(own.index) != set(other.index):
        raise ValueError(f"{arm} and {baseline} were not tested on the same images: score both with one version.")
    pairs = pd.DataFrame({"difference": own - other, "baseline": other}).reset_index()
    grids = [
        pairs.pivot_table(index="seed", columns="patient", values=name, aggfunc=how, fill_value=0).to_numpy(float)
        for name, how in (("difference", "sum"), ("baseline", "sum"), ("baseline", "count"))
    ]
    draws = _draw(grids, resamples)
    means = pairs[["baseline", "difference"]].mean()
    return Difference(tuple(seeds), grids[0].shape[1], float(means["baseline"]), float(means["difference"]), draws)


def _draw(grids: Sequence[np.ndarray], resamples: int) -> np.ndarray:
    """Return (2, R): means of the first two grids (seeds, patients) of sums over the third one's counts."""
    rng = np.random.default_rng(0)
    num_seeds, num_patients = grids[0].shape
    of_seeds = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), resamples)
    of_patients = rng.multinomial(num_patients, np.full(num_patients, 1 / num_patients), resamples)
    sums = [((of_seeds @ grid) * of_patients).sum(axis=1) for grid in grids]
    return np.stack([sums[0] / sums[2], sums[1] / sums[2]])


def _interval(draws: Iterable[float]) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.asarray(draws), (tail, 1 - tail))
    return float(low), float(high)
