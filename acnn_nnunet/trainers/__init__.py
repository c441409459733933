"""The classes named on nnU-Net's `-tr`: the only subclasses of nnUNetTrainer."""

from acnn_nnunet.trainers.acnn_trainer import ACNNTrainer
from acnn_nnunet.trainers.shape_prior_trainer import ShapePriorTrainer

__all__ = ["ACNNTrainer", "ShapePriorTrainer"]
