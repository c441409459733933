"""The classes named on nnU-Net's `-tr`: the only subclasses of nnUNetTrainer."""

from acnn_nnunet.trainers.acnn_sr_trainer import ACNNSRTrainer
from acnn_nnunet.trainers.acnn_sub_pixel_seg_trainer import ACNNSubPixelSegTrainer
from acnn_nnunet.trainers.acnn_trainer import ACNNTrainer
from acnn_nnunet.trainers.ae_seg_trainer import AESegMTrainer, AESegTrainer
from acnn_nnunet.trainers.shape_prior_trainer import ShapePriorTrainer
from acnn_nnunet.trainers.sr_trainer import SRTrainer
from acnn_nnunet.trainers.srcnn_trainer import SRCNNTrainer
from acnn_nnunet.trainers.sub_pixel_seg_trainer import SubPixelSegTrainer

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
