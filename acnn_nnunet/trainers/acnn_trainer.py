"""nnU-Net trained with a frozen shape prior in its loss."""

import json
from pathlib import Path

import torch
from nnunetv2.paths import nnUNet_results

from acnn_nnunet import __version__
from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.fold_prior.location import (
    check_prior_fits,
    check_prior_is_held_out,
    locate_prior,
    prior_command,
)
from acnn_nnunet.prior_report.verdict import LABEL_DICE
from acnn_nnunet.shape_prior.loss.prior_loss import ShapePriorLoss, Term
from acnn_nnunet.shape_prior.loss.prior_term import make_prior_term
from acnn_nnunet.shape_prior.prior_file import Prior, load_prior
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

    def get_training_transforms(self, *args, **kwargs):
        """Return the host's augmentation, and behind it what hides parts of images where `hidden_parts` says so."""
        transforms = super().get_training_transforms(*args, **kwargs)
        if self.settings.hidden_parts > 0 and not self.takes_thick_slices:
            schemes = self.configuration_manager.normalization_schemes
            z_scored = tuple(scheme == "ZScoreNormalization" for scheme in schemes)
            transforms.transforms.append(HidePartsTransform(self.settings.hidden_parts, z_scored=z_scored))
        return transforms

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        """Load without the prior: whether training follows shows only in `on_train_start`."""
        self._only_loading = True
        try:
            super().load_checkpoint(filename_or_checkpoint)
        finally:
            self._only_loading = False

    def on_train_start(self):
        """Take the prior up, check that it may serve this run, and record it."""
        self._refuse_missing_fold()
        if not self.was_initialized:
            self.initialize()
        if self.settings.prior_weight > 0:
            if self.prior is None:
                self.loss = self._build_loss()
            self._check_and_record_prior()
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
        path = self.settings.prior or locate_prior(
            nnUNet_results.require(), self.plans_manager.plans, self.configuration_name, self.fold
        )
        command = self._prior_command()
        try:
            prior = load_prior(Path(path), device=self.device)
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(
                f"{error} {self.plans_manager.dataset_name}, configuration {self.configuration_name}, fold {self.fold} "
                f"needs one that can be read, train it with: {command}"
            ) from error
        check_prior_fits(prior, self._expected_prior(), command=command)
        if self.device.type == "cpu" and len(prior.spec.grid_size) == 3:
            # The layout that convolves faster on CPUs.
            prior.network.to(memory_format=torch.channels_last_3d)
        if prior.spec.absent_labels:
            self.print_to_log_file(
                f"WARNING: the shape prior {prior.path} never saw {', '.join(prior.spec.absent_labels)}: "
                f"no training case of its fold has that label, so it knows nothing of its shape."
            )
        unlearnt = [
            f"{name} (Dice {dice:.2f})"
            for name, dice in prior.spec.reconstruction_dice.items()
            if dice < LABEL_DICE[1] and name not in prior.spec.absent_labels
        ]
        if unlearnt:
            self.print_to_log_file(
                f"WARNING: the shape prior {prior.path} has not learnt to draw {', '.join(unlearnt)} back, and may do "
                f"more harm than good: train it longer (prior_num_epochs); acnn-nnunet prior-report says more."
            )
        return prior

    def _prior_command(self) -> str:
        return prior_command(self.plans_manager.plans, self.configuration_name, self.fold)

    def _prior_term(self, prior: Prior) -> Term:
        return make_prior_term(
            prior.network,
            distance=self.settings.prior_distance,
            grid=prior.spec.make_grid(self.configuration_manager.spacing),
            # What is ignored is a matter of this training's labels, not of those the prior learnt from.
            labels=self._expected_prior().label_space,
            feature_weight=self.settings.feature_weight,
            reconstruction_weight=self.settings.reconstruction_weight,
        )

    def _check_and_record_prior(self) -> None:
        prior = self.prior
        assert prior is not None
        _, validation_cases = self.do_split()
        check_prior_is_held_out(
            prior,
            validation_cases,
            dataset=self.plans_manager.dataset_name,
            fold=self.fold,
            command=self._prior_command(),
        )
        if self.fold == "all":
            self.print_to_log_file(
                "WARNING: fold all: network and shape prior train on the very cases they are validated on."
            )
        record_file = Path(self.output_folder) / "acnn_run.json"
        if self.current_epoch > 0 and record_file.is_file():
            recorded = json.loads(record_file.read_text())
            if recorded["prior_sha256"] != prior.sha256:
                raise ValueError(
                    f"{self.output_folder} was trained with the shape prior {recorded['prior']} "
                    f"(sha256 {recorded['prior_sha256'][:12]}…), and --c found {prior.path} "
                    f"(sha256 {prior.sha256[:12]}…): bring the first one back, or train anew without --c."
                )
        self.print_to_log_file(f"shape prior: {prior.path}, sha256 {prior.sha256}")
        if self.local_rank == 0:
            write_json(
                record_file,
                {"prior": str(prior.path), "prior_sha256": prior.sha256, "acnn_nnunet": __version__},
            )
