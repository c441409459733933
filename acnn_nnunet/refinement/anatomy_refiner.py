"""One prediction, corrected by the learnt anatomy: on the prior's grid, and back on the image's."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from acnn_nnunet.fold_prior.coder import Coder
from acnn_nnunet.fold_prior.held_out import as_target
from acnn_nnunet.nnunet.cases import main_pieces
from acnn_nnunet.refinement.completion import Completion, softened
from acnn_nnunet.refinement.main_part import Explained, MainPart, count_pieces, find_main_part
from acnn_nnunet.refinement.mending import ROUNDS, Proposal, propose
from acnn_nnunet.refinement.placement import Placement, place_grid
from acnn_nnunet.refinement.predictions import Prediction, decided
from acnn_nnunet.refinement.recipe import Recipe, Step
from acnn_nnunet.shape_prior.loss.distances import WhitenedDistance

REFINED, KEPT, LEFT = "refined", "kept", "left"
"""Corrected; as it was, by the calibration's word; as it was, for it is not of the prior's kind."""

COMPLETE, PROJECT = "complete", "project"
METHODS = (COMPLETE, PROJECT)
"""Where the anatomy comes from: the completion of the prediction, or its mere reconstruction by the prior."""

LEAST_RESEMBLANCE = 0.35
"""Dice of a prediction's anatomy and its reconstruction below which nothing in the prior resembles it."""


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
class Opinion:
    """What a prior says of a prediction.

    Attributes:
        values: the prediction's label map without debris, axes in the plans' order.
        measures: by name.
        proposals: what each method would change.
    """

    values: np.ndarray
    measures: dict[str, float]
    proposals: dict[str, Proposal]

    @property
    def resembles(self) -> bool:
        """Whether anything in the prior resembles the prediction."""
        return self.measures["resemblance"] >= LEAST_RESEMBLANCE


@dataclass(frozen=True)
class _Look:
    """A prediction on the prior's grid, and its reconstruction; maps (1, C, …) on the CPU."""

    maps: Tensor
    code: Tensor
    anatomy: Tensor


