"""The linear shape model that a prior is measured against: PCA of signed distance maps."""

from collections.abc import Sequence

import numpy as np

from acnn_nnunet.shape_prior.signed_distance import labels_from_distances, signed_distances

_MOST_VALUES = 150_000_000


class LinearShapeModel:
    """PCA of the signed distances of every label, fitted to label maps.

    Args:
        masks: of the training cases, each bool (K, …) with one channel a foreground label or region.
        components: of the code; at most one less than there are cases.
        exclusive: whether a voxel has one label at most (classes) or may have several (regions).
    """

    def __init__(self, masks: Sequence[np.ndarray], *, components: int, exclusive: bool):
        from sklearn.decomposition import PCA

        self.exclusive = exclusive
        self.num_cases = len(masks)
        distances = np.stack([_distances(mask).ravel() for mask in masks])
        self.components = max(1, min(components, len(masks) - 1))
        self._pca = PCA(self.components, svd_solver="randomized", random_state=0).fit(distances)

    def reconstruct(self, masks: np.ndarray) -> np.ndarray:
        """Return masks (K, …) projected onto the model."""
        code = self._pca.transform(_distances(masks).reshape(1, -1))
        distances = self._pca.inverse_transform(code).reshape(masks.shape)
        if not self.exclusive:
            return distances > 0
        labels = labels_from_distances(distances)
        return np.stack([labels == label for label in range(1, len(masks) + 1)])


def most_cases(masks_shape: tuple[int, ...]) -> int:
    """Return how many masks of a shape (K, …) a model can be fitted to in less than a gigabyte of memory."""
    return max(2, _MOST_VALUES // int(np.prod(masks_shape)))


def _distances(masks: np.ndarray) -> np.ndarray:
    return np.concatenate([signed_distances(mask, 2) for mask in masks])
