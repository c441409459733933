"""The space that codes fill: distributions, correlation, principal directions, paths, and what tells groups apart."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from acnn_nnunet.shape_prior.code_statistics import code_spread, dimension_shapes

HISTOGRAM_BINS = 20
STEPS_IN_SD = (-2.0, -1.0, 0.0, 1.0, 2.0)
_MOST_PAIRS = 10
_NUM_TREES = 200


@dataclass(frozen=True)
class Direction:
    """A line through the mean of the codes.

    Attributes:
        name: "code_3" or "principal 1".
        vector: (K,), one standard deviation long.
        share: of the codes' variance; None of a single dimension.
    """

    name: str
    vector: np.ndarray
    share: float | None = None


@dataclass(frozen=True)
class Splits:
    """The dimensions on which decision trees split to tell the groups apart.

    Attributes:
        groups: number of codes by group.
        shares: (K,) share of all splits; their sum is 1.
        importances: (K,) share of the fall in Gini impurity; their sum is 1.
    """

    groups: dict[str, int]
    shares: np.ndarray
    importances: np.ndarray

    @property
    def order(self) -> list[int]:
        """Dimensions, the most split first."""
        return np.argsort(-self.shares, kind="stable").tolist()


def describe_space(codes: np.ndarray) -> dict[str, Any]:
    """Return spread, distribution of every dimension with its histogram, and correlation of codes (N, K).

    Raises:
        ValueError: for fewer than two codes or codes that are not finite.
    """
    codes = np.asarray(codes, dtype=np.float64)
    spread = code_spread(codes)
    shapes = dimension_shapes(codes)
    dimensions = []
    for values, shape in zip(codes.T, shapes, strict=True):
        counts, edges = np.histogram(values, HISTOGRAM_BINS)
        dimensions.append(
            {
                "mean": float(values.mean()),
                "sd": float(values.std(ddof=1)),
                **asdict(shape),
                "looks_normal": shape.looks_normal,
                "looks_multimodal": shape.looks_multimodal,
                "edges": edges.tolist(),
                "counts": counts.tolist(),
            }
        )
    return {
        **asdict(spread),
        "tested_dimensions": sum(shape.normality_p is not None for shape in shapes),
        "normal_dimensions": sum(shape.looks_normal for shape in shapes),
        "multimodal_dimensions": sum(shape.looks_multimodal for shape in shapes),
        "dimensions": dimensions,
        "correlation": _describe_correlation(correlation_matrix(codes)),
    }


def correlation_matrix(codes: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation (K, K) of the dimensions of codes (N, K), 0 of one that does not move."""
    centred = np.asarray(codes, dtype=np.float64) - np.mean(codes, axis=0)
    lengths = np.linalg.norm(centred, axis=0)
    moves = lengths > 1e-9 * max(1.0, float(np.abs(codes).max()))
    scaled = np.where(moves, centred / np.where(moves, lengths, 1), 0)
    matrix = np.clip(scaled.T @ scaled, -1, 1)
    np.fill_diagonal(matrix, 1)
    return matrix


def dimension_directions(codes: np.ndarray, dimensions: Sequence[int]) -> list[Direction]:
    """Return the directions of single dimensions of codes (N, K).

    Raises:
        ValueError: for a dimension that the code does not have.
    """
    size = codes.shape[1]
    for k in dimensions:
        if not 0 <= k < size:
            raise ValueError(f"There is no dimension {k}: the code has the dimensions 0 to {size - 1}.")
    deviations = np.std(codes, axis=0, ddof=1)
    return [Direction(f"code_{k}", deviations[k] * np.eye(size)[k]) for k in dimensions]


def principal_directions(codes: np.ndarray, number: int) -> list[Direction]:
    """Return the first principal directions of the covariance of codes (N, K), at most min(K, N - 1) of them.

    The largest entry of each is positive, so that its sign is always the same.
    """
    centred = np.asarray(codes, dtype=np.float64) - np.mean(codes, axis=0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    variances = lengths**2 / (len(codes) - 1)
    total = variances.sum()
    directions = []
    for index in range(min(number, len(codes) - 1, codes.shape[1])):
        if variances[index] <= 1e-12 * total or total == 0:
            break
        axis = axes[index] * np.sign(axes[index][np.abs(axes[index]).argmax()])
        share = float(variances[index] / total)
        directions.append(Direction(f"principal {index + 1}", axis * np.sqrt(variances[index]), share))
    return directions


def traverse(mean: np.ndarray, direction: Direction, steps_in_sd: Sequence[float] = STEPS_IN_SD) -> np.ndarray:
    """Return the codes (S, K) on a line through the mean (K,)."""
    return mean + np.asarray(steps_in_sd)[:, None] * direction.vector


def splitting_dimensions(codes: np.ndarray, groups: Sequence[str], *, seed: int = 0) -> Splits:
    """Return the dimensions on which the trees of a random forest, fitted to all codes, split (paper §III-F).

    Args:
        codes: (N, K).
        groups: of each code; those without a group ("") are passed over.
        seed: of the forest.

    Raises:
        ValueError: for fewer than two groups.
    """
    from sklearn.ensemble import RandomForestClassifier

    known = np.array([bool(group) for group in groups], dtype=bool)
    targets = np.array([group for group in groups if group])
    names, counts = np.unique(targets, return_counts=True)
    if len(names) < 2:
        raise ValueError(f"To split, codes of at least two groups are needed; there are {len(names)}.")
    # Balanced: the largest group shall not say alone where to split.
    forest = RandomForestClassifier(_NUM_TREES, class_weight="balanced", random_state=seed)
    forest.fit(np.asarray(codes, dtype=np.float64)[known], targets)
    used = np.concatenate([tree.tree_.feature for tree in forest.estimators_])
    splits = np.bincount(used[used >= 0], minlength=codes.shape[1]).astype(float)
    return Splits(
        groups={str(name): int(count) for name, count in zip(names, counts, strict=True)},
        shares=splits / max(1.0, splits.sum()),
        importances=np.asarray(forest.feature_importances_),
    )


def _describe_correlation(matrix: np.ndarray) -> dict[str, Any]:
    rows, columns = np.triu_indices(len(matrix), 1)
    values = matrix[rows, columns]
    strongest = np.argsort(-np.abs(values), kind="stable")[:_MOST_PAIRS]
    return {
        "mean_absolute": float(np.abs(values).mean()) if len(values) else None,
        "largest_absolute": float(np.abs(values).max()) if len(values) else None,
        "strongest_pairs": [
            {"dimensions": [int(rows[i]), int(columns[i])], "correlation": float(values[i])} for i in strongest
        ],
        "matrix": matrix.tolist(),
    }
