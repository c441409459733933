"""Mean opinion scores of each reader and arm, and paired tests of the arms."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.reading.scores.agreement import intraclass_correlation, weighted_kappas
from acnn_nnunet.evaluation.reading.scores.exports import HIGHEST, LOWEST, Export
from acnn_nnunet.evaluation.reading.study.key import StudyKey
from acnn_nnunet.evaluation.statistics import count_wins, describe, holm, wilcoxon_p

ALL_READERS = "all readers"


@dataclass(frozen=True)
class OpinionScore:
    """The mean opinion score of an arm.

    Attributes:
        reader: name, or `ALL_READERS`: the readers' mean of each case.
        arm: name.
        cases: behind it.
        mos: mean.
        sd: standard deviation over cases (n − 1); None for one case.
        median: of the cases.
    """

    reader: str
    arm: str
    cases: int
    mos: float | None
    sd: float | None
    median: float | None


@dataclass(frozen=True)
class ArmTest:
    """Two arms, rated by the same reader on the same cases.

    Attributes:
        reader: name, or `ALL_READERS`.
        baseline, arm: names; differences are arm − baseline.
        difference: of the mean opinion scores.
        wins, ties, losses: cases in which the arm was rated higher, equal, lower.
        p: of the Wilcoxon signed-rank test, two-sided; None for fewer than two cases.
        p_holm: adjusted by Holm for all pairs of arms of this reader.
    """

    reader: str
    baseline: str
    arm: str
    difference: float
    wins: int
    ties: int
    losses: int
    p: float | None
    p_holm: float | None


def rating_table(key: StudyKey, exports: Sequence[Export]) -> tuple[list[str], np.ndarray]:
    """Return the cases, sorted, and the ratings (readers, arms, cases)."""
    cases = sorted({item.case for item in key.items})
    ratings = np.zeros((len(exports), len(key.arms), len(cases)))
    for reader, export in enumerate(exports):
        for item, rating in zip(key.items, export.ratings, strict=True):
            ratings[reader, key.arms.index(item.arm), cases.index(item.case)] = rating
    return cases, ratings


def opinion_scores(readers: Sequence[str], arms: Sequence[str], ratings: np.ndarray) -> list[OpinionScore]:
    """Return the score of each reader and arm, and of all readers where there are several.

    Args:
        readers: names.
        arms: names.
        ratings: (readers, arms, cases).
    """
    return [
        OpinionScore(reader, arm, len(values), *describe(values))
        for reader, of_reader in _by_reader(readers, ratings)
        for arm, values in zip(arms, of_reader, strict=True)
    ]


def arm_tests(readers: Sequence[str], arms: Sequence[str], ratings: np.ndarray) -> list[ArmTest]:
    """Return the test of each pair of arms by each reader, and by all readers where there are several; as above."""
    found = []
    for reader, of_reader in _by_reader(readers, ratings):
        pairs = list(itertools.combinations(range(len(arms)), 2))
        differences = [of_reader[second] - of_reader[first] for first, second in pairs]
        p_values = [wilcoxon_p(each) for each in differences]
        for (first, second), values, p, adjusted in zip(pairs, differences, p_values, holm(p_values), strict=True):
            wins = count_wins(values, higher_is_better=True)
            found.append(ArmTest(reader, arms[first], arms[second], float(values.mean()), *wins, p, adjusted))
    return found


def agreement(readers: Sequence[str], ratings: np.ndarray) -> dict[str, Any]:
    """Return weighted kappa of each pair of readers and the intraclass correlation of all, over all items.

    Returns:
        `kappa`: rows of `readers` and `value`; `icc`: `single` and `average`, or None with one reader.
    """
    items = ratings.reshape(len(readers), -1).T
    kappas = weighted_kappas(items, readers, range(LOWEST, HIGHEST + 1))
    icc = intraclass_correlation(items)
    return {
        "kappa": [
            {"readers": list(pair), "value": None if np.isnan(value) else value} for pair, value in kappas.items()
        ],
        "icc": None if icc is None else asdict(icc),
    }


def _by_reader(readers: Sequence[str], ratings: np.ndarray) -> list[tuple[str, np.ndarray]]:
    found = list(zip(readers, ratings, strict=True))
    return [*found, (ALL_READERS, ratings.mean(axis=0))] if len(readers) > 1 else found
