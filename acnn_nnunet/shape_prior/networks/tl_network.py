"""The T-L network: an autoencoder of label maps coupled with a predictor of its codes from images (paper §II-D)."""

import math
from enum import Enum

import torch
from torch import Tensor, nn

from acnn_nnunet.shape_prior.grids.views import RoiGrid
from acnn_nnunet.shape_prior.networks.architecture import (
    CODE_SIZE,
    EncoderPlan,
    plan_autoencoder,
    plan_hybrid_autoencoder,
    plan_pooling,
    plan_predictor,
)
from acnn_nnunet.shape_prior.networks.autoencoder import Decoder, Encoder, convolution, normalised
from acnn_nnunet.shape_prior.networks.hybrid_autoencoder import AnyDecoder, AnyEncoder, HybridDecoder, HybridEncoder


class Stage(str, Enum):
    """What is trained: f and g; p on the frozen codes; all three."""

    AUTOENCODER = "autoencoder"
    PREDICTOR = "predictor"
    JOINT = "joint"


class Predictor(nn.Module):
    """Images to codes: two convolutions a scale, the last without normalisation, one fully connected layer.

    Args:
        plan: the grid and how it shrinks.
        in_channels: image channels.
        code_size: length of the code.
    """

    def __init__(self, plan: EncoderPlan, *, in_channels: int, code_size: int):
        super().__init__()
        dimensions = len(plan.grid)
        layers: list[nn.Module] = []
        channels, unstrided = in_channels, (1,) * dimensions
        for features, stride in zip(plan.features, plan.strides, strict=True):
            layers.append(normalised(convolution(channels, features, stride), features, dimensions))
            layers.append(normalised(convolution(features, features, unstrided), features, dimensions))
            channels = features
        last = convolution(channels, plan.bottleneck_channels, unstrided)
        layers[-1] = nn.Sequential(last, nn.ReLU(inplace=True)) if plan.rectified_bottleneck else last
        self.convolutions = nn.Sequential(*layers)
        self.to_code = nn.Linear(math.prod(plan.bottleneck), code_size)

    def forward(self, image: Tensor) -> Tensor:
        """Return codes (B, code_size) of images (B, C, …), z-scored as the host does."""
        return self.to_code(self.convolutions(image).flatten(1))


class TLNetwork(nn.Module):
    """Encoder f, decoder g and predictor p around one code.

    As a module it is the network's path from an image to a segmentation, g(p(x)), so that nnU-Net's validation and
    prediction run on it. The codes' statistics over augmented training labels travel with the weights.

    Args:
        grid: spatial size in voxels on which the prior works.
        num_classes: channels of a label map: classes with background, or regions without.
        image_channels: channels of an image.
        code_size: length of the code.
        roi: the grid, where it is a box in the patch; images then come as whole patches.
        architecture: of the autoencoder, "cnn" or "hybrid".
        spacing_mm: of the grid's voxels: along which axes a hybrid pools. Without it they are cubes.
    """

    code_mean: Tensor
    code_covariance: Tensor

    def __init__(
        self,
        grid: tuple[int, ...],
        *,
        num_classes: int,
        image_channels: int,
        code_size: int = CODE_SIZE,
        roi: RoiGrid | None = None,
        architecture: str = "cnn",
        spacing_mm: tuple[float, ...] | None = None,
    ):
        super().__init__()
        grid = tuple(int(n) for n in grid)
        self.num_axes = len(grid)
        self.encoder: AnyEncoder
        self.decoder: AnyDecoder
        if architecture == "hybrid":
            spacing_mm = spacing_mm or (1.0,) * len(grid)
            plan = plan_hybrid_autoencoder(grid, spacing_mm=spacing_mm, code_size=code_size)
            pooling = plan_pooling(grid, spacing_mm=spacing_mm, channels=num_classes)
            self.encoder = HybridEncoder(
                plan, in_channels=num_classes, code_size=code_size, pooling=pooling, spacing_mm=spacing_mm
            )
            self.decoder = HybridDecoder(plan, out_channels=num_classes, code_size=code_size, pooling=pooling)
        else:
            plan = plan_autoencoder(grid, num_classes=num_classes, code_size=code_size)
            self.encoder = Encoder(plan, in_channels=num_classes, code_size=code_size)
            self.decoder = Decoder(plan, out_channels=num_classes, code_size=code_size)
        self.predictor = Predictor(
            plan_predictor(grid, code_size=code_size, halved=architecture == "hybrid"),
            in_channels=image_channels,
            code_size=code_size,
        )
        self.register_buffer("code_mean", torch.zeros(code_size))
        self.register_buffer("code_covariance", torch.eye(code_size))
        self.roi = roi

    def forward(self, image: Tensor) -> Tensor:
        """Return label logits (B, C, …) of images (B, C', …) by way of the code; zeros beyond the box of an ROI."""
        if self.roi is None:
            return self.decoder(self.predictor(image))
        logits = self.decoder(self.predictor(self.roi.around_middle(image)(image)))
        return self.roi.back_to_patch(logits, tuple(image.shape[2:]), beyond=0.0)

    def move_to(self, device: torch.device | str) -> "TLNetwork":
        """Move the networks to a device, on CPUs in the memory layout that convolves faster there."""
        self.to(device)
        if torch.device(device).type == "cpu" and self.num_axes == 3:
            self.to(memory_format=torch.channels_last_3d)
        return self

    def reconstruct(self, labels: Tensor) -> Tensor:
        """Return label logits (B, C, …) of label maps (B, C, …): g(f(y))."""
        return self.decoder(self.encoder(labels))
