"""nnU-Net trained with a frozen shape prior in its loss."""

from pathlib import Path
from typing import Any

import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.paths import nnUNet_results

from acnn_nnunet.fold_prior.loading import (
    label_space,
    load_finished_prior,
    load_fold_prior,
    locate_prior,
    prior_warnings,
    record_prior,
    refuse_another_prior,
)
from acnn_nnunet.nnunet.run_folder import run_our_command
from acnn_nnunet.shape_prior.loss.prior_loss import ShapePriorLoss, Term
from acnn_nnunet.shape_prior.loss.prior_term import make_prior_term
from acnn_nnunet.shape_prior.prior_file import Prior
from acnn_nnunet.shape_prior.training.augmentation import HidePartsTransform
from acnn_nnunet.trainers.configured_trainer import ConfiguredTrainer


class ACNNTrainer(ConfiguredTrainer):
    """nnUNetTrainer with λ1·w(t)·d(f(prediction), f(target)) added to its loss (paper Eq. 1).

    The prior is read when training starts; validation, prediction and export need none.

    Attributes:
        loss_name: of the loss without the prior, in the log.

    Raises:
        FileNotFoundError: at the start of training, if there is no prior, naming the command that trains it.
        ValueError: if the prior does not fit, saw validation labels, or is not the one that the run began with.
    """

    loss_name = "segmentation_loss"
    has_prior = True

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host reads this very signature)
    ):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.prior: Prior | None = None
        self._only_loading = False

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> ComposeTransforms:
        """Return the host's augmentation, then hide parts of images where the setting `hidden_parts` says so."""
        transforms = super().get_training_transforms(*args, **kwargs)
        if self.settings.hidden_share > 0 and not self.is_thick_slice:
            z_scored = [each == "ZScoreNormalization" for each in self.configuration_manager.normalization_schemes]
            masked = self.configuration_manager.use_mask_for_norm
            hide = HidePartsTransform(self.settings.hidden_share, z_scored=z_scored, masked=masked)
            transforms.transforms.append(hide)
        return transforms

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        """Load without the prior: whether training follows shows only in `on_train_start`."""
        self._only_loading = True
        try:
            super().load_checkpoint(filename_or_checkpoint)
        finally:
            self._only_loading = False

    def on_train_start(self):
        """Load the prior, check that it may serve this run, and record it."""
        self._refuse_missing_fold()
        if not self.was_initialized:
            self.initialize()
        if self.settings.prior_weight > 0:
            if self.prior is None:
                self.loss = self._build_loss()
            assert self.prior is not None
            self._record_prior(self.prior)
        elif self._corrects_predictions:
            load_finished_prior(self._find_prior())  # what it lacks is said before the training, not after it
        super().on_train_start()

    def on_train_epoch_start(self):
        """Set the prior's warm-up weight for the epoch."""
        super().on_train_epoch_start()
        if isinstance(self.loss, ShapePriorLoss):
            warm_up_epochs = self.settings.prior_warm_up * self.num_epochs
            self.loss.warm_up = min(1.0, self.current_epoch / warm_up_epochs) if warm_up_epochs else 1.0

    def on_train_epoch_end(self, train_outputs: list[dict]):
        """Log both losses and the ratio of their gradients beside the host's values."""
        super().on_train_epoch_end(train_outputs)
        if isinstance(self.loss, ShapePriorLoss):
            statistics = self.loss.take_statistics()
            if self.local_rank == 0:
                self.acnn_log.log(self.current_epoch, **statistics)
            self.print_to_log_file(
                "shape prior: " + ", ".join(f"{name} {value:.4g}" for name, value in statistics.items())
            )
            if statistics.get("masked_share") == 1:
                self.print_to_log_file(
                    "WARNING: no training patch of this epoch held the whole anatomy, so the shape prior taught "
                    "nothing (grid=roi): use a larger patch, or grid=patch."
                )

    def perform_actual_validation(self, save_probabilities: bool = False):
        """Validate as the host does; with the setting `prior_at_inference`, correct the predictions by the prior too.

        They go to `validation_refined`. `validation` stays the network's own.

        Raises:
            FileNotFoundError: if there is no prior.
            RuntimeError: if they cannot be corrected.
        """
        super().perform_actual_validation(save_probabilities or self._corrects_predictions)
        if not self._corrects_predictions or self.local_rank != 0:
            return
        folder = Path(self.output_folder)
        words: list[str | Path] = [
            "refine",
            folder / "validation",
            "--prior",
            self._find_prior(),
            "-o",
            folder / "validation_refined",
        ]
        self.print_to_log_file(run_our_command(words), also_print_to_console=True)

    def _check_configuration(self) -> None:
        super()._check_configuration()
        of_slices = not self.settings.prior or self.settings.prior_weight > 0
        if self.settings.prior_at_inference and self._is_2d and of_slices:
            raise ValueError(
                f"prior_at_inference=true of {self.configuration_name} of {self.plans_manager.dataset_name}: the prior "
                f"of a 2D configuration is of slices, and correcting needs one of volumes. Configure "
                f"prior_at_inference=false, and correct predictions by `acnn-nnunet refine --prior` with a 3D prior."
            )

    @property
    def _corrects_predictions(self) -> bool:
        return self.settings.prior_at_inference and not self.is_thick_slice

    def _find_prior(self) -> Path:
        if self.settings.prior:
            return Path(self.settings.prior)
        return locate_prior(nnUNet_results.require(), self.plans_manager.plans, self.configuration_name, self.fold)

    @property
    def _is_2d(self) -> bool:
        return len(self.configuration_manager.patch_size) == 2

    def _build_loss(self):
        loss = super()._build_loss()
        if self.settings.prior_weight == 0 or self._only_loading:
            return loss
        self.prior = self._load_prior()
        return ShapePriorLoss(
            loss,
            self._prior_term(self.prior),
            weight=self.settings.prior_weight,
            balance_gradients=self.settings.prior_weighting == "gradient_ratio",
            loss_name=self.loss_name,
        )

    def _load_prior(self) -> Prior:
        _, validation_cases = self.do_split()
        prior = load_fold_prior(
            self.plans_manager,
            self.configuration_name,
            self.dataset_json,
            self.fold,
            validation_cases=validation_cases,
            device=self.device,
        )
        for warning in prior_warnings(prior):
            self.print_to_log_file(warning)
        return prior

    def _prior_term(self, prior: Prior) -> Term:
        return make_prior_term(
            prior.network,
            distance=self.settings.prior_distance,
            grid=prior.spec.make_grid(self.configuration_manager.spacing),
            # The ignore label is this training's, which the prior's training need not have had.
            labels=label_space(self.plans_manager, self.dataset_json),
            outside_weight=self.settings.outside_weight,
        )

    def _record_prior(self, prior: Prior) -> None:
        folder = Path(self.output_folder)
        if self.current_epoch > 0:
            refuse_another_prior(prior, folder)
        if self.fold == "all":
            self.print_to_log_file(
                "WARNING: fold all: network and shape prior train on the very cases they are validated on."
            )
        self.print_to_log_file(f"shape prior: {prior.path}, sha256 {prior.sha256}")
        if self.local_rank == 0:
            record_prior(prior, folder)
