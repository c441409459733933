"""The second stage of AE-Seg (paper §III-C, Table I, reference [37]): an autoencoder that corrects segmentations."""

from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn

from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.fold_prior.held_out import dice_of, load_patch, mean_of_known
from acnn_nnunet.fold_prior.loading import channel_names, label_space
from acnn_nnunet.refinement.segmentation_autoencoder import (
    LARGE_PARAMETERS,
    SMALL_PARAMETERS,
    plan_segmentation_autoencoder,
)
from acnn_nnunet.refinement.segmentation_errors import draw_errors
from acnn_nnunet.shape_prior.training.corruption import keep_some_clean, swap_labels
from acnn_nnunet.trainers.own_network_trainer import OwnNetworkTrainer

ERROR_STRENGTH = 0.7
_VALIDATION_SEED = 0
REPORT_FILE = "refinement.json"


class AESegTrainer(OwnNetworkTrainer):
    """Learns to give the fold's training labels back from copies with errors, under the host's loss.

    Its input is a segmentation, not an image: `acnn-nnunet refine` runs it on those of a first stage, and
    nnUNetv2_predict cannot. Errors are drawn anew for every batch: wandering boundaries, holes and islands, and voxels
    that are swapped as for the prior (settings `label_swap_probability`, `clean_share`).

    Attributes:
        num_parameters: of the network, at most.
        takes_label_maps: what `refine` knows such trainers by.
    """

    num_parameters = SMALL_PARAMETERS
    takes_label_maps = True
    predicted_by = (
        "nnUNetv2_predict takes images, and this network takes segmentations: correct those of another model with "
        "acnn-nnunet refine -d DATASET -c CONFIGURATION -tr TRAINER -f FOLD -i PREDICTIONS -o OUT."
    )

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host reads this very signature)
    ):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.labels = label_space(self.plans_manager, self.dataset_json)

    @classmethod
    def build_own_network(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = False,
    ) -> nn.Module:
        """Return the autoencoder of the configuration's patch, from label maps to logits."""
        return plan_segmentation_autoencoder(
            num_output_channels, patch_size=configuration_manager.patch_size, num_parameters=cls.num_parameters
        )

    def draw_errors(self, maps: Tensor) -> Tensor:
        """Return hard maps (B, C, …) with errors, of label maps (B, C, …)."""
        return draw_errors(maps, self.labels, strength=ERROR_STRENGTH)

    def train_step(self, batch: dict) -> dict:
        """Take the host's step on copies of the labels with errors."""
        return super().train_step(self._with_errors(batch))

    def validation_step(self, batch: dict) -> dict:
        """Run the host's step on copies of the labels with errors."""
        return super().validation_step(self._with_errors(batch))

    @torch.no_grad()
    def perform_actual_validation(self, save_probabilities: bool = False):
        """Draw errors into the fold's validation labels, the same in every run, and say how many are corrected.

        Writes `validation/refinement.json`: Dice of each case and label with errors and after correction. It takes
        seconds, so one process does it all.
        """
        if self.local_rank == 0:
            self._write_report(self.network.module if self.is_ddp else self.network)

    def _write_report(self, network: nn.Module) -> None:
        network.eval()
        _, cases = self.do_split()
        dataset = self.dataset_class(self.preprocessed_dataset_folder, cases)
        names = channel_names(self.dataset_json["labels"], self.labels)
        per_case: dict[str, Any] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_VALIDATION_SEED)
            for case in dataset.identifiers:
                size = tuple(self.configuration_manager.patch_size)
                _, target = load_patch(dataset, case, self.dataset_json["labels"], self.labels, size)
                truth = self.labels.target_maps(target)
                spoilt = self.draw_errors(truth)
                corrected = self.labels.decisions(network(spoilt.to(self.device)).float()).cpu()
                per_case[case] = {
                    name: {"before": dice_of(spoilt[0, i], truth[0, i]), "after": dice_of(corrected[0, i], truth[0, i])}
                    for i, name in names.items()
                }
        means = {
            when: mean_of_known(label[when] for case in per_case.values() for label in case.values())
            for when in ("before", "after")
        }
        folder = Path(self.output_folder) / "validation"
        folder.mkdir(exist_ok=True)
        write_json(folder / REPORT_FILE, {"mean_dice": means, "cases": per_case})
        before, after = ("none" if mean is None else f"{mean:.4f}" for mean in means.values())
        self.print_to_log_file(
            f"Mean Dice of validation labels with errors {before}, corrected {after}", also_print_to_console=True
        )

    def _with_errors(self, batch: dict) -> dict:
        maps = self.labels.target_maps(batch["target"].to(self.device, non_blocking=True))
        spoilt = self.draw_errors(maps)
        spoilt = swap_labels(spoilt, self.settings.label_swap_probability)
        return {**batch, "data": keep_some_clean(spoilt, maps, self.settings.clean_share)}


class AESegMTrainer(AESegTrainer):
    """AESegTrainer with the larger capacity, which the paper calls AE-Seg-M."""

    num_parameters = LARGE_PARAMETERS
