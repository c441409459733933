"""The baseline of super-resolution, SR-CNN (reference [34] of the paper), as large as SRTrainer's network."""

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from acnn_nnunet.sr.srcnn import SRCNN, features_for
from acnn_nnunet.sr.stack_geometry import ThroughPlane
from acnn_nnunet.trainers.sr_trainer import SRTrainer


class SRCNNTrainer(SRTrainer):
    """SRTrainer with a network that interpolates first and convolves in HR space."""

    @classmethod
    def build_own_network(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = False,
    ) -> nn.Module:
        """Return SR-CNN; its width is the one that comes nearest to the parameters of the plans' network."""
        through_plane = ThroughPlane.from_configuration(configuration_manager.configuration)
        sub_pixel = super().build_own_network(
            plans_manager, configuration_manager, num_input_channels, num_output_channels
        )
        num_parameters = sum(parameter.numel() for parameter in sub_pixel.parameters())
        return SRCNN(
            num_input_channels,
            factor=through_plane.factor,
            axis=through_plane.axis,
            features=features_for(num_parameters, channels=num_input_channels),
        )
