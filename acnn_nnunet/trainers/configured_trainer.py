"""What our trainers share: settings from the plans, safe files, the CPU's precision, refusals in one sentence."""

import contextlib
import errno
import io
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import distributed as dist

from acnn_nnunet.files.safe_writes import check_names, replace_atomically
from acnn_nnunet.fold_prior.loading import channel_names, label_space
from acnn_nnunet.nnunet.devices import use_cpu_autocast
from acnn_nnunet.nnunet.plans import HR_KEY, read_splits
from acnn_nnunet.nnunet.run_folder import EpochLog, add_to_checkpoint, checkpoint_file, read_checkpoint_errors
from acnn_nnunet.nnunet.settings import Settings, bad_settings_named
from acnn_nnunet.shape_prior.loss.prior_loss import CrossEntropyPerClass, FullPrecisionLoss, choose_segmentation_loss
from acnn_nnunet.shape_prior.training.augmentation import OwnDraws, swap_mirrored_labels

_HOST_DEFAULT_SPLITS = 5


class ConfiguredTrainer(nnUNetTrainer):
    """An nnUNetTrainer that reads the `acnn` block of its configuration.

    Attributes:
        mirroring: along which axes training mirrors, and which labels change places there.
        is_thick_slice: whether plan-hr made the configuration.
        has_prior: whether it trains a prior, or takes one where the settings say so.

    Raises:
        ValueError: for a setting that is not allowed, or a configuration that is not for this trainer.
        OSError: if the results folder cannot be written.
    """

    has_prior = False

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host reads this very signature)
    ):
        try:
            super().__init__(plans, configuration, fold, dataset_json, device)
        except OSError as error:
            raise OSError(
                f"Cannot write results of {plans['dataset_name']}, configuration {configuration}, fold {fold} "
                f"({error}): point nnUNet_results to a folder that you may write to."
            ) from error
        where = (
            f"{self.plans_manager.plans_name}.json of {self.plans_manager.dataset_name}, "
            f"configuration {configuration} (change it with acnn-nnunet configure)"
        )
        self.settings = Settings.from_configuration(self.configuration_manager.configuration, where=where)
        with bad_settings_named(where):
            self.mirroring = self.settings.plan_mirroring(
                with_prior=self.has_prior,
                num_axes=len(self.configuration_manager.patch_size),
                labels=self.dataset_json["labels"],
            )
        self.is_thick_slice = HR_KEY in self.configuration_manager.configuration
        self._check_configuration()
        self.acnn_log = EpochLog(self.output_folder)
        self._apply_settings()
        self.cpu_autocast = use_cpu_autocast(self.settings.cpu_autocast, self.device)

    def initialize(self):
        """Seed, then build network, optimiser and loss as the host does."""
        self._seed()
        if self.device.type == "cpu":
            self.print_to_log_file(
                f"acnn-nnunet: the network runs in {'bfloat16 autocast' if self.cpu_autocast else 'float32'} "
                f"on this CPU (setting cpu_autocast={str(self.settings.cpu_autocast).lower()}); "
                f"losses stay in float32."
            )
        self.print_to_log_file(
            self.mirroring.describe(
                self.plans_manager.transpose_forward, num_axes=len(self.configuration_manager.patch_size)
            )
        )
        super().initialize()

    def run_training(self):
        """Train as the host does; a training that has ended is left as it is, so that `--c` only validates it.

        The host would write the final checkpoint once more: a prior's hash would change under the runs that used it.

        Raises:
            OSError: naming the folder and the remedy, if the disk is full.
        """
        if self.current_epoch >= self.num_epochs and (Path(self.output_folder) / "checkpoint_final.pth").is_file():
            self.print_to_log_file(f"Training has ended already ({self.num_epochs} epochs); only validation follows.")
            return
        try:
            super().run_training()
        except BaseException as error:
            self._stop_loader_workers()
            if not isinstance(error, OSError) or error.errno != errno.ENOSPC:
                raise
            raise OSError(
                f"The disk is full ({error}) while training {self.plans_manager.dataset_name}, configuration "
                f"{self.configuration_name}, fold {self.fold}: free some space; {self.output_folder} keeps its "
                f"checkpoints, --c goes on from there."
            ) from error

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):  # noqa: N802 (the host's name)
        """Return the host's augmentation within the settings' limits; what is not mirrored is not in prediction."""
        rotation, dummy_2d, initial_patch_size, _ = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        mirror_axes = self.mirroring.axes or None
        self.inference_allowed_mirroring_axes = self.mirroring.prediction_axes or None
        if self.settings.rotation_deg is not None:
            limit = math.radians(self.settings.rotation_deg)
            rotation = (-limit, limit)
        return rotation, dummy_2d, initial_patch_size, mirror_axes

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> ComposeTransforms:
        """Return the host's augmentation; where it mirrors, labels change places as the settings say."""
        transforms = super().get_training_transforms(*args, **kwargs)
        transforms.transforms.insert(0, OwnDraws())
        if self.mirroring.swap_axis is not None:
            swap_mirrored_labels(transforms, axis=self.mirroring.swap_axis, swaps=self.mirroring.swaps)
        return transforms

    def configure_optimizers(self):
        """Return the host's; heads that a network without deep supervision does not use take no part.

        Distributed training would wait for their gradients.
        """
        if not self.enable_deep_supervision:
            for module in self.network.modules():
                for head in getattr(module, "seg_layers", [])[:-1]:
                    head.requires_grad_(False)
        return super().configure_optimizers()

    def do_split(self):
        """Return the fold's cases; refuse a fold that the splits do not have."""
        self._refuse_missing_fold()
        training, validation = super().do_split()
        check_names((*training, *validation), where=Path(self.preprocessed_dataset_folder_base) / "splits_final.json")
        return training, validation

    def on_train_start(self):
        """Check the fold before anything is computed, and go on with our log where the checkpoint is."""
        self._refuse_missing_fold()
        super().on_train_start()
        self.acnn_log.resume(self.current_epoch)
        if self.settings.seed is None:
            # CUDA begins with one default seed in every process: distributed ones, and one that goes on, would repeat.
            torch.seed()
        self._seed(self.current_epoch)

    def on_train_end(self):
        """End as the host does; no process validates before the first one has written the last checkpoints."""
        super().on_train_end()
        if self.is_ddp:
            dist.barrier()

    def train_step(self, batch: dict) -> dict:
        """Run the host's step under the CPU's autocast; refuse data that is not finite."""
        with self._autocast():
            result = super().train_step(batch)
        self._refuse_non_finite(result["loss"], batch)
        return result

    def validation_step(self, batch: dict) -> dict:
        """Run the host's step under the CPU's autocast."""
        with self._autocast():
            return super().validation_step(batch)

    def on_train_epoch_end(self, train_outputs: list[dict]):
        """Log as the host does, and name the labels that `segmentation_loss=ce_per_class` has not met."""
        super().on_train_epoch_end(train_outputs)
        for module in self.loss.modules():
            if isinstance(module, CrossEntropyPerClass) and (absent := module.take_absent()):
                names_of = channel_names(self.dataset_json["labels"], module.labels)
                names = [names_of.get(channel, "background") for channel in absent]
                self.print_to_log_file(
                    f"WARNING: no training patch of this epoch held {', '.join(names)}: segmentation_loss=ce_per_class "
                    f"could not teach it. Check labelsTr of fold {self.fold}'s training cases, if this comes again."
                )

    def on_epoch_end(self):
        """Plot our quantities beside the host's progress.png."""
        super().on_epoch_end()
        if self.local_rank == 0 and self.acnn_log.values:
            self.acnn_log.plot()

    def save_checkpoint(self, filename: str) -> None:
        """Save as the host does, beside and renamed: a full disk or a kill leaves the old checkpoint whole.

        A periodic checkpoint that cannot be written is reported and training goes on; the final one must be written.
        """
        if self.local_rank != 0 or self.disable_checkpointing:
            super().save_checkpoint(filename)
            return
        try:
            replace_atomically(filename, self._write_checkpoint)
        except OSError as error:
            if Path(filename).name == "checkpoint_final.pth":
                raise
            self.print_to_log_file(f"WARNING: {error} Training goes on.")

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        """Load a file, or the content of one, as the host does; a truncated file is one sentence."""
        if isinstance(filename_or_checkpoint, dict):
            with checkpoint_file(filename_or_checkpoint) as path:
                super().load_checkpoint(path)
        else:
            load = super().load_checkpoint
            read_checkpoint_errors(filename_or_checkpoint, lambda: load(filename_or_checkpoint))

    def _build_loss(self):
        labels = label_space(self.plans_manager, self.dataset_json)
        loss = choose_segmentation_loss(super()._build_loss(), self.settings.segmentation_loss, labels)
        return FullPrecisionLoss(loss) if self.cpu_autocast else loss

    def _checkpoint_extras(self) -> dict:
        """Return what goes into a checkpoint beside the host's entries."""
        return {}

    def _autocast(self) -> contextlib.AbstractContextManager:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.cpu_autocast)

    def _apply_settings(self) -> None:
        settings = self.settings
        for name in ("num_epochs", "num_iterations_per_epoch", "num_val_iterations_per_epoch", "save_every"):
            if (value := getattr(settings, name)) is not None:
                setattr(self, name, value)
        if settings.weight_decay is not None:
            self.weight_decay = settings.weight_decay
        self.enable_deep_supervision = settings.deep_supervision

    def _seed(self, epoch: int = 0) -> None:
        """Seed everything that draws in this process; a resumed run does not repeat its first epochs' draws."""
        if self.settings.seed is None:
            return
        seed = (self.settings.seed + 7919 * self.local_rank + 104729 * epoch) % 2**32
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)

    def _check_configuration(self) -> None:
        """Refuse a configuration that is not for this trainer: here one for thick slices."""
        if self.is_thick_slice:
            raise ValueError(
                f"{type(self).__name__} does not train {self.configuration_name} of {self.plans_manager.dataset_name}, "
                f"which plan-hr made for thick slices: use -tr ACNNSubPixelSegTrainer or SubPixelSegTrainer for "
                f"labels, ACNNSRTrainer or SRTrainer for images."
            )

    def _refuse_missing_fold(self) -> None:
        """Refuse a fold for which the host would draw a random split by case, tearing patients apart."""
        splits_file = Path(self.preprocessed_dataset_folder_base) / "splits_final.json"
        folds = len(read_splits(splits_file)) if splits_file.is_file() else _HOST_DEFAULT_SPLITS
        if self.fold != "all" and not 0 <= self.fold < folds:
            raise ValueError(
                f"Fold {self.fold} of {self.plans_manager.dataset_name} does not exist: {splits_file} has folds "
                f"0 to {folds - 1}. nnU-Net would draw a random split by case, which tears a patient's cases apart: "
                f"choose one of these folds, or add yours to that file."
            )

    def _stop_loader_workers(self) -> None:
        """Stop the workers as the host does at the end: left alone, they bury the error under tracebacks of theirs."""
        with contextlib.redirect_stdout(io.StringIO()):
            for loader in (self.dataloader_train, self.dataloader_val):
                if isinstance(loader, (NonDetMultiThreadedAugmenter, MultiThreadedAugmenter)):
                    loader._finish()

    def _write_checkpoint(self, path: str) -> None:
        super().save_checkpoint(path)
        if extras := self._checkpoint_extras():
            add_to_checkpoint(path, extras)

    def _refuse_non_finite(self, loss: np.ndarray, batch: dict) -> None:
        if np.isfinite(loss).all():
            return
        finite = torch.isfinite(batch["data"]).flatten(1).all(1)
        spoilt = sorted({str(key) for key, good in zip(batch["keys"], finite, strict=True) if not good})
        if spoilt:
            raise ValueError(
                f"NaN or infinity in the image of {', '.join(spoilt)} ({self.plans_manager.dataset_name}, "
                f"configuration {self.configuration_name}, fold {self.fold}): mend the image in nnUNet_raw and "
                f"preprocess again; {self.output_folder} keeps its checkpoints, --c goes on from there."
            )
