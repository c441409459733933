"""One prediction, corrected by the learnt anatomy: on the prior's grid, and back on the image's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import cc3d
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from acnn_nnunet.fold_prior.coder import Coder
from acnn_nnunet.fold_prior.held_out import as_target
from acnn_nnunet.nnunet.cases import main_pieces
from acnn_nnunet.refinement.code_search import CodeSearch
from acnn_nnunet.refinement.placement import Placement, place_grid
from acnn_nnunet.refinement.predictions import Prediction, decided
from acnn_nnunet.shape_prior.loss.distances import WhitenedDistance

REFINED, KEPT, LEFT = "refined", "kept", "left"
"""Corrected; as it was, by the calibration's word; as it was, for it is not of the prior's kind."""

PROJECT = "project"
LEAST_RESEMBLANCE = 0.35
"""Dice of a prediction's anatomy and its reconstruction below which nothing in the prior resembles it."""

_SAFE_WEIGHT = 0.5


@dataclass(frozen=True)
class Recipe:
    """How predictions are corrected.

    Attributes:
        method: name of the anatomy that is mixed in.
        weights: by label name, the anatomy's share in the mixture, 0 to 1.
    """

    method: str = PROJECT
    weights: Mapping[str, float] = field(default_factory=dict)

    def weight_of(self, label: str) -> float:
        """Return the anatomy's share for a label."""
        return self.weights.get(label, _SAFE_WEIGHT)


@dataclass(frozen=True)
class Refined:
    """What came of a prediction.

    Attributes:
        values: label map (Z, Y, X), axes as the host's reader gives them.
        status: REFINED, KEPT or LEFT.
        reason: in words, where it is not refined.
        measures: of the prediction, by name.
    """

    values: np.ndarray
    status: str
    reason: str = ""
    measures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class OnGrid:
    """A prediction on the prior's grid.

    Attributes:
        soft: (1, C, …) probabilities of the box, in the grid's order of axes.
        maps: (1, C, …) of the grid.
        placement: where it lies.
    """

    soft: Tensor
    maps: Tensor
    placement: Placement


