"""The T-L network trained by nnU-Net's own training loop, on the fold's training labels."""

import math
from pathlib import Path

import numpy as np
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from acnn_nnunet.files import write_json
from acnn_nnunet.host.cases import as_label, labels_present
from acnn_nnunet.host.held_out import channel_names, held_out_report
from acnn_nnunet.host.prior_spec import describe_prior
from acnn_nnunet.host.settings import Settings
from acnn_nnunet.shape_prior.code_distance import code_statistics
from acnn_nnunet.shape_prior.corruption import add_noise, keep_some_clean, swap_labels
from acnn_nnunet.shape_prior.prior_file import SPEC_KEY
from acnn_nnunet.shape_prior.prior_loss import FullPrecisionLoss
from acnn_nnunet.shape_prior.stages import Stage, StageSchedule, TLLosses, code_loss, set_training_mode, tl_loss
from acnn_nnunet.shape_prior.tl_network import TLNetwork
from acnn_nnunet.trainers.configured_trainer import ConfiguredTrainer

_SCHEDULE_KEY = "shape_prior_schedule"
_CODES_FOR_STATISTICS = 1000


class ShapePriorTrainer(ConfiguredTrainer):
    """Trains autoencoder, then predictor, then both (paper §II-D), within `prior_num_epochs`.

    As a module its network is g(p(x)), the decoded prediction of the code, so that the host's validation and
    prediction show the T-L network's own segmentation.

    Raises:
        NotImplementedError: for a cascade's second stage and for distributed training.
        ValueError: if the fold's training cases have no foreground.
    """

    network: TLNetwork

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
        self.initial_lr = 3e-3
        if self.settings.num_val_iterations_per_epoch is None:
            # Enough for a stage's convergence to show; the host's 50 would take a fifth of a prior's training.
            self.num_val_iterations_per_epoch = 10
        if self.settings.save_every is None:
            # The file is small, and the host's 50 epochs are more than the whole training has.
            self.save_every = 1
        self.schedule = StageSchedule(self.num_epochs)
        self.labels = self._expected_prior().label_space
        self._stage_loss = self._build_stage_loss()
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
        """Return the T-L network on the configuration's patch."""
        return TLNetwork(
            tuple(configuration_manager.patch_size),
            num_classes=num_output_channels,
            image_channels=num_input_channels,
            code_size=Settings.from_configuration(configuration_manager.configuration).code_size,
        )

    def initialize(self):
        """Build everything as the host does; on CPUs the layout that convolves faster is chosen."""
        super().initialize()
        if self.device.type == "cpu" and len(self.configuration_manager.patch_size) == 3:
            self.network.to(memory_format=torch.channels_last_3d)

    def configure_optimizers(self):
        """Return AdamW over the three networks, with the host's polynomial decay over all stages."""
        optimizer = torch.optim.AdamW(self.network.parameters(), self.initial_lr, weight_decay=self.weight_decay)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def set_deep_supervision_enabled(self, enabled: bool):
        """Do nothing: the T-L network has one output."""

    def on_train_start(self):
        """Look at the fold's labels before anything is computed."""
        self._refuse_missing_fold()
        if not self.was_initialized:
            self.initialize()
        training_cases, _ = self.do_split()
        self._training_cases = tuple(str(case) for case in training_cases)
        self._absent_labels = self._find_absent_labels()
        super().on_train_start()

    def on_train_epoch_start(self):
        """Begin an epoch in the current stage."""
        super().on_train_epoch_start()
        set_training_mode(self.network, self.schedule.stage)
        self.print_to_log_file(f"stage: {self.schedule.stage.value}")

    def train_step(self, batch: dict) -> dict:
        """Take one step of the current stage."""
        image = batch["data"].to(self.device, non_blocking=True)
        target = batch["target"].to(self.device, non_blocking=True)
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss = tl_loss(
                self.network,
                image,
                target,
                stage=self.schedule.stage,
                reconstruction_loss=self._stage_loss,
                labels=self.labels,
                code_loss_scale=self.schedule.code_loss_scale,
                corrupt=self._corrupt,
            )
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 12)
        self.optimizer.step()
        # The autoencoder's loss does not know the image: NaN would only show when the predictor meets it.
        self._refuse_non_finite(batch["data"].sum().numpy(), batch)
        return {"loss": loss.detach().cpu().numpy()}

    def validation_step(self, batch: dict) -> dict:
        """Run the host's step on g(p(x)) and measure both losses and the reconstruction g(f(y))."""
        image = batch["data"].to(self.device, non_blocking=True)
        target = batch["target"].to(self.device, non_blocking=True)
        maps = self.labels.target_maps(target)
        with self._autocast():
            code = self.network.encoder(maps)
            logits = self.network.decoder(code)
            predicted = self.network.predictor(image)
        logits = logits.float()
        decisions = self.labels.decisions(logits) * ~self.labels.ignored(target)
        axes = (0, *range(2, maps.ndim))
        return {
            # The host's step comes last: it overwrites ignored voxels of the target.
            "reconstruction_loss": self._stage_loss(logits, target).cpu().numpy(),
            "code_loss": code_loss(predicted, code).cpu().numpy(),
            "reconstruction_overlap": (decisions * maps).sum(axes).cpu().numpy(),
            "reconstruction_sizes": (decisions + maps).sum(axes).cpu().numpy(),
            **super().validation_step(batch),
        }

    def on_validation_epoch_end(self, val_outputs: list[dict]):
        """Log both losses and reconstruction Dice, and let the schedule decide on the next epoch's stage."""
        super().on_validation_epoch_end(val_outputs)
        losses = TLLosses(
            reconstruction=float(np.mean([output["reconstruction_loss"] for output in val_outputs])),
            code=float(np.mean([output["code_loss"] for output in val_outputs])),
        )
        overlap = np.sum([output["reconstruction_overlap"] for output in val_outputs], axis=0)
        sizes = np.sum([output["reconstruction_sizes"] for output in val_outputs], axis=0)
        dice = (2 * overlap / np.maximum(sizes, 1))[0 if self.labels.regions else 1 :]
        self.acnn_log.log(
            self.current_epoch,
            reconstruction_loss=losses.reconstruction,
            code_loss=losses.code,
            reconstruction_dice=float(dice.mean()),
            stage=float(list(Stage).index(self.schedule.stage)),
        )
        self.print_to_log_file(
            f"reconstruction Dice {[round(float(d), 4) for d in dice]}, loss {losses.reconstruction:.4f}; "
            f"code loss {losses.code:.4g}"
        )
        stage = self.schedule.stage
        if self.schedule.end_epoch(losses):
            self.print_to_log_file(f"the {stage.value}'s stage ends here")

    def on_train_end(self):
        """Measure the code's mean and covariance over augmented training labels, then save and end as the host does."""
        self.network.eval()
        mean, covariance = code_statistics(self._training_codes())
        self.network.code_mean.copy_(mean)
        self.network.code_covariance.copy_(covariance)
        self._complete = True
        super().on_train_end()

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        """Load as the host does, and go on in the stage that was saved."""
        super().load_checkpoint(filename_or_checkpoint)
        if isinstance(filename_or_checkpoint, str):
            checkpoint = torch.load(filename_or_checkpoint, map_location="cpu", weights_only=True)
            self.schedule.load_state(checkpoint[_SCHEDULE_KEY])

    def perform_actual_validation(self, save_probabilities: bool = False):
        """Run the host's validation on g(p(x)), then report reconstructions and codes of the held-out cases."""
        super().perform_actual_validation(save_probabilities)
        _, validation_cases = self.do_split()
        dataset = self.dataset_class(self.preprocessed_dataset_folder, validation_cases)
        report = held_out_report(
            self.network,
            dataset,
            self.labels,
            self.dataset_json["labels"],
            size=tuple(self.configuration_manager.patch_size),
            device=self.device,
        )
        write_json(Path(self.output_folder) / "validation" / "shape_prior.json", report)
        self.print_to_log_file(f"Held-out cases: { ({key: value for key, value in report.items() if key != 'cases'}) }")

    def _build_loss(self):
        return FullPrecisionLoss(self._build_stage_loss())

    def _do_i_compile(self):
        # Stages switch which networks run and learn; compiling each anew costs more than these small ones take.
        return False

    def _checkpoint_extras(self) -> dict:
        spec = describe_prior(
            self.plans_manager,
            self.configuration_manager,
            self.configuration_name,
            self.dataset_json,
            self.fold,
            stage=self.schedule.trained_stage,
            training_cases=self._training_cases,
            absent_labels=self._absent_labels,
            complete=self._complete,
        )
        return {SPEC_KEY: spec.as_plain(), _SCHEDULE_KEY: self.schedule.state()}

    def _build_stage_loss(self):
        labels = self.labels
        if self.settings.reconstruction_loss == "ce":
            return labels.cross_entropy
        return lambda logits, target: labels.cross_entropy(logits, target) + labels.soft_dice_loss(logits, target)

    def _corrupt(self, maps: torch.Tensor) -> torch.Tensor:
        corrupted = add_noise(swap_labels(maps, self.settings.label_swap_probability), self.settings.input_noise)
        return keep_some_clean(corrupted, maps, self.settings.clean_share)

    def _training_codes(self) -> torch.Tensor:
        """Return codes (N, K) of augmented training label maps, at most an epoch's."""
        codes = []
        with torch.no_grad():
            for _ in range(min(math.ceil(_CODES_FOR_STATISTICS / self.batch_size), self.num_iterations_per_epoch)):
                target = next(self.dataloader_train)["target"].to(self.device, non_blocking=True)
                codes.append(self.network.encoder(self.labels.target_maps(target)).cpu())
        return torch.cat(codes)

    def _find_absent_labels(self) -> tuple[str, ...]:
        names = channel_names(self.dataset_json["labels"], self.labels)
        dataset = self.dataset_class(self.preprocessed_dataset_folder, list(self._training_cases))
        present = labels_present(dataset, self._training_cases)
        where = f"{self.plans_manager.dataset_name}, configuration {self.configuration_name}, fold {self.fold}"
        if not present:
            raise ValueError(
                f"No training case of {where} has any foreground: a shape prior needs labelled anatomy. "
                f"Check the labels in nnUNet_raw and preprocess again."
            )
        absent = tuple(name for name in names.values() if as_label(self.dataset_json["labels"][name]) not in present)
        if absent:
            self.print_to_log_file(
                f"WARNING: no training case of {where} has the label {', '.join(absent)}: "
                f"the prior will know nothing of its shape."
            )
        return absent

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
