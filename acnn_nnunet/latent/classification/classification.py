"""Can codes tell groups of patients apart: forests in cross-validation, arm against arm (paper §III-F)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from tqdm import tqdm

from acnn_nnunet.evaluation.statistics import CONFIDENCE, bootstrap_intervals, holm
from acnn_nnunet.files.patients import CONVERSION_FILE, CaseGroup, read_conversion_report
from acnn_nnunet.latent.classification.cohort import Cohort, select_cohort
from acnn_nnunet.latent.classification.fold_codes import cases_with_codes, codes_of
from acnn_nnunet.latent.classification.folds import Fold, draw_folds, fixed_folds
from acnn_nnunet.latent.classification.forests import NUM_TREES, cross_validate
from acnn_nnunet.latent.classification.hand_made import HandMadeFeatures
from acnn_nnunet.latent.codes.table import CodeTable

NUM_FOLDS, NUM_RUNS = 10, 20
CODES, VOLUMES = "codes", "volumes"
ED, BOTH = "ED", "ED+ES"
PHASE_SETS = (ED, BOTH)


@dataclass(frozen=True)
class Arm:
    """What forests are given.

    Attributes:
        name: of the arm.
        phases: ED or ED+ES.
        views: each has forests of its own, which vote together: one matrix (N, D) for all folds, or one for each.
    """

    name: str
    phases: str
    views: tuple[tuple[np.ndarray, ...], ...]

    @property
    def num_features(self) -> int:
        """Numbers that it is given of a member."""
        return sum(view[0].shape[1] for view in self.views)


@dataclass(frozen=True)
class ArmResult:
    """How an arm did.

    Attributes:
        name, phases: of the arm.
        num_features: of the arm.
        probabilities: (runs, N, G).
        targets: (N,) the true classes.
    """

    name: str
    phases: str
    num_features: int
    probabilities: np.ndarray
    targets: np.ndarray

    @property
    def verdicts(self) -> np.ndarray:
        """(N,) the class with the highest mean probability over the runs: the vote of all trees of all runs."""
        return self.probabilities.mean(axis=0).argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """(N,) bool, whether the verdict is right."""
        return self.verdicts == self.targets

    @property
    def share_correct(self) -> np.ndarray:
        """(N,) share of the runs that got a member right."""
        return (self.probabilities.argmax(axis=2) == self.targets).mean(axis=0)

    @property
    def accuracies(self) -> np.ndarray:
        """(R,) accuracy of each run."""
        return (self.probabilities.argmax(axis=2) == self.targets).mean(axis=1)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval of the verdicts' accuracy."""
        from scipy.stats import binomtest

        correct = binomtest(int(self.correct.sum()), len(self.targets))
        interval = correct.proportion_ci(CONFIDENCE, method="wilson")
        return float(interval.low), float(interval.high)

    @property
    def confusion(self) -> np.ndarray:
        """(G, G) counts of verdicts; rows are the true class."""
        from sklearn.metrics import confusion_matrix

        return np.asarray(confusion_matrix(self.targets, self.verdicts, labels=range(self.probabilities.shape[2])))


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
        twins: patients who are the same person as another one.
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
        cohort = cohort.without(_without_features(cohort, hand_made))
    runs: list[list[Fold]]
    if splits is None:
        runs = [draw_folds(cohort, num_folds=num_folds, seed=run) for run in range(num_runs)]
    else:
        runs = [fixed_folds(cohort, splits)] * num_runs
    arms = _arms(cohort, codes, hand_made)
    forests = sum(len(arm.views) for arm in arms) * sum(map(len, runs))
    with tqdm(total=forests, desc="forests", unit="forest", disable=None) as progress:
        results = [
            ArmResult(
                arm.name,
                arm.phases,
                arm.num_features,
                np.mean(
                    [
                        cross_validate(view, cohort.targets, runs, num_trees=num_trees, advance=progress.update)
                        for view in arm.views
                    ],
                    axis=0,
                ),
                cohort.targets,
            )
            for arm in arms
        ]
    duels = [duel for phases in PHASE_SETS for duel in _duels(phases, results, cohort.units)]
    return Classification(cohort, splits is not None, len(runs[0]), num_trees, tuple(results), tuple(duels))


def read_twins(groups: Path) -> dict[str, str]:
    """Return the patients who are the same person as another, from the conversion's report beside the groups.

    Raises:
        ValueError: if the report cannot be read.
    """
    folder = Path(groups).parent
    return read_conversion_report(folder).twins if (folder / CONVERSION_FILE).is_file() else {}


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


def _without_features(cohort: Cohort, hand_made: HandMadeFeatures) -> dict[str, str]:
    reasons = {}
    for member in cohort.members:
        values = hand_made.values.get(member.name)
        if values is None:
            reasons[member.name] = f"is not in {hand_made.path}"
        elif not np.isfinite(values).all():
            reasons[member.name] = f"has no {hand_made.names[int(np.argmin(np.isfinite(values)))]} in {hand_made.path}"
    return reasons


def _arms(cohort: Cohort, codes: Mapping[str, Sequence[CodeTable]], hand_made: HandMadeFeatures | None) -> list[Arm]:
    phases_of = {ED: ("ED",), BOTH: ("ED", "ES")}
    arms = []
    for phases, names in phases_of.items():
        views = {
            arm: tuple(np.concatenate([codes_of(table, cohort.cases(phase)) for phase in names], 1) for table in tables)
            for arm, tables in codes.items()
        }
        arms += [Arm(arm, phases, (view,)) for arm, view in views.items()]
        if hand_made is not None:
            volumes = np.array([hand_made.values[member.name] for member in cohort.members])
            if phases == ED:
                volumes = volumes[:, hand_made.end_diastolic()]
            # A table may know nothing of end-diastole alone.
            if volumes.shape[1]:
                # Forests of their own: among 64 codes, trees would seldom meet a volume.
                name, of_codes = next(iter(views.items()))
                together = (of_codes, (volumes,))
                arms += [Arm(VOLUMES, phases, ((volumes,),)), Arm(f"{name}+{VOLUMES}", phases, together)]
    return arms


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
