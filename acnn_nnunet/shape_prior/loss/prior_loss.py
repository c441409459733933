"""The prior as a term of a segmentation loss (paper Eq. 1)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace, sum_over_processes
from acnn_nnunet.shape_prior.loss.prior_term import PriorValues

Outputs = Tensor | Sequence[Tensor]


class Term(Protocol):
    """A prior as a term of the loss, such as PriorTerm.

    Attributes:
        weights: of the terms that it returns, by their names.
    """

    weights: dict[str, float]

    def __call__(self, output: Tensor, target: Any) -> PriorValues:
        """Return the terms of a full-resolution output and its target."""
        ...


class ShapePriorLoss(nn.Module):
    """Segmentation loss plus the prior on the full-resolution output: L + λ1·w·Σ s_k·w_k·d_k over the prior's terms.

    All gradients are taken at the logits, where they cost next to nothing, added there, and sent back through the
    network once. In between their norms are known. With `balance_gradients` s_k brings the gradients of the terms to
    one norm, so that w_k compares them, and then their sum to the norm of the segmentation loss's, so that λ1 is the
    ratio of the two. Otherwise s_k is 1 (the paper, whose only term is the distance of the codes).

    Args:
        segmentation_loss: the host's, with or without deep supervision.
        prior: the terms d_k and their weights w_k, as a function of full-resolution logits and target.
        weight: λ1.
        balance_gradients: whether λ1 is the ratio of the gradient norms rather than a constant factor.
        loss_name: of the segmentation loss in the statistics; in super-resolution it is an image's.
    """

    def __init__(
        self,
        segmentation_loss: nn.Module,
        prior: Term,
        *,
        weight: float,
        balance_gradients: bool,
        loss_name: str = "segmentation_loss",
    ):
        super().__init__()
        self.loss_name = loss_name
        self.segmentation_loss = segmentation_loss
        self.prior = prior
        self.weight = weight
        self.balance_gradients = balance_gradients
        self.warm_up = 1.0
        self._weights = torch.tensor(list(prior.weights.values()))
        self._scales = self._weights
        self._names: list[str] = []
        self._sums: Tensor | None = None

    # torch.compile must not trace the inner calls of autograd; the network and the host's Dice are compiled for
    # themselves.
    @torch.compiler.disable
    def forward(self, output: Outputs, target: Outputs) -> Tensor:
        """Return the scalar loss of logits (B, C, …) and a target, or lists of both, the full resolution first."""
        with torch.autocast(_first(output).device.type, enabled=False):
            if torch.is_grad_enabled():
                return self._forward_with_gradients(output, target)
            segmentation = self.segmentation_loss(_map(output, Tensor.float), target)
            terms = self.prior(_first(output), _first(target)).terms.values()
            factors = self.weight * self.warm_up * self._scales.to(segmentation.device)
            return segmentation + _weighted(terms, factors)

    def take_statistics(self) -> dict[str, float]:
        """Return the means over the training steps since the last call, none if there were none, and start anew.

        They are of all processes, each of which has to call: nnU-Net gives them different kinds of patches.
        """
        if self._sums is None:
            return {}
        sums, self._sums = self._sums, None
        sum_over_processes(sums)
        return {name: total / max(count, 1) for name, (total, count) in zip(self._names, sums.tolist(), strict=True)}

    def _forward_with_gradients(self, output: Outputs, target: Outputs) -> Tensor:
        # Leaves in float32: half-precision gradients would underflow before the gradient scaler can help.
        leaves = _map(output, lambda logits: logits.detach().float().requires_grad_())
        full_resolution = _first(leaves)
        segmentation = self.segmentation_loss(leaves, target)
        gradients = torch.autograd.grad(segmentation, _as_list(leaves), allow_unused=True)
        segmentation_gradient = torch.zeros_like(full_resolution) if gradients[0] is None else gradients[0]
        values = self.prior(full_resolution, _first(target))
        # The terms share the encoder's pass.
        prior_gradients = [
            torch.autograd.grad(term, full_resolution, retain_graph=i + 1 < len(values.terms))[0]
            for i, term in enumerate(values.terms.values())
        ]
        # From here on nothing is read back: a GPU would wait for it in every step.
        self._weights = self._weights.to(full_resolution.device)
        segmentation_norm, products = _norm_and_products(segmentation_gradient, prior_gradients)
        scales = _balanced(self._weights, segmentation_norm, products) if self.balance_gradients else self._weights
        # Validation goes by the last batch that the prior could judge.
        self._scales = torch.where(scales.any(), scales, self._scales.to(scales.device))
        factors = self.weight * self.warm_up * scales
        total = segmentation.detach() + _weighted((term.detach() for term in values.terms.values()), factors)
        self._add_to_statistics(segmentation.detach(), values, factors, segmentation_norm, products)
        summed = [segmentation_gradient + _weighted(prior_gradients, factors), *gradients[1:]]
        # An output without a gradient stays out of the graph, as it does in the host's loss.
        used = [(logits, g) for logits, g in zip(_as_list(output), summed, strict=True) if g is not None]
        return _LossWithGradients.apply(total, [g for _, g in used], *(logits for logits, _ in used))

    def _add_to_statistics(
        self, segmentation: Tensor, values: PriorValues, factors: Tensor, segmentation_norm: Tensor, products: Tensor
    ) -> None:
        terms = {name: term.detach() for name, term in values.terms.items()}
        ratio = _combined_norm(factors, products) / segmentation_norm
        of_step = {
            self.loss_name: segmentation,
            **{f"prior_{name}": term for name, term in terms.items()},
            "prior_loss": factors @ torch.stack(list(terms.values())),
            "gradient_ratio": torch.where(segmentation_norm > 0, ratio, 0.0),
        }
        one = torch.ones_like(segmentation)
        pairs = {name: (value, one) for name, value in of_step.items()} | values.shares
        sums = torch.stack([each.to(segmentation.dtype) for pair in pairs.values() for each in pair]).view(-1, 2)
        self._names, self._sums = list(pairs), sums if self._sums is None else self._sums + sums


class FullPrecisionLoss(nn.Module):
    """A loss in float32 under an outer autocast.

    Args:
        loss: of logits and targets, or lists of both.
    """

    def __init__(self, loss: Callable[..., Tensor]):
        super().__init__()
        self.loss = loss

    def forward(self, output: Outputs, target: Outputs) -> Tensor:
        """Return the wrapped loss of the logits in float32."""
        with torch.autocast(_first(output).device.type, enabled=False):
            return self.loss(_map(output, Tensor.float), target)


class CrossEntropyPerClass(nn.Module):
    """Sum over the classes of the mean cross-entropy over each class's own voxels (paper §II-A).

    Args:
        labels: what the channels mean.
    """

    def __init__(self, labels: LabelSpace):
        super().__init__()
        self.labels = labels
        self._sizes: Tensor | None = None

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the scalar loss of logits (B, C, …) and a target (B, 1, …) of classes or (B, R[+1], …) of regions."""
        means, sizes = self.labels.class_means(logits, self.labels.target_maps(target), self.labels.known(target))
        if torch.is_grad_enabled():  # validation shall not hide what training lacks
            self._sizes = sizes if self._sizes is None else self._sizes + sizes
        return means.sum()

    def take_absent(self) -> list[int]:
        """Return the channels that no target of a training step had since the last call, and start anew."""
        sizes, self._sizes = self._sizes, None
        return [] if sizes is None else (sizes[: self.labels.num_channels] == 0).nonzero().flatten().tolist()


