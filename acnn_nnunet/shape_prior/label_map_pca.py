"""PCA of label maps on a prior's grid: the linear codes that the prior's are compared with (paper §III-F)."""

import numpy as np


def pca_codes(maps: np.ndarray, fitted: np.ndarray, *, components: int) -> np.ndarray:
    """Return codes (N, K) of all maps by a PCA that saw some of them; K is at most one less than these.

    Args:
        maps: (N, V) label maps, flattened.
        fitted: (N,) bool, the maps that the PCA is fitted to.
        components: K.

    Raises:
        ValueError: if it shall be fitted to fewer than two maps.
    """
    from sklearn.decomposition import PCA

    count = int(np.sum(fitted))
    if count < 2:
        raise ValueError(f"PCA needs at least two label maps to be fitted to, there are {count}.")
    model = PCA(min(components, count - 1), svd_solver="randomized", random_state=0).fit(maps[fitted])
    return model.transform(maps)
