"""The places where nnU-Net leaves no straight way, each with its reason."""

from collections.abc import Callable
from typing import Any

import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import Tensor


class OwnNetwork:
    """A trainer's `build_network_architecture` for networks that nnUNetv2_predict cannot build.

    nnU-Net has one hook for two callers. Training calls it on the trainer, which knows its fold; nnUNetv2_predict calls
    it on the class, which knows the plans alone. This attribute gives the first the trainer's `build_own_network`, and
    the second the class's `build_for_prediction`. Both take the arguments of the host's method, by its names: the host
    inspects them.
    """

    def __get__(self, trainer: Any, trainer_class: Any) -> Any:
        """Return the method for the caller."""
        return trainer_class.build_for_prediction if trainer is None else trainer.build_own_network


def stand_in(configuration: ConfigurationManager, labels: LabelManager) -> nnUNetTrainer:
    """Return a host trainer on the CPU whose augmentation and loss can be asked for, and nothing else.

    Its constructor does not run: that writes a log into nnUNet_results, which a report must not do.
    """
    trainer = object.__new__(nnUNetTrainer)
    trainer.configuration_manager, trainer.label_manager = configuration, labels
    trainer.device = torch.device("cpu")
    trainer.is_ddp = trainer.enable_deep_supervision = False
    trainer.print_to_log_file = lambda *_, **__: None
    return trainer


def as_dice_counts(explained: Tensor, missed: Tensor) -> dict[str, Any]:
    """Return validation outputs from which nnU-Net logs the share explained / (explained + missed) of an epoch.

    nnU-Net logs, plots and picks its best checkpoint by one score, Dice: 2·tp / (2·tp + fp + fn), summed over the
    epoch's validation steps and all processes. A network that predicts no labels has another score, for which the host
    has no place.

    Args:
        explained: (C,), may be negative.
        missed: (C,), not negative.
    """
    counts = {"tp_hard": explained / 2, "fp_hard": missed, "fn_hard": torch.zeros_like(missed)}
    return {name: count.cpu().numpy() for name, count in counts.items()}


def exchange_loader(
    batches: SingleThreadedAugmenter | NonDetMultiThreadedAugmenter,
    make: Callable[[nnUNetDataLoader], nnUNetDataLoader],
) -> None:
    """Let what the host's `get_dataloaders` returned draw from another loader; its workers start anew.

    The host builds, wraps and starts its loaders in one method, and offers no place to choose their class.

    Args:
        batches: one of the two that the host returned.
        make: gives the loader to draw from, of the host's.
    """
    if isinstance(batches, SingleThreadedAugmenter):
        batches.data_loader = make(batches.data_loader)
    else:
        batches.generator = make(batches.generator)
        batches.restart()
