"""The T-L network trained by nnU-Net's own training loop, on the fold's training labels."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.fold_prior.held_out import channel_names, held_out_report
from acnn_nnunet.fold_prior.specification import box_of_checkpoint, describe_prior
from acnn_nnunet.nnunet.cases import as_label, fit_box_to_cases, labels_present
from acnn_nnunet.nnunet.settings import Settings
from acnn_nnunet.shape_prior.code_statistics import measure_statistics
from acnn_nnunet.shape_prior.grids.roi_box import RoiBox
from acnn_nnunet.shape_prior.grids.samples import GridSamples, samples_on_grid
from acnn_nnunet.shape_prior.grids.views import PatchGrid, RoiGrid
from acnn_nnunet.shape_prior.loss.prior_loss import FullPrecisionLoss
from acnn_nnunet.shape_prior.networks.hybrid_autoencoder import HybridDecoder, HybridEncoder
from acnn_nnunet.shape_prior.networks.tl_network import Stage, TLNetwork
from acnn_nnunet.shape_prior.prior_file import SPEC_KEY, PriorSpec
from acnn_nnunet.shape_prior.training.corruption import AutoencoderInput
from acnn_nnunet.shape_prior.training.linear_start import start_linearly
from acnn_nnunet.shape_prior.training.losses import ReconstructionLoss, measure_batch, summarise_epoch, tl_loss
from acnn_nnunet.shape_prior.training.optimizer import prior_optimizer
from acnn_nnunet.shape_prior.training.stages import StageSchedule, set_training_mode
from acnn_nnunet.trainers.configured_trainer import ConfiguredTrainer

_SCHEDULE_KEY = "shape_prior_schedule"
# Where a fitted box waits for the host to build the network, in the resolved configuration: in memory only.
_BOX_KEY = "acnn_roi_box"
_CODES_FOR_STATISTICS = 1000
# Width of the Gaussian that smooths a deformation, in edges of the patch.
_ELASTIC_SCALE = (0.06, 0.2)
# 256 codes at the start, mean Dice of 32 hippocampi not in the fit: 0.836 of 512 maps, 0.852 of 1024, 0.856 of 1800.
_LEAST_MAPS_FOR_LINEAR_START, _MAPS_PER_CODE = 300, 4


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
    takes_thick_slices = None  # it sees labels and images on the HR grid

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host reads this very signature)
    ):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self._refuse_unsupported()
        self.num_epochs = self.settings.prior_num_epochs
        self.enable_deep_supervision = False
        if self.settings.num_val_iterations_per_epoch is None:
            # Enough for a stage's convergence to show; the host's 50 would take a fifth of a prior's training.
            self.num_val_iterations_per_epoch = 10
        if self.settings.save_every is None:
            # The file is small, and the host's 50 epochs are more than the whole training has.
            self.save_every = 1
        self.schedule = StageSchedule(self.num_epochs, with_predictor=self.settings.train_predictor)
        self.labels = self._expected_prior().label_space
        self._reconstruction = ReconstructionLoss(self.labels, with_dice=self.settings.reconstruction_loss == "dice_ce")
        self._shown = AutoencoderInput(
            swap_probability=self.settings.label_swap_probability,
            noise=self.settings.input_noise,
            clean_share=self.settings.clean_share,
        )
        self._outside_share = 0.0
        self._reconstruction_dice: dict[str, float] = {}
        self._training_cases: tuple[str, ...] = ()
        self._absent_labels: tuple[str, ...] = ()
        self._complete = False

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """Return the T-L network on the configuration's patch or on the box that was fitted to the fold.

        Raises:
            NotImplementedError: if the grid is a box and no fold has been looked at, as in nnUNetv2_predict.
        """
        settings = Settings.from_configuration(configuration_manager.configuration)
        box, roi = configuration_manager.configuration.get(_BOX_KEY), None
        if settings.grid == RoiGrid.kind:
            if box is None:
                raise NotImplementedError(
                    "nnUNetv2_predict does not run a shape prior of grid=roi, whose box belongs to its fold: "
                    "nnUNetv2_train … -tr ShapePriorTrainer --val decodes the fold's validation cases."
                )
            roi = RoiGrid(box.size, spacing_mm=box.spacing_mm, patch_spacing_mm=tuple(configuration_manager.spacing))
        return TLNetwork(
            tuple(configuration_manager.patch_size) if roi is None else roi.size,
            num_classes=num_output_channels,
            image_channels=num_input_channels,
            code_size=settings.code_size,
            roi=roi,
            architecture=settings.architecture,
            spacing_mm=tuple(configuration_manager.spacing) if box is None else box.spacing_mm,
        )

    def initialize(self):
        """Fit the box, where the grid is one, and build everything as the host does.

        On CPUs the layout that convolves faster is chosen.
        """
        if self.settings.grid == RoiGrid.kind and _BOX_KEY not in self.configuration_manager.configuration:
            self._take_box(self._fit_box())
        self.grid = self._specification().make_grid(self.configuration_manager.spacing)
        super().initialize()
        if self.device.type == "cpu" and len(self.configuration_manager.patch_size) == 3:
            self.network.to(memory_format=torch.channels_last_3d)

    def configure_optimizers(self):
        """Return AdamW over the three networks, and what sets its learning rates over all stages."""
        return prior_optimizer(
            self.network,
            architecture=self.settings.architecture,
            weight_decay=self.weight_decay,
            num_epochs=self.num_epochs,
            steps_per_epoch=self.num_iterations_per_epoch,
        )

    def get_training_transforms(self, *args, **kwargs):
        """Return the host's augmentation, with every sample deformed smoothly where `elastic_deformation` says so."""
        transforms = super().get_training_transforms(*args, **kwargs)
        if self.settings.elastic_deformation > 0:
            (spatial,) = (each for each in transforms.transforms if isinstance(each, SpatialTransform))
            spatial.p_elastic_deform = 1.0
            spatial.elastic_deform_scale = _ELASTIC_SCALE
            spatial.elastic_deform_magnitude = (0.0, self.settings.elastic_deformation)
        return transforms

    def set_deep_supervision_enabled(self, enabled: bool):
        """Do nothing: the T-L network has one output."""

    def on_train_start(self):
        """Look at the fold's labels before anything is computed; a hybrid's linear branches start from them."""
        self._refuse_missing_fold()
        if not self.was_initialized:
            self.initialize()
        dataset = self._training_dataset()
        self._training_cases = tuple(str(case) for case in dataset.identifiers)
        self._absent_labels = self._find_absent_labels(dataset)
        super().on_train_start()
        if self.current_epoch == 0:
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
                corrupt=self._shown,
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
        names = ("samples", "valid", "cut", "outside")
        counts = {name: sum(float(output[name]) for output in train_outputs) for name in names}
        if counts["valid"] == 0:
            raise ValueError(
                f"No training patch of {self._where()} held the whole anatomy in an epoch, as grid=roi needs it: use "
                f"grid=patch, or a configuration with a larger patch than "
                f"{tuple(self.configuration_manager.patch_size)} voxels."
            )
        super().on_train_epoch_end([output for output in train_outputs if output["valid"] > 0])
        shares = {
            "cut_off_share": counts["cut"] / counts["samples"],
            "masked_share": 1 - counts["valid"] / counts["samples"],
            "outside_share": counts["outside"] / counts["valid"],
        }
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
        """Measure code and features over augmented training labels, then save and end as the host does."""
        self.network.eval()
        self._outside_share = measure_statistics(self.network, self._training_samples(_CODES_FOR_STATISTICS))
        self._complete = True
        super().on_train_end()

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        """Load as the host does, with the checkpoint's box, and go on in the stage that was saved."""
        if self.settings.grid == RoiGrid.kind and not self.was_initialized:
            self._take_box(box_of_checkpoint(filename_or_checkpoint))
        super().load_checkpoint(filename_or_checkpoint)
        if isinstance(filename_or_checkpoint, str):
            checkpoint = torch.load(filename_or_checkpoint, map_location="cpu", weights_only=True)
            self.schedule.load_state(checkpoint[_SCHEDULE_KEY])

    def perform_actual_validation(self, save_probabilities: bool = False):
        """Run the host's validation on g(p(x)), then report reconstructions and codes of the held-out cases."""
        (Path(self.output_folder) / "validation").mkdir(exist_ok=True)
        if self.settings.train_predictor:
            super().perform_actual_validation(save_probabilities)
        _, validation_cases = self.do_split()
        dataset = self.dataset_class(self.preprocessed_dataset_folder, validation_cases)
        report = held_out_report(
            self.network,
            dataset,
            self.labels,
            self.dataset_json["labels"],
            grid=self.grid,
            device=self.device,
        )
        write_json(Path(self.output_folder) / "validation" / "shape_prior.json", report)
        self.print_to_log_file(f"Held-out cases: { ({key: value for key, value in report.items() if key != 'cases'}) }")

    def _build_loss(self):
        # Of the host's validation step, on whole patches.
        return FullPrecisionLoss(self._reconstruction)

    def _do_i_compile(self):
        # Stages switch which networks run and learn; compiling each anew costs more than these small ones take.
        return False

    def _checkpoint_extras(self) -> dict:
        return {SPEC_KEY: self._specification().as_plain(), _SCHEDULE_KEY: self.schedule.state()}

    def _specification(self) -> PriorSpec:
        return describe_prior(
            self.plans_manager,
            self.configuration_manager,
            self.configuration_name,
            self.dataset_json,
            self.fold,
            stage=self.schedule.trained_stage,
            training_cases=self._training_cases,
            absent_labels=self._absent_labels,
            complete=self._complete,
            outside_share=self._outside_share,
            reconstruction_dice=self._reconstruction_dice if self._complete else None,
            box=self.configuration_manager.configuration.get(_BOX_KEY),
        )

    def _start_linearly(self) -> None:
        encoder, decoder = self.network.encoder, self.network.decoder
        if isinstance(encoder, HybridEncoder) and isinstance(decoder, HybridDecoder):
            samples = self._training_samples(
                max(_LEAST_MAPS_FOR_LINEAR_START, _MAPS_PER_CODE * self.settings.code_size)
            )
            spacing_mm = self._specification().spacing_mm
            components = start_linearly(encoder, decoder, samples, labels=self.labels, spacing_mm=spacing_mm)
            self.print_to_log_file(f"architecture=hybrid: starts as PCA of signed distances, {components} components")

    def _training_samples(self, wanted: int) -> Iterator[GridSamples]:
        """Draw batches of about as many augmented training samples, no more than an epoch has."""
        for _ in range(min(math.ceil(wanted / self.batch_size), self.num_iterations_per_epoch)):
            yield self._on_grid(next(self.dataloader_train))

    def _on_grid(self, batch: dict) -> GridSamples:
        image = batch["data"].to(self.device, non_blocking=True)
        target = batch["target"].to(self.device, non_blocking=True)
        return samples_on_grid(image, target, grid=self.grid, labels=self.labels)

    def _fit_box(self) -> RoiBox:
        """Return the box around the training cases' anatomy."""
        box = fit_box_to_cases(
            self._training_dataset(),
            self.configuration_manager,
            margin=self.settings.roi_margin,
            spacing_factor=self.settings.roi_spacing_factor,
            ignore_label=self.label_manager.ignore_label,
        )
        return box or self._refuse_no_foreground()

    def _take_box(self, box: RoiBox) -> None:
        self.configuration_manager.configuration[_BOX_KEY] = box
        lengths_mm = " × ".join(f"{n * s:.1f}" for n, s in zip(box.size, box.spacing_mm, strict=True))
        self.print_to_log_file(f"grid=roi: a box of {lengths_mm} mm, {box.size} voxels of {box.spacing_mm} mm")

    def _find_absent_labels(self, dataset) -> tuple[str, ...]:
        names = channel_names(self.dataset_json["labels"], self.labels)
        present = labels_present(dataset, dataset.identifiers)
        if not present:
            self._refuse_no_foreground()
        absent = tuple(name for name in names.values() if as_label(self.dataset_json["labels"][name]) not in present)
        if absent:
            self.print_to_log_file(
                f"WARNING: no training case of {self._where()} has the label {', '.join(absent)}: "
                f"the prior will know nothing of its shape."
            )
        return absent

    def _training_dataset(self):
        training_cases, _ = self.do_split()  # which chooses the class
        return self.dataset_class(self.preprocessed_dataset_folder, training_cases)

    def _where(self) -> str:
        return f"{self.plans_manager.dataset_name}, configuration {self.configuration_name}, fold {self.fold}"

    def _refuse_no_foreground(self) -> NoReturn:
        raise ValueError(
            f"No training case of {self._where()} has any foreground: a shape prior needs labelled anatomy. "
            f"Check the labels in nnUNet_raw and preprocess again."
        )

    def _refuse_unsupported(self) -> None:
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
