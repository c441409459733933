"""Label maps with structured defects, as bad images cause them, for a completion to mend in training."""

import torch
from torch import Tensor

from acnn_nnunet.refinement.segmentation_errors import draw_errors
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

# Shares of the anatomy's extent; a slice that is dropped or moved is one of the first axis, the host's slice axis.
THICKEST_SLAB, FARTHEST_MOVE, DROPPED_SHARE, LARGEST_ISLAND, LONGEST_END = 0.4, 0.1, 0.4, 0.3, 0.4
_BOUNDARY_STRENGTH = 0.45
_COARSENESS = (4, 16)  # voxels of the boundaries' wandering, from and below
_WANDERING = 0.75  # share of the samples whose boundaries wander
_SHORT = 20  # voxels of a grid along thick slices
_SMOOTHINGS = (3, 5, 7)  # voxels that boundaries are averaged over; along short axes of the grid 3
_EACH = 0.35  # probability of each defect


def draw_structural_errors(maps: Tensor, labels: LabelSpace) -> Tensor:
    """Return hard maps (B, C, …) of label maps: slabs and slices missing or moved, islands, wandering boundaries.

    Boundaries wander in three of four samples; each other defect is drawn by itself, and there may be none.

    Args:
        maps: (B, C, …) in 0…1.
        labels: meaning of the channels.
    """
    smoothing = _SMOOTHINGS[_draw(0, len(_SMOOTHINGS))] if min(maps.shape[2:]) > _SHORT else _SMOOTHINGS[0]
    wandering = draw_errors(
        maps, labels, strength=_BOUNDARY_STRENGTH, coarseness=_draw(*_COARSENESS), smoothing=smoothing
    )
    hard = labels.hardened(maps)
    return torch.stack(
        [
            spoil(first if _by_chance(_WANDERING) else second, labels)
            for first, second in zip(wandering, hard, strict=True)
        ]
    )


def spoil(maps: Tensor, labels: LabelSpace) -> Tensor:
    """Return maps (C, …), soft or hard, with slabs and slices missing or moved and islands, each by chance."""
    box = _extent(labels.foreground(maps[None])[0, 0])
    if box is None:
        return maps
    for defect in (_move_slices, _remove_slab, _drop_slices, _add_island, _cut_end):
        maps = defect(maps, box, labels) if _by_chance(_EACH) else maps
    return maps


def _remove_slab(maps: Tensor, box: list[tuple[int, int]], labels: LabelSpace) -> Tensor:
    axis = _draw(0, len(box))
    low, high = box[axis]
    thickness = max(1, round(THICKEST_SLAB * float(torch.rand(())) * (high - low)))
    start = _draw(low - thickness + 1, high)
    return _emptied(maps, axis, range(max(0, start), min(maps.shape[1 + axis], start + thickness)), labels)


def _cut_end(maps: Tensor, box: list[tuple[int, int]], labels: LabelSpace) -> Tensor:
    axis = _draw(0, len(box))
    low, high = box[axis]
    length = 1 + int(LONGEST_END * float(torch.rand(())) * (high - low))
    return _emptied(maps, axis, range(low, low + length) if _by_chance(0.5) else range(high - length, high), labels)


def _drop_slices(maps: Tensor, box: list[tuple[int, int]], labels: LabelSpace) -> Tensor:
    share = DROPPED_SHARE * torch.rand(())
    lost = (torch.rand(box[0][1] - box[0][0]) < share).nonzero().flatten() + box[0][0]
    return _emptied(maps, 0, lost.tolist(), labels)


def _move_slices(maps: Tensor, box: list[tuple[int, int]], labels: LabelSpace) -> Tensor:
    """Shift each slice within its plane; what leaves on one side is background on the other, beyond the anatomy."""
    moved = maps.clone()
    farthest = [max(1, round(FARTHEST_MOVE * (high - low))) for low, high in box[1:]]
    for index in range(*box[0]):
        steps = [_draw(-limit, limit + 1) for limit in farthest]
        moved[:, index] = torch.roll(maps[:, index], steps, dims=tuple(range(1, len(box))))
    return moved


def _add_island(maps: Tensor, box: list[tuple[int, int]], labels: LabelSpace) -> Tensor:
    """Put an ellipsoid of one label somewhere."""
    inside: Tensor | float = 0.0
    for axis, ((low, high), length) in enumerate(zip(box, maps.shape[1:], strict=True)):
        radius = max(1.0, LARGEST_ISLAND / 2 * float(torch.rand(())) * (high - low))
        distance = ((torch.arange(length, device=maps.device) - _draw(0, length)) / radius).square()
        inside = inside + distance.view(*(-1 if each == axis else 1 for each in range(len(box))))
    first = 0 if labels.regions else 1
    label = torch.zeros(len(maps), device=maps.device, dtype=maps.dtype)
    label[_draw(first, len(maps))] = 1
    return torch.where(torch.as_tensor(inside) < 1, label.view(-1, *(1,) * len(box)), maps)


def _emptied(maps: Tensor, axis: int, indices: "range | list[int]", labels: LabelSpace) -> Tensor:
    emptied = maps.clone()
    background = maps.new_tensor(labels.background).view(-1, *(1,) * (maps.ndim - 2))
    for index in indices:
        emptied.select(1 + axis, index).copy_(background.expand_as(emptied.select(1 + axis, index)))
    return emptied


def _extent(anatomy: Tensor) -> list[tuple[int, int]] | None:
    found = anatomy.nonzero()
    if not len(found):
        return None
    return [(int(low), int(high) + 1) for low, high in zip(found.min(0).values, found.max(0).values, strict=True)]


def _by_chance(probability: float) -> bool:
    return bool(torch.rand(()) < probability)


def _draw(low: int, high: int) -> int:
    """Return a whole number from low to high - 1."""
    return int(torch.randint(low, max(high, low + 1), ()))
