"""Super-resolution of thick-slice stacks (paper, §II-C), trained by nnU-Net's own loop on its HR images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn

from acnn_nnunet.nnunet.workarounds import as_dice_counts
from acnn_nnunet.shape_prior.label_maps.label_space import sum_over_processes
from acnn_nnunet.sr.inference.validation import SimulatedValidation, score_images
from acnn_nnunet.sr.pairs.finding import PairFiles
from acnn_nnunet.sr.pairs.validation import RealValidation
from acnn_nnunet.sr.srcnn import SRCNN, features_for
from acnn_nnunet.sr.stack_geometry import ThroughPlane
from acnn_nnunet.sr.training.image_loss import HuberLoss, ImageTarget
from acnn_nnunet.trainers.thick_slice_trainer import ThickSliceTrainer

# The paper's. Hippocampi, K = 5, the host's SGD, batches of two, squared error of interpolation 0.33: 32 channels, 90
# steps: 0.260, without normalisation 0.273; 8 channels, 240 steps: 0.259, without 0.262, instance normalisation 0.266.
NORM = "batch"


class SRTrainer(ThickSliceTrainer):
    """LR stack in, HR image out, under the smooth ℓ1 loss; labels only guide the host's choice of patches.

    Where the host logs Dice, R² stands: the share of the HR patches' variance that the output explains.
    """

    predicts_image = True

    @classmethod
    def build_own_network(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = False,
    ) -> nn.Module:
        """Return the network of the plans with an image's channels put out, which corrects the interpolated stack.

        A patch's intensities would be lost in instance normalisation, so that it is the batch's. How many labels there
        are is ignored.
        """
        return get_network_from_plans(
            configuration_manager.network_arch_class_name,
            {**configuration_manager.network_arch_init_kwargs, "residual": True, "norm": NORM},
            configuration_manager.network_arch_init_kwargs_req_import,
            num_input_channels,
            num_input_channels,
        )

    @torch.no_grad()
    def validation_step(self, batch: dict) -> dict:
        """Measure loss, mean absolute error and PSNR of a batch, and the sums of squares that R² is made of."""
        batch = self._with_stacks(batch)
        (target,) = batch["target"]
        with self._autocast():
            output = self.network(batch["data"])
            loss = self.loss(output, batch["target"])
        difference = target.of_output(output) - target.image
        error, total = _squares(difference), _squares(target.image - target.image.mean((2, 3, 4), keepdim=True))
        return {
            "loss": loss.cpu().numpy(),
            **as_dice_counts(total - error, error),
            "mae": difference.abs().mean().cpu().numpy(),
            "psnr_db": _psnr_db(difference, target.image).cpu().numpy(),
        }

    def on_validation_epoch_end(self, val_outputs: list[dict]):
        """Log R² where the host logs Dice, and the mean absolute error and PSNR beside it."""
        super().on_validation_epoch_end(val_outputs)
        names = ("mae", "psnr_db")
        means = torch.tensor([float(np.mean([each[name] for each in val_outputs])) for name in names]).to(self.device)
        num_processes = sum_over_processes(means)
        values = dict(zip(names, (means / num_processes).tolist(), strict=True))
        values["r_squared"] = float(self.logger.get_value("mean_fg_dice", step=-1))
        if self.local_rank == 0:
            self.acnn_log.log(self.current_epoch, **values)
        measured = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        self.print_to_log_file(f"image: {measured} (what nnU-Net calls pseudo Dice is R² here)")

    def _build_loss(self):
        return HuberLoss()

    def _with_stacks(self, batch: dict) -> dict[str, Any]:
        made = self._stacks_of(batch)
        return {**batch, "data": made.stack, "target": [ImageTarget(made.image, made.scale, made.offset)]}

    def _score(self, validation: SimulatedValidation, images: Mapping[str, Sequence[Path]]) -> None:
        pairs = [
            (reference, prediction)
            for case, references in images.items()
            for reference, prediction in zip(references, validation.targets(case, references), strict=True)
        ]
        self._log_scores(score_images(pairs, validation.predictions))

    def _score_real(self, real: RealValidation, pairs: Sequence[tuple[str, PairFiles]]) -> None:
        names = [name for case, files in pairs for name in real.targets(case, files)]
        compared = [(real.references / name, real.predictions / name) for name in names]
        self._log_scores(score_images(compared, real.predictions), of="real_stacks_")

    def _log_scores(self, summary: Mapping[str, Any], *, of: str = "") -> None:
        for name, measured in summary["metrics"].items():
            if measured["mean"] is not None:
                self.logger.log_summary(f"final_val/{of}{name}", measured["mean"])
                self.print_to_log_file(f"Mean Validation {of}{name}: ", measured["mean"], also_print_to_console=True)


def _squares(values: Tensor) -> Tensor:
    """Return the sum of squares (C,) of (B, C, Z, Y, X)."""
    return values.square().sum((0, 2, 3, 4))


def _psnr_db(difference: Tensor, image: Tensor) -> Tensor:
    """Return the mean over samples and channels of 10·log10(range² / mean square), the range being the HR patch's."""
    data_range = image.amax((2, 3, 4)) - image.amin((2, 3, 4))
    mean_square = difference.square().mean((2, 3, 4)).clamp(min=1e-12)
    return (10 * torch.log10(data_range.square().clamp(min=1e-12) / mean_square)).mean()


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
