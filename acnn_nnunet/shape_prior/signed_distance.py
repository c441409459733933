"""Label maps as signed distance maps: what a linear shape model is fitted to."""

import edt
import numpy as np

LIMIT = 10.0


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
