"""One prediction, corrected by the learnt anatomy: on the prior's grid, and back on the image's."""

from collections.abc import Callable, Collection, Sequence
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
from acnn_nnunet.refinement.completion import Completion
from acnn_nnunet.refinement.mending import ROUNDS, AnatomyOf, Proposal, propose
from acnn_nnunet.refinement.placement import Placement, place_grid
from acnn_nnunet.refinement.predictions import Prediction, decided
from acnn_nnunet.refinement.recipe import Recipe, Step
from acnn_nnunet.shape_prior.loss.distances import WhitenedDistance

REFINED, KEPT, LEFT = "refined", "kept", "left"
"""Corrected; as it was, by the calibration's word; as it was, for it is not of the prior's kind."""

PROJECT, COMPLETE, BOTH = "project", "complete", "complete+project"
LEAST_RESEMBLANCE = 0.35
"""Dice of a prediction's anatomy and its reconstruction below which nothing in the prior resembles it."""

_OBJECT_SHARE = 0.5  # of the largest piece: what is smaller, far from it, is no object of its own


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
class AnatomyRefiner:
    """Corrects predictions with a prior.

    Attributes:
        coder: of the prior.
        recipe: how much of the anatomy comes in, and when.
        completion: of the same fold, if there is one.
    """

    coder: Coder
    recipe: Recipe
    completion: Completion | None = None

    @cached_property
    def single(self) -> tuple[int, ...]:
        """Channels whose label is one piece, islands aside, in the prior's mean shape."""
        mean = self.coder.mean_shape.numpy() > 0.5
        return tuple(channel for channel in self.coder.names if _pieces(main_pieces(mean[channel]))[1] == 1)

    @cached_property
    def is_one_piece(self) -> bool:
        """Whether all of the anatomy is one piece in the prior's mean shape."""
        anatomy = self.coder.labels.foreground(self.coder.mean_shape[None])[0, 0].numpy()
        return _pieces(main_pieces(anatomy))[1] == 1

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that can be had."""
        return (PROJECT,) if self.completion is None else (PROJECT, COMPLETE, BOTH)

    def refine(self, prediction: Prediction) -> Refined:
        """Return the corrected label map of a prediction, or the prediction with the reason why it is left."""
        found = self.propose(prediction, by_recipe=True)
        if isinstance(found, str):
            return Refined(prediction.values, LEFT, found)
        proposals, measures = found
        if measures["resemblance"] < LEAST_RESEMBLANCE:
            reason = f"nothing in the prior resembles it (Dice with its reconstruction {measures['resemblance']:.2f})"
            return Refined(prediction.values, LEFT, reason, measures)
        step = self.recipe.step_for(measures)
        if step is None:
            return Refined(prediction.values, KEPT, "the calibration expects no gain", measures)
        return Refined(self.written_back(prediction, proposals[step.method], step), REFINED, "", measures)

    def propose(
        self, prediction: Prediction, methods: Collection[str] = (), *, by_recipe: bool = False
    ) -> tuple[dict[str, Proposal], dict[str, float]] | str:
        """Return what methods would change and measures of a prediction, or why it is left.

        Args:
            prediction: to be changed.
            methods: all by default.
            by_recipe: only what the recipe's step for the prediction needs.
        """
        values = prediction.values.transpose(self.order)
        spacing_mm = tuple(prediction.spacing_mm[axis] for axis in self.order)
        main = self._main_part(values, spacing_mm)
        if isinstance(main, str):
            return main
        placement = self._place(main, spacing_mm)
        box = self._reach(placement, values.shape)
        soft = self._soft(prediction, values, box)
        measures, rounds, proposals = self._measures(soft, main[box], spacing_mm), ROUNDS, {}
        methods = methods or self.methods
        if by_recipe:
            step = self.recipe.step_for(measures)
            methods, rounds = ((), 0) if step is None else ((step.method,), ROUNDS if step.mends else 0)
        for method in methods:
            place, anatomy_of, grid_mm = self._tools(method, spacing_mm)
            proposals[method] = propose(
                soft,
                box,
                place=place,
                anatomy_of=anatomy_of,
                labels=self.coder.labels,
                spacing_mm=grid_mm,
                rounds=rounds,
            )
        return proposals, measures

    def lay(self, prediction: Prediction) -> tuple[Tensor, Placement] | str:
        """Return soft maps (1, C, …) of a prediction on the prior's grid and where that lies, or why there is none."""
        values = prediction.values.transpose(self.order)
        spacing_mm = tuple(prediction.spacing_mm[axis] for axis in self.order)
        main = self._main_part(values, spacing_mm)
        if isinstance(main, str):
            return main
        placement = self._place(main, spacing_mm)
        soft = self._soft(prediction, values, placement.box)
        return placement.onto_grid(soft, beyond=self.coder.labels.background), placement

    def written_back(self, prediction: Prediction, proposal: Proposal, step: Step) -> np.ndarray:
        """Return the prediction's label map with the mixture of its probabilities and a proposed anatomy in it."""
        mixed = proposal.mixed(*self._shares(step))
        refined = prediction.values.transpose(self.order).astype(np.int32)
        refined[proposal.box] = decided(mixed[0].numpy(), self.coder)
        spacing_mm = tuple(prediction.spacing_mm[axis] for axis in self.order)
        tidied = self._tidied(refined, spacing_mm).transpose(np.argsort(self.order))
        return tidied.astype(prediction.values.dtype)

    def _main_part(self, values: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray | str:
        """Return the mask of the anatomy without islands, or the reason why it is not of the prior's kind."""
        ignore = self.coder.labels.ignore_label
        foreground = values > 0 if ignore is None else (values > 0) & (values != ignore)
        if not foreground.any():
            return "nothing is predicted"
        main = main_pieces(foreground)
        if self._place(main, spacing_mm).fits:
            return main
        objects = _largest_pieces(main, _OBJECT_SHARE)
        if self.is_one_piece and self._place(objects, spacing_mm).fits:
            return objects
        pieces, count = _pieces(objects)
        if count > 1 and self._place(pieces == np.bincount(pieces[objects]).argmax(), spacing_mm).fits:
            return f"there are {count} objects, further apart than the prior's grid is long"
        return "the anatomy is larger than the prior's grid"

    def _tools(
        self, method: str, spacing_mm: tuple[float, ...]
    ) -> tuple[Callable[[np.ndarray], Placement], AnatomyOf, tuple[float, ...]]:
        """Return how a method lays its grid, what anatomy it finds there, and the spacing of the grid's voxels."""
        completion = self.completion
        if method == PROJECT or completion is None:
            return lambda mask: self._place(mask, spacing_mm), self._reconstructed, self.coder.geometry.spacing_mm
        grid_mm = tuple(float(mm) for mm in completion.bundle.configuration.spacing)
        if method == COMPLETE:
            return lambda mask: completion.place(mask, spacing_mm), lambda maps, _: completion.complete(maps), grid_mm
        return lambda mask: completion.place(mask, spacing_mm), self._completed_and_reconstructed, grid_mm

    def _reconstructed(self, maps: Tensor, _: Placement | None = None) -> Tensor:
        """Return the reconstruction g(f(maps)), soft, on the CPU."""
        network = self.coder.prior.network
        with torch.no_grad():
            logits = network.decoder(network.encoder(maps.to(self.coder.device)))
        return self.coder.labels.probabilities(logits.float()).cpu()

    def _completed_and_reconstructed(self, maps: Tensor, _: Placement) -> Tensor:
        """Return the reconstruction of what the completion makes of maps of its patch, on that patch."""
        assert self.completion is not None
        background = self.coder.labels.background
        completed = self.completion.complete(maps)
        anatomy = self.coder.labels.foreground(completed)[0, 0].numpy()
        if not anatomy.any():
            return completed
        inner = self._place(main_pieces(anatomy), tuple(self.completion.bundle.configuration.spacing))
        on_grid = inner.onto_grid(completed[inner.of_maps], beyond=background)
        change = self._reconstructed(on_grid) - on_grid
        completed[inner.of_maps] += inner.onto_box(change, beyond=(0.0,) * completed.shape[1])
        return completed

    def _measures(self, soft: Tensor, main: np.ndarray, spacing_mm: tuple[float, ...]) -> dict[str, float]:
        """Return how like its reconstruction a prediction is, and how far its code lies from the training codes."""
        network, foreground = self.coder.prior.network, self.coder.labels.foreground
        placement = self._place(main, spacing_mm)
        maps = placement.onto_grid(soft[placement.of_maps], beyond=self.coder.labels.background)
        with torch.no_grad():
            code = network.encoder(maps.to(self.coder.device)).cpu()
        distance = WhitenedDistance(network.code_covariance.cpu())(code, network.code_mean[None].cpu())
        return {
            "resemblance": _overlap(foreground(maps), foreground(self._reconstructed(maps))),
            "mahalanobis": float(distance.sqrt()) / len(network.code_mean) ** 0.5,
        }

    def _reach(self, placement: Placement, shape: tuple[int, ...]) -> tuple[slice, ...]:
        """Return the placement's box with half of its length more on either side, within the image."""
        halves = [(each, (each.stop - each.start + 1) // 2) for each in placement.box]
        return tuple(
            slice(max(0, each.start - half), min(length, each.stop + half))
            for (each, half), length in zip(halves, shape, strict=True)
        )

    def _shares(self, step: Step) -> tuple[Tensor, Tensor]:
        """Return each channel's share (C,) of the changes, and whether its thick ones are taken whole, bool (C,)."""
        thin, thick = torch.zeros(self.coder.labels.num_channels), torch.zeros(self.coder.labels.num_channels).bool()
        for channel, name in self.coder.names.items():
            mix = step.mix_of(name)
            thin[channel], thick[channel] = mix.thin, mix.thick
        if not self.coder.labels.regions:
            thin[0], thick[0] = thin[1:].mean(), thick[1:].any()
        return thin, thick

    def _tidied(self, values: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
        """Return a label map without islands, where the prior's mean shape is one piece and where its labels are."""
        if self.coder.labels.regions:
            return values
        main = self._main_part(values, spacing_mm)
        if self.is_one_piece and not isinstance(main, str):
            values[~main] = 0
        for channel in self.single:
            mask = values == channel
            if mask.any():
                values[mask & ~main_pieces(mask)] = 0
        return values

    def _soft(self, prediction: Prediction, values: np.ndarray, box: tuple[slice, ...]) -> Tensor:
        """Return probabilities (1, C, …) of a box: the prediction's, or those that a label map stands for."""
        coder = self.coder
        if prediction.probabilities is not None:
            index = (slice(None), *box)
            turned = prediction.probabilities.transpose(0, *(1 + axis for axis in self.order))[index]
            return torch.from_numpy(np.ascontiguousarray(turned)).float()[None]
        cut = values[box][None].astype(np.int16)
        return softened(coder.labels.target_maps(as_target(cut, coder.prior.spec.labels, coder.labels)[None]))

    def _place(self, mask: np.ndarray, spacing_mm: Sequence[float]) -> Placement:
        size, grid_mm = self.coder.geometry.size, self.coder.geometry.spacing_mm
        return place_grid(mask, spacing_mm, kind=self.coder.grid.kind, size=size, grid_spacing_mm=grid_mm)

    @property
    def order(self) -> tuple[int, ...]:
        """The plans' order of a file's axes."""
        return self.coder.layout.transpose


def softened(maps: Tensor) -> Tensor:
    """Return what hard maps (1, C, Z, Y, X) say of probabilities: half of it themselves, half their neighbourhood."""
    return 0.5 * (maps + F.avg_pool3d(maps, 3, stride=1, padding=1, count_include_pad=False))


def _largest_pieces(mask: np.ndarray, share: float) -> np.ndarray:
    """Return the pieces of a mask with at least a share of the largest one's voxels."""
    pieces, _ = _pieces(mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return mask & (sizes >= share * sizes.max())[pieces]


def _pieces(mask: np.ndarray) -> tuple[np.ndarray, int]:
    pieces, count = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=26, return_N=True)
    return pieces, int(count)


def _overlap(first: Tensor, second: Tensor) -> float:
    size = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / size if size else 0.0
