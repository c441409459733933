"""Linear shape models: PCA of signed distance maps and of label maps, and the start of a hybrid's linear branches."""

from collections.abc import Sequence
from dataclasses import dataclass

import edt
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

LIMIT = 10.0
_MOST_VALUES = 150_000_000
# Of the linear start: more voxels from the boundary than that, a distance says little of the shape.
_START_LIMIT = 6.0
_RIDGE = 0.001
_LEAST_VARIANCE = 1e-6


class LinearShapeModel:
    """PCA of the signed distances of every label, fitted to label maps.

    Args:
        masks: of the training cases, each bool (K, …) with one channel a foreground label or region.
        components: of the code; at most one less than there are cases, so that one case alone is its own mean shape.
        exclusive: whether a voxel has one label at most (classes) or may have several (regions).
    """

    def __init__(self, masks: Sequence[np.ndarray], *, components: int, exclusive: bool):
        from sklearn.decomposition import PCA

        self.exclusive = exclusive
        self.num_cases = len(masks)
        distances = np.stack([_distances(mask).ravel() for mask in masks])
        self.components = min(components, len(masks) - 1)
        self._mean = distances.mean(0)
        self._pca = None
        if self.components:
            self._pca = PCA(self.components, svd_solver="randomized", random_state=0).fit(distances)

    def reconstruct(self, masks: np.ndarray) -> np.ndarray:
        """Return masks (K, …) projected onto the model."""
        distances = self._mean
        if self._pca is not None:
            distances = self._pca.inverse_transform(self._pca.transform(_distances(masks).reshape(1, -1)))
        distances = distances.reshape(masks.shape)
        if not self.exclusive:
            return distances > 0
        labels = labels_from_distances(distances)
        return np.stack([labels == label for label in range(1, len(masks) + 1)])


def most_cases(masks_shape: tuple[int, ...]) -> int:
    """Return how many masks of a shape (K, …) a model can be fitted to in less than a gigabyte of memory."""
    return max(2, _MOST_VALUES // int(np.prod(masks_shape)))


def signed_distances(labels: np.ndarray, num_classes: int, *, spacing: tuple[float, ...] | None = None) -> np.ndarray:
    """Return (C - 1, …) distances in voxels to each foreground label's boundary, positive inside, clipped at ±10.

    Args:
        labels: integer label map (…), background 0.
        num_classes: C, with background. A label that is absent is -10 everywhere, one that is everywhere 10.
        spacing: length of a voxel along each axis; without it distances are in voxels.
    """
    distances = np.full((num_classes - 1, *labels.shape), -LIMIT, dtype=np.float32)
    for label in range(1, num_classes):
        mask = labels == label
        if mask.all():
            distances[label - 1] = LIMIT
        elif mask.any():
            inside, outside = (edt.edt(part.astype(np.uint8), anisotropy=spacing, parallel=1) for part in (mask, ~mask))
            distances[label - 1] = inside - outside
    return np.clip(distances, -LIMIT, LIMIT)


def labels_from_distances(distances: np.ndarray) -> np.ndarray:
    """Return the label map (…) of distances (C - 1, …): the label that a voxel is deepest in, or background."""
    return np.where(distances.max(0) > 0, distances.argmax(0) + 1, 0)


def pca_codes(maps: np.ndarray, fitted: np.ndarray, *, components: int) -> np.ndarray:
    """Return codes (N, K) of all maps by a PCA that saw some of them; K is at most one less than these.

    Args:
        maps: (N, V) label maps, flattened.
        fitted: (N,) bool, the maps that the PCA is fitted to.
        components: K.

    Raises:
        ValueError: for fewer than two maps to fit to.
    """
    from sklearn.decomposition import PCA

    count = int(np.sum(fitted))
    if count < 2:
        raise ValueError(f"PCA needs at least two label maps to be fitted to, there are {count}.")
    model = PCA(min(components, count - 1), svd_solver="randomized", random_state=0).fit(maps[fitted])
    return model.transform(maps)


@dataclass(frozen=True)
class LinearStart:
    """A linear shape model, V values a map; of K components or fewer, as many as the maps have directions.

    Attributes:
        distance_mean: (V,), the mean map of distances.
        basis: (K, V), orthonormal principal axes of the distances, by falling variance.
        scale: (K,), standard deviation along each.
        read_mean: (V,), the mean of the soft distances that the encoder reads.
        to_code: (V, K), takes them, less their mean, to codes of unit variance.
        read_size: mean sum of their absolute values, less their mean.
    """

    distance_mean: Tensor
    basis: Tensor
    scale: Tensor
    read_mean: Tensor
    to_code: Tensor
    read_size: float


def fit_linear_start(read: Tensor, distances: Tensor, *, components: int) -> LinearStart:
    """Fit to maps' soft distances (N, V), which the encoder reads, and their exact ones (N, V), positive inside."""
    distance_mean, read_mean = distances.mean(0), read.mean(0)
    distances, read = distances - distance_mean, read - read_mean
    # There are fewer maps than values: the eigenvectors of the small matrix give those of the large one.
    variances, vectors = torch.linalg.eigh((distances @ distances.T).double())
    kept = variances.argsort(descending=True)[:components]
    kept = kept[variances[kept] > _LEAST_VARIANCE * variances.max().clamp(min=_LEAST_VARIANCE)]
    basis = F.normalize(vectors[:, kept].T.to(distances.dtype) @ distances, dim=1)
    codes = distances @ basis.T
    scale = codes.square().mean(0).sqrt()
    products = read @ read.T
    ridge = (_RIDGE * products.diagonal().mean()).clamp(min=1e-6) * torch.eye(len(read))
    to_code = read.T @ torch.linalg.solve(products + ridge, codes / scale)
    return LinearStart(distance_mean, basis, scale, read_mean, to_code, read.abs().sum(1).mean().item())


def distance_maps(maps: Tensor, labels: LabelSpace, spacing_mm: tuple[float, ...]) -> Tensor:
    """Return the signed distances (B, C, …) of label maps, positive inside, at most 6; 0 for the background's channel.

    Their unit is a voxel of the finest axis. The boundary lies half a voxel from the centres beside it.
    """
    masks = labels.hardened(maps).cpu().numpy() > 0.5
    voxel = tuple(spacing / min(spacing_mm) for spacing in spacing_mm)
    first = 0 if labels.regions else 1
    distances = torch.zeros(masks.shape)
    for sample, channels in zip(distances, masks, strict=True):
        for channel, mask in zip(sample[first:], channels[first:], strict=True):
            channel.copy_(torch.from_numpy(signed_distances(mask, 2, spacing=voxel)[0]))
    return (distances - 0.5 * distances.sign()).clamp(-_START_LIMIT, _START_LIMIT)


def without_background(maps: Tensor, labels: LabelSpace) -> Tensor:
    """Return maps (B, C, …) with the background's channel, if there is one, set to 0."""
    if labels.regions:
        return maps
    return torch.cat([torch.zeros_like(maps[:, :1]), maps[:, 1:]], 1)


def _distances(masks: np.ndarray) -> np.ndarray:
    return np.concatenate([signed_distances(mask, 2) for mask in masks])
