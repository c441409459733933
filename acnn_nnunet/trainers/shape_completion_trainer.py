"""A network that completes label maps with structured defects, trained from the fold's label maps alone."""

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn

from acnn_nnunet.refinement.completion import plan_completion
from acnn_nnunet.refinement.structural_errors import draw_structural_errors
from acnn_nnunet.trainers.ae_seg_trainer import AESegTrainer


class ShapeCompletionTrainer(AESegTrainer):
    """Learns to give the fold's training labels back from copies with missing, moved and added parts.

    `acnn-nnunet refine` finds it next to the fold's shape prior. It trains as long as the prior does
    (`prior_num_epochs`). Augmentation, loss and report are those of AESegTrainer (Larrazabal et al., IEEE TMI 2020,
    train such a denoising network on label maps of one data set).
    """

    predicted_by = (
        "nnUNetv2_predict takes images, and this network takes segmentations: correct those of another model with "
        "acnn-nnunet refine PREDICTIONS -d DATASET -c CONFIGURATION -f FOLD -o OUT."
    )

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host reads this very signature)
    ):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = self.settings.prior_num_epochs

    @classmethod
    def build_own_network(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = False,
    ) -> nn.Module:
        """Return a small U-Net from label maps to logits, with the strides of the plans' first scales."""
        return plan_completion(num_output_channels, configuration_manager.network_arch_init_kwargs)

    def draw_errors(self, maps: Tensor) -> Tensor:
        """Return hard maps (B, C, …) with structured defects, of label maps (B, C, …)."""
        return draw_structural_errors(maps, self.labels)
