"""A loader's batch as the network takes it: stacks simulated from HR patches, real ones where a sample is a pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from acnn_nnunet.sr.degradation.acquisition import Acquisition, acquire
from acnn_nnunet.sr.pairs.dataset import case_of_pair, is_pair
from acnn_nnunet.sr.pairs.store import PairRecord
from acnn_nnunet.sr.stack_geometry import ThroughPlane, stack_patch
from acnn_nnunet.sr.training.stack_units import StackUnits


@dataclass(frozen=True)
class StackBatch:
    """What a network sees and what it is to put out.

    Attributes:
        stack: (B, C, …), as predict-hr normalises stacks.
        image: (B, C, …) on the HR grid, as nnU-Net normalises HR images.
        scale: (B, C, 1, 1, 1): HR intensity = scale · stack intensity + offset.
        offset: (B, C, 1, 1, 1).
        factor: of all of the batch's stacks.
    """

    stack: Tensor
    image: Tensor
    scale: Tensor
    offset: Tensor
    factor: int


@dataclass(frozen=True)
class StackBatches:
    """Makes stacks of a loader's batches.

    Attributes:
        acquisition: of simulated stacks.
        units: of cases.
        spacing_mm: of HR voxels.
        axis: the through-plane axis among the spatial ones.
        num_channels: C of an image.
        pairs: records by case.
        strides: of the network's stages, whose product divides a stack's slices.
        factors: of which each batch draws one; none is the acquisition's. One of a batch, because it decides the sizes.
        gap_mm: range that each sample's gap between slices is drawn from; below 0 they overlap.
    """

    acquisition: Acquisition
    units: StackUnits
    spacing_mm: Sequence[float]
    axis: int
    num_channels: int
    pairs: Mapping[str, PairRecord]
    strides: Sequence[Sequence[int]] = ()
    factors: tuple[int, ...] = ()
    gap_mm: tuple[float, float] = (0.0, 0.0)

    def of(self, data: Tensor, keys: Sequence[str]) -> StackBatch:
        """Return the stacks of a batch.

        Args:
            data: (B, C, …), HR images; with pairs in the data set (B, 2C, …), stacks on the HR grid behind them.
            keys: cases, or pairs.
        """
        image = data[:, : self.num_channels]
        paired = torch.tensor([is_pair(key) for key in keys], device=data.device)
        factor = self._draw_factor()
        thicknesses_mm = self._draw_thicknesses(factor, len(keys))
        scale, offset = self._units_of(keys, factor, thicknesses_mm, like=image)
        stack = (self._acquire(image, factor, thicknesses_mm) - offset) / scale
        if paired.any():
            middles = torch.arange(self.acquisition.factor // 2, data.shape[2 + self.axis], self.acquisition.factor)
            real = data[:, self.num_channels :].index_select(2 + self.axis, middles.to(data.device))
            stack = torch.where(paired.view(-1, 1, 1, 1, 1), real, stack)
        return StackBatch(stack, image, scale, offset, factor)

    def _draw_factor(self) -> int:
        if len(self.factors) < 2:
            return self.factors[0] if self.factors else self.acquisition.factor
        return self.factors[int(torch.randint(len(self.factors), ()))]

    def _draw_thicknesses(self, factor: int, count: int) -> list[float]:
        spacing_mm, (low, high) = factor * self.spacing_mm[self.axis], self.gap_mm
        if low == high:
            return [spacing_mm - low] * count
        return [spacing_mm - low - (high - low) * float(torch.rand(())) for _ in range(count)]

    def _acquire(self, image: Tensor, factor: int, thicknesses_mm: Sequence[float]) -> Tensor:
        """Return the stacks of HR patches; beyond a patch's end its last slice goes on, until the network takes it."""
        wanted = stack_patch(image.shape[2:], ThroughPlane(factor, self.axis), self.strides)[self.axis] * factor
        if missing := wanted - image.shape[2 + self.axis]:
            last = image.narrow(2 + self.axis, image.shape[2 + self.axis] - 1, 1)
            image = torch.cat([image, last.repeat_interleave(missing, 2 + self.axis)], 2 + self.axis)
        if len(set(thicknesses_mm)) == 1:
            return self._stacks(image, factor, thicknesses_mm[0])
        samples = zip(image.split(1), thicknesses_mm, strict=True)
        return torch.cat([self._stacks(sample, factor, thickness) for sample, thickness in samples])

    def _stacks(self, image: Tensor, factor: int, thickness_mm: float) -> Tensor:
        acquisition = replace(self.acquisition, factor=factor, thickness_mm=thickness_mm)
        return acquire(image, acquisition, self.spacing_mm, axis=self.axis)

    def _units_of(
        self, keys: Sequence[str], factor: int, thicknesses_mm: Sequence[float], *, like: Tensor
    ) -> tuple[Tensor, Tensor]:
        simulates = [not is_pair(key) for key in keys]
        cases = [str(key) for key, simulate in zip(keys, simulates, strict=True) if simulate]
        voxels = [mm / self.spacing_mm[self.axis] for mm, mine in zip(thicknesses_mm, simulates, strict=True) if mine]
        measured = self.units.of(cases, like=like, factor=factor, thicknesses_voxels=voxels) if cases else ()
        simulated = iter(zip(*measured, strict=True))
        units = [self._unit_of_pair(key, like=like) if is_pair(key) else next(simulated) for key in keys]
        scale, offset = (torch.stack(list(each)) for each in zip(*units, strict=True))
        return scale, offset

    def _unit_of_pair(self, key: str, *, like: Tensor) -> tuple[Tensor, Tensor]:
        record = self.pairs[case_of_pair(key)]
        scale, offset = (like.new_tensor(values).view(-1, 1, 1, 1) for values in (record.scale, record.offset))
        return scale, offset
