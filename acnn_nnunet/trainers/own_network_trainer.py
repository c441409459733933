"""What trainers share whose networks nnUNetv2_predict cannot run."""

from abc import abstractmethod

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from acnn_nnunet.nnunet.workarounds import OwnNetwork
from acnn_nnunet.trainers.configured_trainer import ConfiguredTrainer


class OwnNetworkTrainer(ConfiguredTrainer):
    """Trains a network of ours, with one output, and tells nnUNetv2_predict what predicts with it.

    Attributes:
        predicted_by: why nnUNetv2_predict cannot, and what can.
    """

    predicted_by: str
    build_network_architecture = OwnNetwork()

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host reads this very signature)
    ):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.enable_deep_supervision = False

    @classmethod
    def build_for_prediction(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """Refuse nnUNetv2_predict.

        Raises:
            NotImplementedError: naming what predicts.
        """
        raise NotImplementedError(cls.predicted_by)

    @classmethod
    @abstractmethod
    def build_own_network(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = False,
    ) -> nn.Module:
        """Return the network; the arguments are those of the host's `build_network_architecture`."""

    def set_deep_supervision_enabled(self, enabled: bool):
        """Do nothing: the network has one output."""
