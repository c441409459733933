"""The classes named on nnU-Net's `-tr`: the only subclasses of nnUNetTrainer."""

from acnn_nnunet.trainers.acnn_thick_slice_trainers import ACNNSRTrainer, ACNNSubPixelSegTrainer
from acnn_nnunet.trainers.acnn_trainer import ACNNTrainer
from acnn_nnunet.trainers.ae_seg_trainer import AESegMTrainer, AESegTrainer
from acnn_nnunet.trainers.shape_prior_trainer import ShapePriorTrainer
from acnn_nnunet.trainers.sr_trainer import SRCNNTrainer, SRTrainer
from acnn_nnunet.trainers.thick_slice_trainer import SubPixelSegTrainer

__all__ = [
    "ACNNSRTrainer",
    "ACNNSubPixelSegTrainer",
    "ACNNTrainer",
    "AESegMTrainer",
    "AESegTrainer",
    "SRCNNTrainer",
    "SRTrainer",
    "ShapePriorTrainer",
    "SubPixelSegTrainer",
]