@dataclass(frozen=True)
class AnatomyRefiner:
    """Corrects predictions with a prior.

    Attributes:
        coder: of the prior.
        recipe: how much of the anatomy comes in, and when.
        completion: of the same prior.
    """

    coder: Coder
    recipe: Recipe
    completion: Completion

    @cached_property
    def single(self) -> tuple[int, ...]:
        """Channels whose label is one piece, islands aside, in the prior's mean shape."""
        mean = self.coder.mean_shape.numpy() > 0.5
        return tuple(channel for channel in self.coder.names if count_pieces(main_pieces(mean[channel])) == 1)

    @cached_property
    def is_one_piece(self) -> bool:
        """Whether all of the anatomy is one piece in the prior's mean shape."""
        anatomy = self.coder.labels.foreground(self.coder.mean_shape[None])[0, 0].numpy()
        return count_pieces(main_pieces(anatomy)) == 1

    def refine(self, prediction: Prediction) -> Refined:
        """Return the corrected label map of a prediction, or the prediction with the reason why it is left."""
        opinion = self.propose(prediction, by_recipe=True)
        if isinstance(opinion, str):
            return Refined(prediction.values, LEFT, opinion)
        measures = opinion.measures
        if not opinion.resembles:
            reason = f"nothing in the prior resembles it (Dice with its reconstruction {measures['resemblance']:.2f})"
            return Refined(prediction.values, LEFT, reason, measures)
        step = self.recipe.step_for(measures)
        if step is None:
            return Refined(prediction.values, KEPT, "the calibration expects no gain", measures)
        return Refined(self.written_back(prediction, opinion, step), REFINED, "", measures)

    def propose(
        self, prediction: Prediction, methods: Collection[str] = (), *, by_recipe: bool = False
    ) -> Opinion | str:
        """Return what methods would change and measures of a prediction, or why it is left.

        Args:
            prediction: to be changed.
            methods: all by default.
            by_recipe: only what the recipe's step for the prediction needs.
        """
        values = prediction.values.transpose(self.order)
        spacing_mm = tuple(prediction.spacing_mm[axis] for axis in self.order)
        part = self._main_part(values, spacing_mm)
        if isinstance(part, str):
            return part
        values = np.where(part.debris, 0, values)
        placement = self._place(part.anatomy, spacing_mm)
        box = self._reach(placement, values.shape)
        soft = self._soft(prediction, values, box, part.debris[box])
        look = self._look(soft, self._place(part.anatomy[box], spacing_mm))
        measures, rounds, proposals = self._measures(look), ROUNDS, {}
        methods = methods or METHODS
        if by_recipe:
            step = self.recipe.step_for(measures)
            methods, rounds = ((), 0) if step is None else ((step.method,), ROUNDS if step.mends else 0)
        for method in methods:
            proposals[method] = propose(
                soft,
                box,
                main=part.anatomy[box],
                place=partial(self._place, spacing_mm=spacing_mm),
                anatomy_of=self._completed if method == COMPLETE else partial(self._reconstructed, known=look),
                labels=self.coder.labels,
                spacing_mm=self.coder.geometry.spacing_mm,
                rounds=rounds,
            )
        return Opinion(values, measures, proposals)

    def written_back(self, prediction: Prediction, opinion: Opinion, step: Step) -> np.ndarray:
        """Return the prediction's label map with the mixture of its probabilities and a proposed anatomy in it."""
        proposal = opinion.proposals[step.method]
        mixed = proposal.mixed(*self._shares(step))
        refined = opinion.values.astype(np.int32)
        refined[proposal.box] = decided(mixed[0].numpy(), self.coder)
        return self._tidied(refined).transpose(np.argsort(self.order)).astype(prediction.values.dtype)

    def _main_part(self, values: np.ndarray, spacing_mm: tuple[float, ...]) -> MainPart | str:
        """Return the anatomy in a label map, or the reason why it is not of the prior's kind."""
        ignore = self.coder.labels.ignore_label
        foreground = values > 0 if ignore is None else (values > 0) & (values != ignore)
        if not foreground.any():
            return "nothing is predicted"

        def explain(mask: np.ndarray) -> Explained:
            return self._explained(np.where(mask, values, 0), spacing_mm)

        place = partial(self._place, spacing_mm=spacing_mm)
        return find_main_part(foreground, place=place, explain=explain if self.is_one_piece else None)

    def _explained(self, values: np.ndarray, spacing_mm: tuple[float, ...]) -> Explained:
        """Return how a part of a label map agrees with its reconstruction."""
        labels, placement = self.coder.labels, self._place(values > 0, spacing_mm)
        look = self._look(self._hard(values[placement.box]), replace(placement, box=(slice(None),) * values.ndim))
        anatomy, same = labels.foreground(look.maps), labels.hardened(look.maps) == labels.hardened(look.anatomy)
        voxels = int((anatomy & same.all(1, keepdim=True)).sum())
        return Explained(voxels, _overlap(anatomy, labels.foreground(look.anatomy)))

    @torch.no_grad()
    def _completed(self, maps: Tensor) -> Tensor:
        """Return the anatomy that maps are what is left of, soft, on the CPU."""
        coder, network = self.coder, self.coder.prior.network
        codes = self.completion.codes(network, coder.labels, maps.to(coder.device), coder.geometry.spacing_mm)
        return coder.labels.probabilities(network.decoder(codes).float()).cpu()

    def _reconstructed(self, maps: Tensor, *, known: _Look) -> Tensor:
        """Return the reconstruction g(f(maps)), soft, on the CPU: the known one, if it is of the same maps."""
        if torch.equal(maps, known.maps):
            return known.anatomy
        return self._coded(maps)[1]

    @torch.no_grad()
    def _coded(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return code and reconstruction of maps, on the CPU."""
        network = self.coder.prior.network
        code = network.encoder(maps.to(self.coder.device))
        return code.cpu(), self.coder.labels.probabilities(network.decoder(code).float()).cpu()

    def _look(self, soft: Tensor, placement: Placement) -> _Look:
        maps = placement.onto_grid(soft[placement.of_maps], beyond=self.coder.labels.background)
        return _Look(maps, *self._coded(maps))

    def _measures(self, look: _Look) -> dict[str, float]:
        """Return how like its reconstruction a prediction is, and how far its code lies from the training codes."""
        network, foreground = self.coder.prior.network, self.coder.labels.foreground
        distance = WhitenedDistance(network.code_covariance.cpu())(look.code, network.code_mean[None].cpu())
        return {
            "resemblance": _overlap(foreground(look.maps), foreground(look.anatomy)),
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

    def _tidied(self, values: np.ndarray) -> np.ndarray:
        """Return a label map without islands, where the prior's mean shape is one piece and where its labels are."""
        if self.coder.labels.regions:
            return values
        if self.is_one_piece:
            values[~main_pieces(values > 0)] = 0
        for channel in self.single:
            mask = values == channel
            if mask.any():
                values[mask & ~main_pieces(mask)] = 0
        return values

    def _soft(self, prediction: Prediction, values: np.ndarray, box: tuple[slice, ...], debris: np.ndarray) -> Tensor:
        """Return probabilities (1, C, …) of a box: the prediction's, or those that a label map stands for."""
        if prediction.probabilities is None:
            return softened(self._hard(values[box]))
        index = (slice(None), *box)
        turned = prediction.probabilities.transpose(0, *(1 + axis for axis in self.order))[index]
        soft = torch.from_numpy(np.ascontiguousarray(turned)).float()[None]
        if debris.any():
            background = soft.new_tensor(self.coder.labels.background).view(1, -1, *(1,) * debris.ndim)
            soft = torch.where(torch.from_numpy(debris), background, soft)
        return soft

    def _hard(self, values: np.ndarray) -> Tensor:
        """Return hard maps (1, C, …) of a label map."""
        coder = self.coder
        target = as_target(values[None].astype(np.int16), coder.prior.spec.labels, coder.labels)
        return coder.labels.target_maps(target[None])

    def _place(self, mask: np.ndarray, spacing_mm: Sequence[float]) -> Placement:
        size, grid_mm = self.coder.geometry.size, self.coder.geometry.spacing_mm
        return place_grid(mask, spacing_mm, kind=self.coder.grid.kind, size=size, grid_spacing_mm=grid_mm)

    @property
    def order(self) -> tuple[int, ...]:
        """The plans' order of a file's axes."""
        return self.coder.layout.transpose


def _overlap(first: Tensor, second: Tensor) -> float:
    size = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / size if size else 0.0
