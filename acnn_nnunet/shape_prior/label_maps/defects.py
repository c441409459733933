"""Label maps made wrong in known ways and by known amounts, and how a prior's distance answers to them.

Every defect takes hard maps `(C, …)`, the channels of a background voxel, a strength (0 changes nothing, and more
changes more) and a seed. One seed spoils one place at every strength.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

Defect = Callable[..., np.ndarray]
STRENGTHS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


def grow(maps: np.ndarray, background: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """Move the anatomy's outer boundary outwards until its volume is 1 + strength times as large.

    A new voxel takes the label of the nearest one.
    """
    anatomy = _anatomy(maps, background)
    if not anatomy.any():
        return maps.copy()
    distance, nearest = distance_transform_edt(~anatomy, return_indices=True)
    added = _nearest_voxels(distance, ~anatomy, _share_of(anatomy, strength), seed)
    where = (slice(None), *nearest)
    return np.where(added, maps[where], maps)


def shrink(maps: np.ndarray, background: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """Move the anatomy's outer boundary inwards until its volume is 1 - strength times as large."""
    anatomy = _anatomy(maps, background)
    # Padded, so that the array's faces count as boundary too.
    distance = distance_transform_edt(np.pad(anatomy, 1))[(slice(1, -1),) * anatomy.ndim]
    removed = _nearest_voxels(distance, anatomy, _share_of(anatomy, strength), seed)
    return np.where(removed, _as_channels(background, maps), maps)


