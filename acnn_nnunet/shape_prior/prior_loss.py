"""The prior as a term of a segmentation loss (paper Eq. 1)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch import distributed as dist

from acnn_nnunet.shape_prior.grids import Grid
from acnn_nnunet.shape_prior.label_space import LabelSpace

Outputs = Tensor | Sequence[Tensor]


class PriorTerm(nn.Module):
    """d(f(prediction), f(target)) with a frozen encoder f, averaged over the valid samples of the batch.

    Args:
        encoder: f; it is frozen here, and stays in eval mode whatever a parent module does.
        distance: of two codes (B, K), gives (B,).
        grid: where the prior looks.
        labels: what the channels mean.
    """

    def __init__(self, encoder: nn.Module, *, distance: nn.Module, grid: Grid, labels: LabelSpace):
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.distance = distance
        self.grid = grid
        self.labels = labels
        self.eval()

    def train(self, mode: bool = True) -> "PriorTerm":
        """Stay in eval mode: batch statistics of predictions must not move the prior."""
        return super().train(False)

    def forward(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scalar distance in float32 and the number of samples whose anatomy is cut off.

        Args:
            logits: (B, C, …) at full resolution; the gradient flows through these only.
            target: (B, 1, …) classes or (B, R[+1], …) regions.
        """
        with torch.autocast(logits.device.type, enabled=False):
            prediction = self.labels.prediction_maps(logits, target)
            with torch.no_grad():
                target_maps = self.labels.target_maps(target)
                foreground = self.labels.foreground(target_maps)
            on_grid = self.grid(prediction, target_maps, foreground)
            with torch.no_grad():
                target_code = self.encoder(on_grid.target)
            distance = self.distance(self.encoder(on_grid.prediction), target_code)
            return _mean_over_valid(distance, on_grid.valid), on_grid.cut_off.sum()


@dataclass
class PriorLossStatistics:
    """Sums over the training steps since they were last taken; `means` divides by the number of steps."""

    segmentation_loss: float = 0.0
    prior_distance: float = 0.0
    prior_loss: float = 0.0
    gradient_ratio: float = 0.0
    cut_off_share: float = 0.0

    def means(self, steps: int) -> dict[str, float]:
        """Return every value as a mean per step."""
        return {field.name: getattr(self, field.name) / max(steps, 1) for field in fields(self)}


