"""Islands far from the anatomy: no repair joins them to it, and a search that drops them one by one takes long."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt, label

from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule, slice_axis
from acnn_nnunet.evaluation.masks.scores import largest_component

FAR_MM = 10.0
"""In a slice, from all places where the anatomy's largest piece has a voxel in any slice."""

_JOINS = ("adjoins", "no_gap", "touches", "enclosed_by", "no_pockets")  # rules whose two labels belong together
_EIGHT = np.ones((3, 3), dtype=bool)


def without_islands(
    values: np.ndarray,
    rules: Sequence[AnatomicalRule],
    *,
    label_values: Mapping[str, tuple[int, ...]],
    spacing_mm: tuple[float, ...],
) -> np.ndarray:
    """Return a label map without the pieces of its slices that lie far from the largest piece.

    Labels that rules join are one anatomy. Only labels that a rule wants in one piece in each slice lose islands.

    Args:
        values: integers `(Z, Y, X)` or `(Y, X)`.
        rules: that it has to keep.
        label_values: the values of each label.
        spacing_mm: voxel size in array order.
    """
    axis = slice_axis(spacing_mm) if values.ndim == 3 else None
    in_plane_mm = [mm for index, mm in enumerate(spacing_mm) if index != axis]
    left = values.copy()
    for group in _anatomies(rules):
        mask = np.isin(values, [value for name in group for value in label_values[name]])
        if not mask.any():
            continue
        main = largest_component(mask)
        anywhere = main if axis is None else main.any(axis=axis)
        far = distance_transform_edt(~anywhere, in_plane_mm) > FAR_MM
        for plane, piece in _slices_of(left, mask, axis):
            pieces, count = label(piece, _EIGHT)
            near = set(np.unique(pieces[~far]).tolist())
            plane[np.isin(pieces, [number for number in range(1, count + 1) if number not in near])] = 0
    return left


def _anatomies(rules: Sequence[AnatomicalRule]) -> list[set[str]]:
    """Return sets of labels that rules join, of those that are one piece in each slice."""
    single = [name for rule in rules if rule.rule == "one_piece" and rule.in_plane for name in rule.label]
    groups = [{name} for name in dict.fromkeys(single)]
    for rule in rules:
        if rule.rule in _JOINS:
            names = {*rule.label, *rule.other}
            joined = [group for group in groups if group & names]
            groups = [group for group in groups if not group & names]
            groups += [set().union(*joined)] if joined else []
    return groups


def _slices_of(values: np.ndarray, mask: np.ndarray, axis: int | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield views of the slices of a label map, with those of a mask, where that is not empty."""
    if axis is None:
        yield values, mask
        return
    for plane, piece in zip(np.moveaxis(values, axis, 0), np.moveaxis(mask, axis, 0), strict=True):
        if piece.any():
            yield plane, piece
