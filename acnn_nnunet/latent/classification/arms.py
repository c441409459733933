"""Arms: the features that forests are given, and how well the forests tell groups apart by them (paper §III-F)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.statistics import CONFIDENCE
from acnn_nnunet.latent.classification.cohort import Cohort
from acnn_nnunet.latent.classification.features import HandMadeFeatures, codes_of
from acnn_nnunet.latent.classification.folds import Fold
from acnn_nnunet.latent.codes.table import CodeTable

CODES, VOLUMES = "codes", "volumes"
ED, BOTH = "ED", "ED+ES"
PHASE_SETS = (ED, BOTH)
NUM_TREES = 200  # of a forest; the runs vote together, so 20 of them are 4000 trees


@dataclass(frozen=True)
class Arm:
    """The features that forests are given.

    Attributes:
        name: of the arm.
        phases: ED or ED+ES.
        views: feature matrices (N, D), one for all folds or one for each; each view has its own forests, which vote
            together.
    """

    name: str
    phases: str
    views: tuple[tuple[np.ndarray, ...], ...]

    @property
    def num_features(self) -> int:
        """Numbers per member."""
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


def make_arms(
    cohort: Cohort, codes: Mapping[str, Sequence[CodeTable]], hand_made: HandMadeFeatures | None
) -> list[Arm]:
    """Return the arms: each table of codes and, with hand-made features, these alone and beside the first codes."""
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


def try_arm(
    arm: Arm, targets: np.ndarray, runs: Sequence[Sequence[Fold]], *, num_trees: int, advance: Callable[[], Any]
) -> ArmResult:
    """Return how well the forests of all views of an arm do together; arguments as for `cross_validate`."""
    views = [cross_validate(view, targets, runs, num_trees=num_trees, advance=advance) for view in arm.views]
    return ArmResult(arm.name, arm.phases, arm.num_features, np.mean(views, axis=0), targets)


def cross_validate(
    features: Sequence[np.ndarray],
    targets: np.ndarray,
    runs: Sequence[Sequence[Fold]],
    *,
    num_trees: int = NUM_TREES,
    advance: Callable[[], Any] = lambda: None,
) -> np.ndarray:
    """Return probabilities (R, N, G) of each class for the tested members of every run.

    Args:
        features: one matrix (N, D), or one for each fold, whose codes are those of the fold's own prior.
        targets: (N,) ints, all of 0 … G - 1.
        runs: the folds of each run.
        num_trees: of a forest; those of run r are seeded with r.
        advance: called after every forest.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    num_classes = int(targets.max()) + 1
    probabilities = np.zeros((len(runs), len(targets), num_classes))
    for run, folds in enumerate(runs):
        for number, fold in enumerate(folds):
            if len(fold.test):
                matrix = features[number] if len(features) > 1 else features[0]
                forest = ExtraTreesClassifier(num_trees, random_state=run, n_jobs=1)
                forest.fit(matrix[fold.train], targets[fold.train])
                # A class that no training member of the fold has is never predicted.
                columns = np.ix_(fold.test, forest.classes_)
                probabilities[run][columns] = forest.predict_proba(matrix[fold.test])
            advance()
    return probabilities
