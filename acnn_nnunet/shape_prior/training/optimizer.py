"""The optimiser of a prior's training and its learning rates, by the autoencoder's architecture."""

import math
from typing import Any

from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from torch.optim import AdamW, Optimizer

from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork

_LR = 3e-3
# More than that loses what PCA has brought.
_HYBRID_LR = 1e-3
_WARM_UP = 0.1


class WarmUpCosine:
    """Sets the learning rates before every step of an optimiser whose first group are a hybrid autoencoder's weights.

    Theirs grows linearly over the first tenth of the training and falls as a cosine; that of the other groups falls as
    the host's does.

    Args:
        optimizer: its groups' learning rates are the highest ones.
        num_epochs: of the whole training.
        steps_per_epoch: steps that an epoch has at most.
    """

    def __init__(self, optimizer: Optimizer, *, num_epochs: int, steps_per_epoch: int):
        self._groups = optimizer.param_groups
        self._highest = [group["lr"] for group in optimizer.param_groups]
        self._steps, self._steps_per_epoch, self._last = 0, steps_per_epoch, num_epochs * steps_per_epoch
        optimizer.register_step_pre_hook(self._before_step)

    def step(self, epoch: int) -> None:
        """Begin an epoch, counted from 0; the host calls this."""
        self._steps = epoch * self._steps_per_epoch
        self._set()

    def _before_step(self, optimizer: Optimizer, *_: Any) -> None:
        self._groups = optimizer.param_groups
        self._set()
        self._steps += 1

    def _set(self) -> None:
        done, begun = self._steps / self._last, (self._steps + 1) / self._last
        cosine = 0.5 * (1 + math.cos(math.pi * max(0.0, done - _WARM_UP) / (1 - _WARM_UP)))
        factors = [min(begun / _WARM_UP, cosine), *[(1 - done) ** 0.9] * (len(self._groups) - 1)]
        for group, highest, factor in zip(self._groups, self._highest, factors, strict=True):
            group["lr"] = highest * factor


def prior_optimizer(
    network: TLNetwork, *, architecture: str, weight_decay: float, num_epochs: int, steps_per_epoch: int
) -> tuple[AdamW, PolyLRScheduler | WarmUpCosine]:
    """Return AdamW over the three networks and what sets its learning rates over all stages.

    They are the host's polynomial decay from 3e-3. A hybrid autoencoder has a warm-up to 1e-3 and a cosine instead, and
    forgets its squared gradients sooner.
    """
    if architecture != "hybrid":
        optimizer = AdamW(network.parameters(), _LR, weight_decay=weight_decay, fused=True)
        return optimizer, PolyLRScheduler(optimizer, _LR, num_epochs)
    weights = [*network.encoder.parameters(), *network.decoder.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": weights, "lr": _HYBRID_LR, "betas": (0.9, 0.99)},
        {"params": list(network.predictor.parameters())},
    ]
    optimizer = AdamW(groups, _LR, weight_decay=weight_decay, fused=True)
    return optimizer, WarmUpCosine(optimizer, num_epochs=num_epochs, steps_per_epoch=steps_per_epoch)
