"""The T-L network trained by nnU-Net's own training loop, on the fold's training labels."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.fold_prior.held_out import describe_cases, held_out_report
from acnn_nnunet.fold_prior.loading import channel_names, describe_prior, spec_of_checkpoint
from acnn_nnunet.fold_prior.training_cases import find_absent_labels, fit_box_to_cases
from acnn_nnunet.nnunet.settings import Settings
from acnn_nnunet.nnunet.workarounds import OwnNetwork
from acnn_nnunet.shape_prior.code_statistics import measure_statistics
from acnn_nnunet.shape_prior.grids.samples import GridSamples, grid_shares, samples_on_grid
from acnn_nnunet.shape_prior.grids.views import PatchGrid, RoiGrid
from acnn_nnunet.shape_prior.loss.prior_loss import FullPrecisionLoss
from acnn_nnunet.shape_prior.networks.tl_network import Stage, TLNetwork
from acnn_nnunet.shape_prior.prior_file import SPEC_KEY
from acnn_nnunet.shape_prior.training.augmentation import deform_every_sample
from acnn_nnunet.shape_prior.training.corruption import AutoencoderInput
from acnn_nnunet.shape_prior.training.linear_start import maps_for_linear_start, start_linearly
from acnn_nnunet.shape_prior.training.losses import ReconstructionLoss, measure_batch, summarise_epoch, tl_loss
from acnn_nnunet.shape_prior.training.optimizer import prior_optimizer
from acnn_nnunet.shape_prior.training.stages import StageSchedule, set_training_mode
from acnn_nnunet.trainers.configured_trainer import ConfiguredTrainer

_SCHEDULE_KEY = "shape_prior_schedule"
_CODES_FOR_STATISTICS = 1000


class ShapePriorTrainer(ConfiguredTrainer):
    """Trains autoencoder, then predictor, then both (paper §II-D), within `prior_num_epochs`.

    As a module its network is g(p(x)), the decoded prediction of the code, so that the host's validation and
    prediction show the T-L network's own segmentation.

    Raises:
        NotImplementedError: for a cascade's second stage and distributed training.
        ValueError: if the fold's training cases have no foreground, or no training patch holds the whole anatomy
            where the grid is a box.
    """

    network: TLNetwork
    grid: PatchGrid | RoiGrid
    has_prior = True
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
        self.num_epochs = self.settings.prior_num_epochs
        self.enable_deep_supervision = False
        if self.settings.num_val_iterations_per_epoch is None:
            # Enough for a stage's convergence to show; the host's 50 would take a fifth of a prior's training.
            self.num_val_iterations_per_epoch = 10
        if self.settings.save_every is None:
            # The file is small, and the host's 50 epochs are more than the whole training has.
            self.save_every = 1
        self.schedule = StageSchedule(self.num_epochs, with_predictor=self.settings.train_predictor)
        self.spec = describe_prior(self.plans_manager, configuration, dataset_json, fold)
        self.labels = self.spec.label_space
        self._reconstruction = ReconstructionLoss(self.labels, kind=self.settings.reconstruction_loss)
        self._with_errors = AutoencoderInput(
            swap_probability=self.settings.label_swap_probability,
            noise=self.settings.input_noise,
            clean_share=self.settings.clean_share,
        )
        self._reconstruction_dice: dict[str, float] = {}
        self._box_is_known = False

    def build_own_network(
        self,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """Return the T-L network on the configuration's patch, or on the box that was fitted to the fold."""
        return self.spec.make_network(roi=self.grid if isinstance(self.grid, RoiGrid) else None)

    @classmethod
    def build_for_prediction(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """Return the T-L network on the configuration's patch for nnUNetv2_predict.

        Raises:
            NotImplementedError: if the grid is a box.
        """
        settings = Settings.from_configuration(configuration_manager.configuration)
        if settings.grid == RoiGrid.kind:
            raise NotImplementedError(
                "nnUNetv2_predict does not run a shape prior of grid=roi, whose box belongs to its fold: "
                "nnUNetv2_train … -tr ShapePriorTrainer --val decodes the fold's validation cases."
            )
        return TLNetwork(
            tuple(configuration_manager.patch_size),
            num_classes=num_output_channels,
            image_channels=num_input_channels,
            code_size=settings.code_size,
            architecture=settings.architecture,
            spacing_mm=tuple(configuration_manager.spacing),
        )

    def initialize(self):
        """Fit the box, where the grid is one, and build everything as the host does."""
        if self.settings.grid == RoiGrid.kind and not self._box_is_known:
            self._fit_box()
        self.grid = self.spec.make_grid(self.configuration_manager.spacing)
        super().initialize()
        self.network.move_to(self.device)

    def configure_optimizers(self):
        """Return AdamW over the three networks, and what sets its learning rates over all stages."""
        return prior_optimizer(
            self.network,
            architecture=self.settings.architecture,
            weight_decay=self.weight_decay,
            num_epochs=self.num_epochs,
            steps_per_epoch=self.num_iterations_per_epoch,
        )

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> ComposeTransforms:
        """Return the host's augmentation, with smooth deformations where the setting `elastic_deformation` says so."""
        transforms = super().get_training_transforms(*args, **kwargs)
        if self.settings.elastic_deformation > 0:
            deform_every_sample(transforms, largest_voxels=self.settings.elastic_deformation)
        return transforms

    def set_deep_supervision_enabled(self, enabled: bool):
        """Do nothing: the T-L network has one output."""

    def on_train_start(self):
        """Look at the fold's labels before anything is computed; a hybrid's linear branches start from them."""
        self._refuse_missing_fold()
        if not self.was_initialized:
            self.initialize()
        self._describe_training_cases()
        super().on_train_start()
        if self.current_epoch == 0 and self.settings.architecture == "hybrid":
            self._start_linearly()

    def on_train_epoch_start(self):
        """Begin an epoch in the current stage."""
        super().on_train_epoch_start()
        set_training_mode(self.network, self.schedule.stage)
        self.print_to_log_file(f"stage: {self.schedule.stage.value}")

    def train_step(self, batch: dict) -> dict:
        """Take one step of the current stage."""
        samples = self._on_grid(batch)
        # The autoencoder's loss does not know the image: NaN would only show when the predictor meets it.
        self._refuse_non_finite(batch["data"].sum().numpy(), batch)
        if len(samples.maps) == 0:
            return {"loss": np.array(np.nan, dtype=np.float32), **samples.counts}
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss = tl_loss(
                self.network,
                samples.image,
                samples.maps,
                stage=self.schedule.stage,
                reconstruction_loss=lambda logits: self._reconstruction.of_samples(logits, samples),
                code_loss_scale=self.schedule.code_loss_scale,
                corrupt=self._with_errors,
            )
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 12)
        self.optimizer.step()
        return {"loss": loss.detach().cpu().numpy(), **samples.counts}

    def on_train_epoch_end(self, train_outputs: list[dict]):
        """Log how much of the anatomy the grid missed; refuse a box that no training patch fills.

        Raises:
            ValueError: if every sample was masked.
        """
        if not any(output["valid"] for output in train_outputs):
            raise ValueError(
                f"No training patch of {self._where()} held the whole anatomy in an epoch, as grid=roi needs it: use "
                f"grid=patch, or a configuration with a larger patch than "
                f"{tuple(self.configuration_manager.patch_size)} voxels."
            )
        super().on_train_epoch_end([output for output in train_outputs if output["valid"] > 0])
        shares = grid_shares(train_outputs)
        self.acnn_log.log(self.current_epoch, **shares)
        self.print_to_log_file(", ".join(f"{name} {share:.4f}" for name, share in shares.items()))

    def validation_step(self, batch: dict) -> dict:
        """Run the host's step on g(p(x)) and measure both losses and the reconstruction g(f(y))."""
        samples = self._on_grid(batch)
        with self._autocast():
            measured = measure_batch(self.network, samples, self.labels, self._reconstruction.of_samples)
        # The host's step comes last: it overwrites ignored voxels of the target.
        return {**measured, **super().validation_step(batch)}

    def on_validation_epoch_end(self, val_outputs: list[dict]):
        """Log both losses and reconstruction Dice, and let the schedule decide on the next epoch's stage."""
        super().on_validation_epoch_end(val_outputs)
        losses, dice = summarise_epoch(val_outputs, self.labels)
        names = channel_names(self.dataset_json["labels"], self.labels).values()
        of_label = zip(names, dice.tolist(), strict=True)
        self._reconstruction_dice = {name: round(each, 4) for name, each in of_label if math.isfinite(each)}
        self.acnn_log.log(
            self.current_epoch,
            reconstruction_loss=losses.reconstruction,
            code_loss=losses.code,
            reconstruction_dice=float(np.mean(list(self._reconstruction_dice.values()) or [0.0])),
            stage=float(list(Stage).index(self.schedule.stage)),
        )
        self.print_to_log_file(
            f"reconstruction Dice {self._reconstruction_dice}, loss {losses.reconstruction:.4f}; "
            f"code loss {losses.code:.4g}"
        )
        stage = self.schedule.stage
        if self.schedule.end_epoch(losses):
            self.print_to_log_file(f"the {stage.value}'s stage ends here")

    def on_train_end(self):
        """Measure the code over augmented training labels, then save and end as the host does."""
        self.network.eval()
        outside_share = measure_statistics(self.network, self._training_samples(_CODES_FOR_STATISTICS))
        self.spec = dataclasses.replace(
            self.spec, complete=True, outside_share=outside_share, reconstruction_dice=self._reconstruction_dice
        )
        super().on_train_end()

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        """Load as the host does, with the checkpoint's box, and go on in the stage that was saved."""
        if self.settings.grid == RoiGrid.kind and not self.was_initialized:
            saved = spec_of_checkpoint(filename_or_checkpoint)
            self._take_box(saved.grid_size, saved.spacing_mm)
        super().load_checkpoint(filename_or_checkpoint)
        checkpoint = filename_or_checkpoint
        if isinstance(checkpoint, str):
            checkpoint = torch.load(checkpoint, map_location="cpu", weights_only=True)
        self.schedule.load_state(checkpoint[_SCHEDULE_KEY])

    def perform_actual_validation(self, save_probabilities: bool = False):
        """Run the host's validation on g(p(x)), then report reconstructions and codes of the validation cases."""
        (Path(self.output_folder) / "validation").mkdir(exist_ok=True)
        if self.settings.train_predictor:
            super().perform_actual_validation(save_probabilities)
        training_cases, validation_cases = self.do_split()
        dataset = self.dataset_class(self.preprocessed_dataset_folder, validation_cases)
        names = self.dataset_json["labels"]
        report = held_out_report(self.network, dataset, self.labels, names, grid=self.grid, device=self.device)
        write_json(Path(self.output_folder) / "validation" / "shape_prior.json", report)
        figures = {key: value for key, value in report.items() if key != "cases"}
        self.print_to_log_file(f"{describe_cases(training_cases, validation_cases)}: {figures}")

    def _build_loss(self):
        # Of the host's validation step, on whole patches.
        return FullPrecisionLoss(self._reconstruction)

    def _do_i_compile(self):
        # Stages switch which networks run and learn; compiling each anew costs more than these small ones take.
        return False

    def _checkpoint_extras(self) -> dict:
        spec = dataclasses.replace(self.spec, stage=self.schedule.trained_stage.value)
        return {SPEC_KEY: spec.as_plain(), _SCHEDULE_KEY: self.schedule.state()}

    def _start_linearly(self) -> None:
        samples = self._training_samples(maps_for_linear_start(self.settings.code_size))
        components = start_linearly(self.network, samples, labels=self.labels, spacing_mm=self.spec.spacing_mm)
        self.print_to_log_file(f"architecture=hybrid: starts as PCA of signed distances, {components} components")

    def _training_samples(self, wanted: int) -> Iterator[GridSamples]:
        """Draw batches of about as many augmented training samples, no more than an epoch has."""
        for _ in range(min(math.ceil(wanted / self.batch_size), self.num_iterations_per_epoch)):
            yield self._on_grid(next(self.dataloader_train))

    def _on_grid(self, batch: dict) -> GridSamples:
        image = batch["data"].to(self.device, non_blocking=True)
        target = batch["target"].to(self.device, non_blocking=True)
        return samples_on_grid(image, target, grid=self.grid, labels=self.labels)

    def _fit_box(self) -> None:
        """Fit the box around the training cases' anatomy."""
        box = fit_box_to_cases(
            self._training_dataset(),
            self.configuration_manager,
            margin=self.settings.roi_margin,
            spacing_factor=self.settings.roi_spacing_factor,
            ignore_label=self.label_manager.ignore_label,
            where=self._where(),
        )
        self._take_box(box.size, box.spacing_mm)

    def _take_box(self, size: tuple[int, ...], spacing_mm: tuple[float, ...]) -> None:
        self.spec = dataclasses.replace(self.spec, grid_size=size, spacing_mm=spacing_mm)
        self._box_is_known = True
        lengths_mm = " × ".join(f"{n * s:.1f}" for n, s in zip(size, spacing_mm, strict=True))
        self.print_to_log_file(f"grid=roi: a box of {lengths_mm} mm, {size} voxels of {spacing_mm} mm")

    def _describe_training_cases(self) -> None:
        dataset = self._training_dataset()
        absent = find_absent_labels(dataset, self.dataset_json["labels"], self.labels, where=self._where())
        if absent:
            self.print_to_log_file(
                f"WARNING: no training case of {self._where()} has the label {', '.join(absent)}: "
                f"the prior will know nothing of its shape."
            )
        cases = tuple(str(case) for case in dataset.identifiers)
        self.spec = dataclasses.replace(self.spec, training_cases=cases, absent_labels=absent)

    def _training_dataset(self):
        training_cases, _ = self.do_split()  # which chooses the class
        return self.dataset_class(self.preprocessed_dataset_folder, training_cases)

    def _where(self) -> str:
        return f"{self.plans_manager.dataset_name}, configuration {self.configuration_name}, fold {self.fold}"

    def _check_configuration(self) -> None:
        """Refuse cascades and several devices; one for thick slices may come, with labels and images on the HR grid."""
        if self.is_cascaded:
            raise NotImplementedError(
                f"ShapePriorTrainer does not train on a cascade's second stage such as {self.configuration_name} of "
                f"{self.plans_manager.dataset_name}: train it on the configuration that this one inherits from "
                f"(3d_fullres), ACNNTrainer takes that prior for both."
            )
        if self.is_ddp:
            raise NotImplementedError(
                "ShapePriorTrainer runs on one device (its networks are small): leave out -num_gpus. "
                "ACNNTrainer runs on several."
            )
