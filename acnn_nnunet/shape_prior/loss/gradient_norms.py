"""Norms of losses' gradients at the logits, and logits to take them at."""

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_norms(
    losses: dict[str, Callable[[Tensor, Tensor], Tensor]], logits: Tensor, target: Tensor
) -> dict[str, float]:
    """Return the norm of each loss's gradient at the logits (B, C, …).

    Args:
        losses: scalars of logits and target, by name.
        logits: detached here.
        target: as the losses take it.
    """
    norms = {}
    for name, loss in losses.items():
        leaf = logits.detach().float().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf, target), leaf)
        norms[name] = gradient.norm().item()
    return norms


def example_logits(maps: Tensor, corrupted: Tensor, *, regions: bool) -> dict[str, Tensor]:
    """Return logits (B, C, …) of a segmenter that is nearly right, one that is wrong, and one that knows nothing.

    Args:
        maps: hard label maps (B, C, …) of the target.
        corrupted: the same with defects.
        regions: whether the channels are overlapping regions.
    """
    # The right class leads by 7 (probability 0.999) or by 1 (in doubt); with a sigmoid the logit itself does.
    margin = 1.0 if regions else 0.5
    return {
        "near_perfect": (2 * maps - 1) * 7 * margin,
        "perturbed": (2 * corrupted - 1) * margin,
        "uniform": torch.zeros_like(maps),
    }