@dataclass(frozen=True)
class AnatomyRefiner:
    """Corrects predictions with a prior.

    Attributes:
        coder: of the prior.
        recipe: how.
        search: of codes.
    """

    coder: Coder
    recipe: Recipe
    search: CodeSearch = field(default_factory=CodeSearch)

    @cached_property
    def single(self) -> tuple[int, ...]:
        """Channels whose label is one piece in the prior's mean shape."""
        mean = self.coder.mean_shape.numpy() > 0.5
        return tuple(channel for channel in self.coder.names if _pieces(mean[channel])[1] == 1)

    def refine(self, prediction: Prediction) -> Refined:
        """Return the corrected label map of a prediction, or the prediction with the reason why it is left."""
        found = self.onto_grid(prediction)
        if isinstance(found, str):
            return Refined(prediction.values, LEFT, found)
        anatomy, measures = self.anatomy(found)
        if measures["resemblance"] < LEAST_RESEMBLANCE:
            reason = f"nothing in the prior resembles it (Dice with its reconstruction {measures['resemblance']:.2f})"
            return Refined(prediction.values, LEFT, reason, measures)
        return Refined(self.written_back(prediction, found, anatomy), REFINED, "", measures)

    def onto_grid(self, prediction: Prediction) -> OnGrid | str:
        """Return a prediction on the prior's grid, or the reason why it cannot be there."""
        values = self._turned(prediction.values)
        foreground = self._foreground(values)
        if not foreground.any():
            return "nothing is predicted"
        main = main_pieces(foreground)
        placement = self._place(main, prediction.spacing_mm)
        if not placement.fits:
            pieces, count = _pieces(main)
            if count > 1 and self._place(pieces == np.bincount(pieces[main]).argmax(), prediction.spacing_mm).fits:
                return f"there are {count} objects, further apart than the prior's grid is long"
            return "the anatomy is larger than the prior's grid"
        soft = self._soft(prediction, values, placement)
        return OnGrid(soft, placement.onto_grid(soft, beyond=self.coder.labels.background), placement)

    def anatomy(self, found: OnGrid) -> tuple[Tensor, dict[str, float]]:
        """Return the most plausible anatomy (1, C, …) on the grid, soft, and measures of the prediction."""
        coder, network = self.coder, self.coder.prior.network
        maps = found.maps.to(coder.device)
        with torch.no_grad():
            start = network.encoder(maps)
            first = coder.labels.probabilities(network.decoder(start))
        code = self.search.run(network, coder.labels, maps, start)
        with torch.no_grad():
            anatomy = coder.labels.probabilities(network.decoder(code))
        distance = WhitenedDistance(network.code_covariance)(start.cpu(), network.code_mean[None].cpu())
        measures = {
            "resemblance": _overlap(coder.labels.foreground(maps), coder.labels.foreground(first)),
            "agreement": _overlap(coder.labels.foreground(maps), coder.labels.foreground(anatomy)),
            "mahalanobis": float(distance.sqrt()) / len(network.code_mean) ** 0.5,
        }
        return anatomy.cpu(), measures

    def written_back(self, prediction: Prediction, found: OnGrid, anatomy: Tensor) -> np.ndarray:
        """Return the prediction's label map with the mixture of its probabilities and the anatomy in it."""
        coder = self.coder
        background = coder.labels.background
        mixed = self.mixed(found.soft, found.placement.onto_box(anatomy, beyond=background))
        refined = self._turned(prediction.values).astype(np.int32)
        refined[found.placement.box] = decided(mixed[0].numpy(), coder)
        return self._turned_back(self._tidied(refined)).astype(prediction.values.dtype)

    def mixed(self, soft: Tensor, anatomy: Tensor) -> Tensor:
        """Return the mixture (1, C, …) of two soft maps, each structure with its own weight."""
        weights = torch.zeros(soft.shape[1])
        for channel, name in self.coder.names.items():
            weights[channel] = self.recipe.weight_of(name)
        if not self.coder.labels.regions:
            weights[0] = weights[1:].mean()
        weights = weights.view(1, -1, *(1,) * (soft.ndim - 2))
        return (1 - weights) * soft + weights * anatomy

    def _tidied(self, values: np.ndarray) -> np.ndarray:
        """Return a label map without islands of the labels that are one piece in the prior's mean shape."""
        if self.coder.labels.regions:
            return values
        for channel in self.single:
            mask = values == channel
            if mask.any():
                values[mask & ~main_pieces(mask)] = 0
        return values

    def _soft(self, prediction: Prediction, values: np.ndarray, placement: Placement) -> Tensor:
        """Return probabilities (1, C, …) of the box: the prediction's, or those that a label map stands for."""
        coder = self.coder
        if prediction.probabilities is not None:
            index = (slice(None), *placement.box)
            turned = prediction.probabilities.transpose(0, *(1 + axis for axis in self._order))[index]
            return torch.from_numpy(np.ascontiguousarray(turned)).float()[None]
        cut = values[placement.box][None].astype(np.int16)
        return softened(coder.labels.target_maps(as_target(cut, coder.prior.spec.labels, coder.labels)[None]))

    def _place(self, mask: np.ndarray, spacing_mm: tuple[float, ...]) -> Placement:
        grid = self.coder.grid
        turned_mm = [spacing_mm[axis] for axis in self._order]
        size, grid_mm = self.coder.geometry.size, self.coder.geometry.spacing_mm
        return place_grid(mask, turned_mm, kind=grid.kind, size=size, grid_spacing_mm=grid_mm)

    def _foreground(self, values: np.ndarray) -> np.ndarray:
        ignore = self.coder.labels.ignore_label
        return values > 0 if ignore is None else (values > 0) & (values != ignore)

    @property
    def _order(self) -> tuple[int, ...]:
        return self.coder.layout.transpose

    def _turned(self, values: np.ndarray) -> np.ndarray:
        return values.transpose(self._order)

    def _turned_back(self, values: np.ndarray) -> np.ndarray:
        return values.transpose(np.argsort(self._order))


def softened(maps: Tensor) -> Tensor:
    """Return what hard maps (1, C, Z, Y, X) say of probabilities: half of it themselves, half their neighbourhood."""
    return 0.5 * (maps + F.avg_pool3d(maps, 3, stride=1, padding=1, count_include_pad=False))


def _pieces(mask: np.ndarray) -> tuple[np.ndarray, int]:
    pieces, count = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=26, return_N=True)
    return pieces, int(count)


def _overlap(first: Tensor, second: Tensor) -> float:
    size = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / size if size else 0.0
