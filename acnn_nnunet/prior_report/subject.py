"""The prior in question on its fold's cases, as every measure of the report sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.fold_prior.held_out import load_on_grid
from acnn_nnunet.fold_prior.loading import channel_names
from acnn_nnunet.nnunet.folds import FoldView
from acnn_nnunet.shape_prior.grids.views import Grid
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.loss.distances import make_code_distance
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork
from acnn_nnunet.shape_prior.prior_file import Prior


@dataclass(frozen=True)
class Subject:
    """A prior, a fold, and what follows from both.

    Attributes:
        view: dataset, configuration and fold.
        prior: on `device`.
        labels: what the network's channels mean in this configuration.
        device: where to compute.
        advance: called after every case and batch.
    """

    view: FoldView
    prior: Prior
    labels: LabelSpace
    device: str
    advance: Callable[[], Any] = lambda: None

    @property
    def network(self) -> TLNetwork:
        """The prior's T-L network."""
        return self.prior.network

    @property
    def has_predictor(self) -> bool:
        """Whether the predictor's stage came: it does not where training ended with the first stage."""
        return self.prior.spec.has_predictor

    @property
    def batch_size(self) -> int:
        """The configuration's."""
        return self.view.bundle.configuration.batch_size

    @cached_property
    def grid(self) -> Grid:
        """Where the prior looks."""
        return self.prior.spec.make_grid(self.view.bundle.configuration.spacing)

    @cached_property
    def names(self) -> dict[int, str]:
        """Name of the label of each channel but the background's."""
        return channel_names(self.view.label_names, self.labels)

    @cached_property
    def geometry(self) -> Geometry:
        """Size and spacing of the grid."""
        return Geometry(self.grid.size, tuple(float(s) for s in self.prior.spec.spacing_mm))

    @cached_property
    def distances(self) -> dict[str, nn.Module]:
        """Squared distances of two codes, by kind."""
        kinds = ("l2", "whitened", *(["decoded"] if self.prior.spec.architecture == "hybrid" else []))
        return {kind: make_code_distance(kind, self.network) for kind in kinds}

    def load(self, identifier: str, cases: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        """Return image (1, C', …) and label maps (1, C, …) of one of the given cases on the grid."""
        dataset = self.view.dataset(cases)
        names = self.view.label_names
        image, maps, _ = load_on_grid(dataset, identifier, names, self.labels, self.grid, device=self.device)
        return image, maps

    def masks(self, maps: Tensor) -> np.ndarray:
        """Return bool masks (K, …) of the foreground channels of hard maps (1, C, …)."""
        return maps[0, 0 if self.labels.regions else 1 :].cpu().numpy() > 0.5

    def decoded(self, code: Tensor) -> np.ndarray:
        """Return masks (K, …) of what a code (1, K) decodes to."""
        with torch.no_grad():
            return self.masks(self.labels.decisions(self.network.decoder(code)))


def evenly_spaced(items: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return at most `count` of the items, from the first to the last."""
    if len(items) <= count:
        return tuple(items)
    return tuple(items[int(index)] for index in np.linspace(0, len(items) - 1, count).round())
