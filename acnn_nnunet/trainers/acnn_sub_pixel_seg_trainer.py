"""Sub-pixel segmentation with a frozen shape prior in its loss (ACNN-Seg of the paper's Table I)."""

from acnn_nnunet.trainers.acnn_trainer import ACNNTrainer
from acnn_nnunet.trainers.sub_pixel_seg_trainer import SubPixelSegTrainer


class ACNNSubPixelSegTrainer(ACNNTrainer, SubPixelSegTrainer):
    """SubPixelSegTrainer with λ1·w(t)·d(f(HR prediction), f(HR target)) added to its loss, as ACNNTrainer adds it.

    The order of the bases matters: the prior goes around the loss of the segmentation.
    """
