"""A denoising U-Net on label maps: it completes what a bad image hid, and takes away what no anatomy has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.paths import nnUNet_results
from torch import Tensor, nn

from acnn_nnunet.fold_prior.coder import Coder
from acnn_nnunet.nnunet.models import ModelBundle, trained_bundle
from acnn_nnunet.refinement.placement import Placement, place_grid
from acnn_nnunet.shape_prior.grids.views import PatchGrid
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

COMPLETION_TRAINER = "ShapeCompletionTrainer"
FEATURES = (16, 32, 64)
"""Channels of the scales: wide enough for shapes, and trained on two cores in minutes."""

_CHECKPOINT = "checkpoint_final.pth"
_PASSES = 2  # a gap that is only narrowed at first is closed then


@dataclass(frozen=True)
class Completion:
    """A trained completion, run on a patch around an anatomy.

    Attributes:
        bundle: of ShapeCompletionTrainer.
        labels: what the channels mean.
        device: where the network is.
    """

    bundle: ModelBundle
    labels: LabelSpace
    device: str

    def place(self, anatomy: np.ndarray, spacing_mm: Sequence[float]) -> Placement:
        """Lay the training patch around an anatomy, axes in the plans' order."""
        configuration = self.bundle.configuration
        size, grid_mm = configuration.patch_size, configuration.spacing
        return place_grid(anatomy, spacing_mm, kind=PatchGrid.kind, size=size, grid_spacing_mm=grid_mm)

    @cached_property
    def network(self) -> nn.Module:
        """The network, in eval mode."""
        assert self.bundle.network is not None
        return self.bundle.network

    @torch.no_grad()
    def complete(self, maps: Tensor) -> Tensor:
        """Return soft maps (1, C, …), on the CPU, of soft maps of a patch."""
        completed = maps.to(self.device)
        for _ in range(_PASSES):
            completed = self.labels.probabilities(self.network(completed).float())
        return completed.cpu()


def plan_completion(num_classes: int, host_network: Mapping[str, Any]) -> nn.Module:
    """Return a U-Net of three scales, fewer where the host's network has fewer, from label maps to logits.

    Args:
        num_classes: channels in and out: classes with background, or regions.
        host_network: arguments of the configuration's network, of which kernels and strides are taken.
    """
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    strides = host_network["strides"][: len(FEATURES)]
    stages, three = len(strides), len(strides[0]) == 3
    return PlainConvUNet(
        input_channels=num_classes,
        n_stages=stages,
        features_per_stage=FEATURES[:stages],
        conv_op=nn.Conv3d if three else nn.Conv2d,
        kernel_sizes=host_network["kernel_sizes"][:stages],
        strides=strides,
        n_conv_per_stage=2,
        num_classes=num_classes,
        n_conv_per_stage_decoder=[1] * (stages - 1),
        conv_bias=True,
        norm_op=nn.InstanceNorm3d if three else nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=False,
    )


def load_completion(coder: Coder, *, required: bool) -> Completion | None:
    """Load the completion of a prior's dataset, configuration and fold; None where there is none and none is required.

    Raises:
        FileNotFoundError: if it is required and not there; names the command that trains it.
        ValueError: if it cannot be used.
    """
    spec = coder.prior.spec
    name = f"{COMPLETION_TRAINER}__{spec.plans}__{spec.configuration}"
    trained = Path(nnUNet_results.get() or "") / spec.dataset / name / f"fold_{spec.fold}" / _CHECKPOINT
    if not required and not trained.is_file():
        return None
    bundle, _ = trained_bundle(
        spec.dataset,
        spec.configuration,
        trainer=COMPLETION_TRAINER,
        plans_identifier=spec.plans,
        folds=[spec.fold],
        checkpoint_name=_CHECKPOINT,
        device=coder.device,
    )
    return Completion(bundle, coder.labels, coder.device)
