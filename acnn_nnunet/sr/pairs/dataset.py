"""Pairs and cases to simulate from in one of nnU-Net's datasets, and a loader that cuts pairs between their slices."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset, nnUNetDatasetBlosc2

from acnn_nnunet.sr.pairs.augmentation import mixed_transforms

PAIR_SUFFIX = ":lr"
"""Behind a case's name, its pair's; no file is called so."""


def is_pair(identifier: str) -> bool:
    """Return whether an identifier of a batch is a pair's."""
    return str(identifier).endswith(PAIR_SUFFIX)


def case_of_pair(identifier: str) -> str:
    """Return the case whose pair it is."""
    return str(identifier).removesuffix(PAIR_SUFFIX)


class PairedDataset(nnUNetBaseDataset):
    """A dataset of nnU-Net with real pairs beside its cases.

    A pair's data are the HR image and the stack, each slice repeated K times, as (2C, Z, Y, X); a case's are (C, …).

    Args:
        cases: nnU-Net's own dataset, of the cases to simulate stacks from.
        folder: of the prepared pairs.
        pairs: cases that have one.
        pair_share: share of pairs among the samples; without pairs it is 0.
        factor: K.
        axis: the through-plane axis of the arrays.
        num_channels: C.
        change_intensities: of a pair's stack, in augmentation.
    """

    def __init__(
        self,
        cases: nnUNetBaseDataset,
        folder: Path,
        pairs: Sequence[str],
        *,
        pair_share: float,
        factor: int,
        axis: int,
        num_channels: int,
        change_intensities: bool,
    ):
        self.source_folder = cases.source_folder
        self.folder_with_segs_from_previous_stage = None
        self.identifiers = [*cases.identifiers, *(f"{case}{PAIR_SUFFIX}" for case in pairs)]
        self.factor, self.axis = factor, axis
        self.num_channels, self.change_intensities = num_channels, change_intensities
        self._cases, self._pairs = cases, nnUNetDatasetBlosc2(str(folder), list(pairs))
        share = pair_share if pairs else 0.0
        each = [(1 - share) / max(1, len(cases.identifiers)), share / max(1, len(pairs))]
        self.sampling_probabilities = [each[is_pair(name)] for name in self.identifiers]

    def load_case(self, identifier: str) -> Any:
        """Return data, labels, None and properties, as nnU-Net's datasets do."""
        if is_pair(identifier):
            return self._pairs.load_case(case_of_pair(identifier))
        return self._cases.load_case(identifier)

    @staticmethod
    def save_case(data: np.ndarray, seg: np.ndarray, properties: dict, output_filename_truncated: str) -> None:
        """Refuse: pairs are written by plan-hr."""
        raise NotImplementedError("pairs are prepared by acnn-nnunet plan-hr")

    @staticmethod
    def get_identifiers(folder: str) -> list[str]:
        """Refuse: the identifiers come from two folders."""
        raise NotImplementedError("pairs and cases lie in two folders")


class PairLoader(nnUNetDataLoader):
    """nnU-Net's loader. From a PairedDataset it draws pairs by their share and cuts patches where a slice begins."""

    def __init__(self, data: nnUNetBaseDataset, *args: Any, **kwargs: Any):
        super().__init__(data, *args, **kwargs)
        self._paired = data if isinstance(data, PairedDataset) else None
        if self._paired is not None:
            self.sampling_probabilities = self._paired.sampling_probabilities
            self.transforms: Any = mixed_transforms(
                kwargs["transforms"],
                tuple(int(n) for n in self.final_patch_size),
                num_channels=self._paired.num_channels,
                factor=self._paired.factor,
                axis=self._paired.axis,
                change_intensities=self._paired.change_intensities,
            )

    def get_bbox(self, *args: Any, **kwargs: Any) -> tuple[list[int], list[int]]:
        """Return the host's box, moved along the slices by at most half a thick one to where one begins."""
        lows, highs = super().get_bbox(*args, **kwargs)
        if self._paired is not None:
            axis, factor = self._paired.axis, self._paired.factor
            shift = factor * round(int(lows[axis]) / factor) - int(lows[axis])
            lows[axis], highs[axis] = lows[axis] + shift, highs[axis] + shift
        return lows, highs
