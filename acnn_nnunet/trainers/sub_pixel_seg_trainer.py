"""Segmentation of thick-slice stacks on the HR grid (3D-Seg of the paper, §II-A; 3D-Seg-MAug with slice motion)."""

from acnn_nnunet.trainers.thick_slice_trainer import ThickSliceTrainer


class SubPixelSegTrainer(ThickSliceTrainer):
    """LR stack in, HR labels out, under the host's own loss; without the prior."""