def choose_segmentation_loss(host_loss: nn.Module, choice: str, labels: LabelSpace) -> nn.Module:
    """Return nnU-Net's loss, changed as the setting `segmentation_loss` says.

    Args:
        host_loss: Dice and cross-entropy, with or without the host's wrapper for deep supervision.
        choice: `dice_ce` leaves it as it is, `ce` takes Dice out, `ce_per_class` is `CrossEntropyPerClass`.
        labels: what the channels mean.
    """
    wrapped = hasattr(host_loss, "weight_factors")  # by deep supervision
    if choice == "dice_ce":
        return host_loss
    compound: Any = host_loss.loss if wrapped else host_loss
    chosen = _CrossEntropyAlone(compound) if choice == "ce" else CrossEntropyPerClass(labels)
    if not wrapped:
        return chosen
    host_loss.loss = chosen
    return host_loss


class _CrossEntropyAlone(nn.Module):
    """nnU-Net's compound loss without Dice; 0 where no voxel is annotated, for which the host returns no tensor."""

    def __init__(self, compound: Any):
        super().__init__()
        compound.weight_dice = 0
        self.compound = compound

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        loss = self.compound(logits, target)
        return loss if isinstance(loss, Tensor) else 0 * logits.sum()


class _LossWithGradients(torch.autograd.Function):
    """A loss whose gradients at its inputs are already known."""

    @staticmethod
    def forward(ctx, value: Tensor, gradients: list[Tensor], *outputs: Tensor) -> Tensor:
        ctx.save_for_backward(*gradients)
        ctx.dtypes = [output.dtype for output in outputs]
        return value.clone()

    @staticmethod
    def backward(ctx, grad_output: Tensor):
        # The gradient scaler's factor comes in here, before the gradient is rounded to the network's precision.
        gradients = [
            (grad_output * gradient).to(dtype) for gradient, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return None, None, *gradients


def _norm_and_products(segmentation: Tensor, terms: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the norm of one gradient and the inner products (k, k) of the others, over the batch of all processes."""
    flat = [gradient.flatten() for gradient in terms]
    entries = [torch.linalg.vector_norm(segmentation).square()]
    entries += [torch.dot(first, second) for first in flat for second in flat]
    sums = torch.stack(entries)
    sum_over_processes(sums)
    return sums[0].sqrt(), sums[1:].view(len(terms), len(terms))


def _balanced(weights: Tensor, segmentation_norm: Tensor, products: Tensor) -> Tensor:
    """Return the factors (k,) that give the terms' gradients lengths as their weights, and their sum the given norm."""
    norms = products.diagonal().sqrt()
    factors = torch.where(norms > 0, weights / norms, 0.0)
    norm = _combined_norm(factors, products)
    return factors * torch.where(norm > 0, segmentation_norm / norm, 0.0)


def _combined_norm(factors: Tensor, products: Tensor) -> Tensor:
    """Return the norm of the sum of gradients with these factors (k,) and inner products (k, k)."""
    return (factors @ products @ factors).clamp(min=0).sqrt()


def _weighted(values: Iterable[Tensor], factors: Tensor) -> Tensor:
    """Return the sum of values with these factors (k,)."""
    first, *others = (factor * value for factor, value in zip(factors.unbind(), values, strict=True))
    return sum(others, first)


def _as_list(outputs: Outputs) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _first(outputs: Outputs) -> Tensor:
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def _map(outputs: Outputs, function: Callable[[Tensor], Tensor]) -> Outputs:
    return function(outputs) if isinstance(outputs, Tensor) else [function(output) for output in outputs]
