"""A training batch on a prior's grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from acnn_nnunet.shape_prior.grids.views import Grid, View
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace


@dataclass(frozen=True)
class GridSamples:
    """The valid samples of a batch; image and labels are laid on the grid alike, around the labels' anatomy.

    Attributes:
        image: (V, C', …).
        maps: label maps (V, C, …) in 0…1.
        known: (V, 1, …), the weight of each voxel: 0 where it is unannotated.
        view: where the grid lies in every sample of the batch.
    """

    image: Tensor
    maps: Tensor
    known: Tensor
    view: View

    @property
    def counts(self) -> dict[str, float]:
        """Number of samples, of those that are valid, of those cut off, and the valid ones' shares beyond the grid."""
        view = self.view
        return {
            "samples": len(view.valid),
            "valid": int(view.valid.sum()),
            "cut": int(view.cut_off.sum()),
            "outside": float((view.outside_share * view.valid).sum()),
        }


def samples_on_grid(image: Tensor, target: Tensor, *, grid: Grid, labels: LabelSpace) -> GridSamples:
    """Take a batch to a prior's grid.

    Args:
        image: (B, C', …) patches.
        target: (B, 1, …) classes or (B, R[+1], …) regions.
        grid: where the prior looks.
        labels: what the channels mean.
    """
    with torch.no_grad():
        maps = labels.target_maps(target)
        view = grid.around(labels.foreground(maps))
        known = view(labels.known(target), beyond=1.0)
        image, maps = view(image), view(maps, beyond=labels.background)
        if not view.valid.all():
            image, maps, known = image[view.valid], maps[view.valid], known[view.valid]
        return GridSamples(image, maps, known, view)


def grid_shares(counts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the shares of samples that are cut off and masked, and of the valid samples' anatomy beyond the grid.

    Args:
        counts: of batches, as `GridSamples.counts` gives them, with a valid sample among them.
    """
    total = {name: sum(float(batch[name]) for batch in counts) for name in ("samples", "valid", "cut", "outside")}
    return {
        "cut_off_share": total["cut"] / total["samples"],
        "masked_share": 1 - total["valid"] / total["samples"],
        "outside_share": total["outside"] / total["valid"],
    }
