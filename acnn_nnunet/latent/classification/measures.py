"""Can codes tell groups of patients apart: forests in cross-validation, arm against arm (paper §III-F)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from tqdm import tqdm

from acnn_nnunet.evaluation.statistics import bootstrap_intervals, holm
from acnn_nnunet.files.patients import CaseGroup
from acnn_nnunet.latent.classification.arms import NUM_TREES, PHASE_SETS, ArmResult, make_arms, try_arm
from acnn_nnunet.latent.classification.cohort import Cohort, select_cohort
from acnn_nnunet.latent.classification.features import HandMadeFeatures, cases_with_codes, reasons_against
from acnn_nnunet.latent.classification.folds import Fold, draw_folds, fixed_folds
from acnn_nnunet.latent.codes.table import CodeTable

NUM_FOLDS, NUM_RUNS = 10, 20


@dataclass(frozen=True)
class Duel:
    """Two arms on the same members.

    Attributes:
        phases, first, second: what is compared.
        only_first, only_second: members whose verdict one arm alone got right.
        p: of the exact McNemar test; `p_holm` is adjusted for all duels of the same phases.
        difference: mean of first − second over members, of the share of runs that were right, with its interval,
            bootstrapped by person.
    """

    phases: str
    first: str
    second: str
    only_first: int
    only_second: int
    p: float
    p_holm: float
    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Classification:
    """Everything that was measured.

    Attributes:
        cohort: who was classified.
        strict: whether every fold had its own codes and its own fixed test patients.
        num_folds, num_trees: of a run, of a forest.
        arms: in the order of the phases, then as given.
        duels: every pair of arms with the same phases.
    """

    cohort: Cohort
    strict: bool
    num_folds: int
    num_trees: int
    arms: tuple[ArmResult, ...]
    duels: tuple[Duel, ...]

    @property
    def num_runs(self) -> int:
        """Runs of each arm."""
        return len(self.arms[0].probabilities)


def classify(
    codes: Mapping[str, Sequence[CodeTable]],
    rows: Sequence[CaseGroup],
    *,
    classes: Sequence[str] | None = None,
    twins: Mapping[str, str] | None = None,
    hand_made: HandMadeFeatures | None = None,
    splits: Sequence[dict[str, list[str]]] | None = None,
    num_folds: int = NUM_FOLDS,
    num_runs: int = NUM_RUNS,
    num_trees: int = NUM_TREES,
) -> Classification:
    """Classify the patients by every arm.

    With splits this is the strict arm: fold k's forests see the codes of fold k's table, are grown on the members of
    its train part and tested on those of its val part; the runs differ in the forests' seeds. Without splits it is the
    looser arm: one table for all, and every run draws its own folds.

    Args:
        codes: arm to its table, or tables by fold; the first arm is called `codes`.
        rows: case, patient, phase and group.
        classes: the groups; None for all.
        twins: patients who are the same person as another patient.
        hand_made: features for the arms `volumes` and `codes+volumes`.
        splits: fixed folds, as in splits_final.json.
        num_folds: of a run, without splits.
        num_runs: of each arm.
        num_trees: of a forest.

    Raises:
        ValueError: if tables and splits do not fit each other, or as `select_cohort` and the folds do.
    """
    _check_tables(codes, splits)
    tables = [table for of_arm in codes.values() for table in of_arm]
    cohort = select_cohort(rows, cases_with_codes(tables), classes=classes, twins=twins)
    if hand_made is not None:
        cohort = cohort.without(reasons_against(cohort, hand_made))
    runs: list[list[Fold]]
    if splits is None:
        runs = [draw_folds(cohort, num_folds=num_folds, seed=run) for run in range(num_runs)]
    else:
        runs = [fixed_folds(cohort, splits, rows=rows, twins=twins)] * num_runs
    arms = make_arms(cohort, codes, hand_made)
    forests = sum(len(arm.views) for arm in arms) * sum(map(len, runs))
    with tqdm(total=forests, desc="forests", unit="forest", disable=None) as bar:
        results = [try_arm(arm, cohort.targets, runs, num_trees=num_trees, advance=bar.update) for arm in arms]
    duels = [duel for phases in PHASE_SETS for duel in _duels(phases, results, cohort.units)]
    return Classification(cohort, splits is not None, len(runs[0]), num_trees, tuple(results), tuple(duels))


def _check_tables(codes: Mapping[str, Sequence[CodeTable]], splits: Sequence | None) -> None:
    for name, tables in codes.items():
        if splits is None and len(tables) > 1:
            raise ValueError(
                f"{name} has a table of codes for each of {len(tables)} folds: give the folds with --splits "
                "splits_final.json."
            )
        if splits is not None and len(tables) != len(splits):
            raise ValueError(
                f"{name} has {len(tables)} table{'s' * (len(tables) > 1)} of codes for "
                f"{len(splits)} folds: with --splits every fold needs the codes of its own prior, fold_0.csv and on."
            )


def _duels(phases: str, results: Sequence[ArmResult], units: np.ndarray) -> list[Duel]:
    pairs = list(combinations([result for result in results if result.phases == phases], 2))
    counts = [(int((a.correct & ~b.correct).sum()), int((~a.correct & b.correct).sum())) for a, b in pairs]
    p_values = [_mcnemar_p(*each) for each in counts]
    duels = []
    for (a, b), (only_a, only_b), p, adjusted in zip(pairs, counts, p_values, holm(p_values), strict=True):
        differences = (a.share_correct - b.share_correct)[:, None]
        low, high = (float(end) for end in bootstrap_intervals(differences, units)[0])
        assert adjusted is not None
        duels.append(Duel(phases, a.name, b.name, only_a, only_b, p, adjusted, float(differences.mean()), (low, high)))
    return duels


def _mcnemar_p(only_first: int, only_second: int) -> float:
    """Return the two-sided exact p of McNemar's test on the patients that one arm alone got right."""
    from scipy.stats import binomtest

    differing = only_first + only_second
    return float(binomtest(only_first, differing).pvalue) if differing else 1.0  # the arms never differ
