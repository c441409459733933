"""A loader's batch as the network takes it: stacks simulated from HR patches, real ones where a sample is a pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from acnn_nnunet.sr.degradation.acquisition import Acquisition, acquire
from acnn_nnunet.sr.pairs.dataset import case_of_pair, is_pair
from acnn_nnunet.sr.pairs.store import PairRecord
from acnn_nnunet.sr.training.stack_units import StackUnits


@dataclass(frozen=True)
class StackBatch:
    """What a network sees and what it is to put out.

    Attributes:
        stack: (B, C, …), as predict-hr normalises stacks.
        image: (B, C, …) on the HR grid, as nnU-Net normalises HR images.
        scale: (B, C, 1, 1, 1): HR intensity = scale · stack intensity + offset.
        offset: (B, C, 1, 1, 1).
    """

    stack: Tensor
    image: Tensor
    scale: Tensor
    offset: Tensor


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
    """

    acquisition: Acquisition
    units: StackUnits
    spacing_mm: Sequence[float]
    axis: int
    num_channels: int
    pairs: Mapping[str, PairRecord]

    def of(self, data: Tensor, keys: Sequence[str]) -> StackBatch:
        """Return the stacks of a batch.

        Args:
            data: (B, C, …), HR images; with pairs in the data set (B, 2C, …), stacks on the HR grid behind them.
            keys: cases, or pairs.
        """
        image = data[:, : self.num_channels]
        paired = torch.tensor([is_pair(key) for key in keys], device=data.device)
        scale, offset = self._units_of(keys, like=image)
        stack = acquire(image, self.acquisition, self.spacing_mm, axis=self.axis)
        stack = (stack - offset) / scale
        if paired.any():
            middles = torch.arange(self.acquisition.factor // 2, data.shape[2 + self.axis], self.acquisition.factor)
            real = data[:, self.num_channels :].index_select(2 + self.axis, middles.to(data.device))
            stack = torch.where(paired.view(-1, 1, 1, 1, 1), real, stack)
        return StackBatch(stack, image, scale, offset)

    def _units_of(self, keys: Sequence[str], *, like: Tensor) -> tuple[Tensor, Tensor]:
        cases = [str(key) for key in keys if not is_pair(key)]
        simulated = iter(zip(*self.units.of(cases, like=like), strict=True) if cases else ())
        units = [self._unit_of_pair(key, like=like) if is_pair(key) else next(simulated) for key in keys]
        scale, offset = (torch.stack(list(each)) for each in zip(*units, strict=True))
        return scale, offset

    def _unit_of_pair(self, key: str, *, like: Tensor) -> tuple[Tensor, Tensor]:
        record = self.pairs[case_of_pair(key)]
        scale, offset = (like.new_tensor(values).view(-1, 1, 1, 1) for values in (record.scale, record.offset))
        return scale, offset
