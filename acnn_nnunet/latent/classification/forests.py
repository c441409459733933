"""The ensemble of decision trees that tells groups apart (paper §III-F): extremely randomised ones."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from acnn_nnunet.latent.classification.folds import Fold

# The runs vote together: 20 of them are 4000 trees.
NUM_TREES = 200


def cross_validate(
    features: Sequence[np.ndarray],
    targets: np.ndarray,
    runs: Sequence[Sequence[Fold]],
    *,
    num_trees: int = NUM_TREES,
    advance: Callable[[], Any] = lambda: None,
) -> np.ndarray:
    """Return probabilities (R, N, G) of each class for the tested members of every run.

    Run r's forests are seeded with r.

    Args:
        features: one matrix (N, D), or one for each fold, whose codes are those of the fold's own prior.
        targets: (N,) ints, all of 0 … G - 1.
        runs: the folds of each run.
        num_trees: of a forest.
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