class ShapePriorLoss(nn.Module):
    """Segmentation loss plus the prior term on the full-resolution output: L + λ1·w·s·d.

    Both gradients are taken at the logits, where they cost next to nothing, added there, and sent back through the
    network once. In between their norms are known: s scales the prior's gradient to the norm of the segmentation
    loss's (`balance_gradients`, so that λ1 is the ratio of the two), or is 1 (the paper).

    Args:
        segmentation_loss: the host's, with or without deep supervision.
        prior: d, as a function of full-resolution logits and target.
        weight: λ1.
        balance_gradients: whether λ1 is the ratio of the gradient norms rather than a constant factor.
    """

    def __init__(self, segmentation_loss: nn.Module, prior: PriorTerm, *, weight: float, balance_gradients: bool):
        super().__init__()
        self.segmentation_loss = segmentation_loss
        self.prior = prior
        self.weight = weight
        self.balance_gradients = balance_gradients
        self.warm_up = 1.0
        self._scale = 1.0
        self._statistics, self._steps = PriorLossStatistics(), 0

    # torch.compile must not trace the inner calls of autograd; the network and the host's Dice are compiled for
    # themselves.
    @torch.compiler.disable
    def forward(self, output: Outputs, target: Outputs) -> Tensor:
        """Return the scalar loss of logits (B, C, …) and a target, or lists of both, the full resolution first."""
        with torch.autocast(_first(output).device.type, enabled=False):
            if torch.is_grad_enabled():
                return self._forward_with_gradients(output, target)
            segmentation = self.segmentation_loss(_map(output, Tensor.float), target)
            distance, _ = self.prior(_first(output), _first(target))
            return segmentation + self.weight * self.warm_up * self._scale * distance

    def take_statistics(self) -> dict[str, float]:
        """Return the means over the training steps since the last call, and start anew."""
        means = self._statistics.means(self._steps)
        self._statistics, self._steps = PriorLossStatistics(), 0
        return means

    def _forward_with_gradients(self, output: Outputs, target: Outputs) -> Tensor:
        # Leaves in float32: half-precision gradients would underflow before the gradient scaler can help.
        leaves = _map(output, lambda logits: logits.detach().float().requires_grad_())
        full_resolution = _first(leaves)
        segmentation = self.segmentation_loss(leaves, target)
        gradients = torch.autograd.grad(segmentation, _as_list(leaves), allow_unused=True)
        distance, cut_off = self.prior(full_resolution, _first(target))
        (prior_gradient,) = torch.autograd.grad(distance, full_resolution)
        segmentation_gradient = torch.zeros_like(full_resolution) if gradients[0] is None else gradients[0]
        segmentation_norm, prior_norm = _global_norms(segmentation_gradient, prior_gradient)
        if self.balance_gradients:
            self._scale = segmentation_norm / prior_norm if prior_norm > 0 else 0.0
        factor = self.weight * self.warm_up * self._scale
        total = segmentation.detach() + factor * distance.detach()
        self._add_to_statistics(segmentation, distance, factor, segmentation_norm, prior_norm, cut_off, target)
        summed = [segmentation_gradient + factor * prior_gradient, *gradients[1:]]
        # An output without a gradient stays out of the graph, as it does in the host's loss.
        used = [(logits, g) for logits, g in zip(_as_list(output), summed, strict=True) if g is not None]
        return _LossWithGradients.apply(total, [g for _, g in used], *(logits for logits, _ in used))

    def _add_to_statistics(
        self, segmentation, distance, factor, segmentation_norm, prior_norm, cut_off, target
    ) -> None:
        statistics = self._statistics
        statistics.segmentation_loss += segmentation.item()
        statistics.prior_distance += distance.item()
        statistics.prior_loss += factor * distance.item()
        statistics.gradient_ratio += factor * prior_norm / segmentation_norm if segmentation_norm > 0 else 0.0
        statistics.cut_off_share += cut_off.item() / len(_first(target))
        self._steps += 1


class FullPrecisionLoss(nn.Module):
    """A loss in float32 under an outer autocast.

    Args:
        loss: of logits and targets, or lists of both.
    """

    def __init__(self, loss: nn.Module):
        super().__init__()
        self.loss = loss

    def forward(self, output: Outputs, target: Outputs) -> Tensor:
        """Return the wrapped loss of the logits in float32."""
        with torch.autocast(_first(output).device.type, enabled=False):
            return self.loss(_map(output, Tensor.float), target)


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


def _mean_over_valid(distance: Tensor, valid: Tensor) -> Tensor:
    """Return the mean over all valid samples of all processes, so that DDP's average is the mean of the whole batch."""
    count = valid.sum().to(distance.dtype)
    world_size = 1
    if _distributed():
        world_size = dist.get_world_size()
        dist.all_reduce(count)
    return (distance * valid).sum() * world_size / count.clamp(min=1)


def _global_norms(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Return the Euclidean norms of two gradients over the whole batch of all processes."""
    squares = torch.stack([torch.linalg.vector_norm(gradient).square() for gradient in (first, second)])
    if _distributed():
        dist.all_reduce(squares)
    norms = squares.sqrt().tolist()
    return norms[0], norms[1]


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def _as_list(outputs: Outputs) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _first(outputs: Outputs) -> Tensor:
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def _map(outputs: Outputs, function) -> Outputs:
    return function(outputs) if isinstance(outputs, Tensor) else [function(output) for output in outputs]