def remove_slab(maps: np.ndarray, background: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """Empty neighbouring slices of the first axis: `strength` of the anatomy's extent, one slice at least."""
    anatomy = _anatomy(maps, background)
    present = np.flatnonzero(anatomy.any(axis=tuple(range(1, anatomy.ndim))))
    if not len(present) or strength == 0:
        return maps.copy()
    extent = present[-1] - present[0] + 1
    thickness = max(1, round(strength * extent))
    centre = present[0] + np.random.default_rng(seed).uniform(0.25, 0.75) * (extent - 1)
    first = int(np.clip(round(centre - (thickness - 1) / 2), present[0], present[-1] + 1 - thickness))
    spoilt = maps.copy()
    spoilt[:, first : first + thickness] = _as_channels(background, maps)
    return spoilt


def add_island(maps: np.ndarray, background: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """Put a ball of `strength` times the anatomy's volume, of one of its labels, into the background.

    It grows around a voxel that is a quarter of the anatomy's extent away from it, if there is one so far.
    """
    anatomy = _anatomy(maps, background)
    if not anatomy.any() or anatomy.all():
        return maps.copy()
    rng = np.random.default_rng(seed)
    away = distance_transform_edt(~anatomy)
    voxels = np.argwhere(anatomy)
    wanted = min(away.max(), 0.25 * (np.ptp(voxels, axis=0) + 1).max())
    centre = tuple(rng.permutation(np.argwhere(away >= wanted))[0])
    voxel = (slice(None), *rng.permutation(voxels)[0])
    ball = _nearest_voxels(_distance_to(centre, anatomy.shape), ~anatomy, _share_of(anatomy, strength), seed)
    return np.where(ball, _as_channels(maps[voxel], maps), maps)


def swap_label(maps: np.ndarray, background: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """Give `strength` of the anatomy, around one of its voxels, the next label; with one label alone, background.

    Regions overlap: what changes there is which of them a voxel is in, to the next of the combinations that occur.
    """
    anatomy = _anatomy(maps, background)
    if not anatomy.any():
        return maps.copy()
    centre = tuple(np.random.default_rng(seed).permutation(np.argwhere(anatomy))[0])
    swapped = _nearest_voxels(_distance_to(centre, anatomy.shape), anatomy, _share_of(anatomy, strength), seed)
    if not background.any():  # classes have a background channel, regions have none
        return np.where(swapped, _next_combination(maps, anatomy), maps)
    others = maps[1:]
    rolled = np.roll(others, 1, axis=0) if len(others) > 1 else np.zeros_like(others)
    next_label = np.concatenate([(~rolled.any(0, keepdims=True)).astype(maps.dtype), rolled])
    return np.where(swapped, next_label, maps)


def move_slices(maps: np.ndarray, background: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """Shift each slice of the first axis by up to `strength` of the anatomy's extent along each other axis."""
    anatomy = _anatomy(maps, background)
    if not anatomy.any():
        return maps.copy()
    extent = np.ptp(np.argwhere(anatomy), axis=0)[1:] + 1
    shifts = np.random.default_rng(seed).uniform(-1, 1, (maps.shape[1], len(extent)))
    spoilt = np.empty_like(maps)
    for index, shift in enumerate(np.rint(strength * extent * shifts).astype(int)):
        spoilt[:, index] = _shifted(maps[:, index], shift, background)
    return spoilt


DEFECTS: dict[str, Defect] = {
    "boundary outwards": grow,
    "boundary inwards": shrink,
    "slab removed": remove_slab,
    "island added": add_island,
    "label swapped": swap_label,
    "slices moved": move_slices,
}


def _anatomy(maps: np.ndarray, background: np.ndarray) -> np.ndarray:
    return (maps != _as_channels(background, maps)).any(0)


def _as_channels(values: np.ndarray, maps: np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=maps.dtype).reshape(-1, *(1,) * (maps.ndim - 1))


def _share_of(anatomy: np.ndarray, share: float) -> int:
    return round(share * int(anatomy.sum()))


def _nearest_voxels(distance: np.ndarray, among: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the mask of the `count` voxels of a mask that are nearest; equally near ones are drawn."""
    candidates = np.flatnonzero(among)
    ties = np.random.default_rng(seed).random(len(candidates))
    order = np.lexsort((ties, distance.ravel()[candidates]))
    chosen = np.zeros(distance.size, dtype=bool)
    chosen[candidates[order[:count]]] = True
    return chosen.reshape(distance.shape)


def _distance_to(centre: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    coordinates = np.indices(shape, sparse=True)
    return np.sqrt(sum((axis - c) ** 2.0 for axis, c in zip(coordinates, centre, strict=True)))


def _next_combination(maps: np.ndarray, anatomy: np.ndarray) -> np.ndarray:
    """Return maps (R, …) of regions with each voxel of the anatomy in the next of the combinations that occur."""
    combinations, which = np.unique(maps[:, anatomy], axis=1, return_inverse=True)
    following = np.roll(combinations, 1, axis=1) if combinations.shape[1] > 1 else np.zeros_like(combinations)
    result = maps.copy()
    result[:, anatomy] = following[:, which.ravel()]
    return result


def _shifted(maps: np.ndarray, shift: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return maps (C, …) moved by whole voxels, with background where nothing comes from."""
    moved = np.broadcast_to(_as_channels(background, maps), maps.shape).copy()
    target, source = [slice(None)], [slice(None)]
    for step, length in zip(shift, maps.shape[1:], strict=True):
        step = int(np.clip(step, -length, length))
        target.append(slice(max(step, 0), length + min(step, 0)))
        source.append(slice(max(-step, 0), length + min(-step, 0)))
    moved[tuple(target)] = maps[tuple(source)]
    return moved


@dataclass(frozen=True)
class DoseResponse:
    """How a measure answers to more and more of a defect.

    Attributes:
        means: over cases, one per strength.
        spearman: rank correlation of strength and measure within a case, averaged over the cases in which the measure
            moves; None if there is none.
        monotone: whether the means never fall from one strength to the next, and rise in all.
    """

    means: list[float]
    spearman: float | None
    monotone: bool


def dose_response(strengths: Sequence[float], values: np.ndarray) -> DoseResponse:
    """Return how values (cases, strengths) answer to strengths in rising order."""
    values = np.asarray(values, dtype=np.float64)
    means = values.mean(0)
    correlations = [rho for case in values if (rho := rank_correlation(np.asarray(strengths), case)) is not None]
    return DoseResponse(
        means=means.tolist(),
        spearman=float(np.mean(correlations)) if correlations else None,
        monotone=bool((np.diff(means) >= 0).all() and means[-1] > means[0]),
    )


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Spearman's rho of two arrays of one shape, None where one of them is constant."""
    from scipy.stats import spearmanr

    first, second = np.ravel(first), np.ravel(second)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)
