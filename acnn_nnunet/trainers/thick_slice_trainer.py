"""What the trainers for thick slices share: stacks out of the host's HR batches, and `--val` by predict-hr's code."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.configuration import default_num_processes
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import distributed as dist
from torch import nn
from torch._dynamo import OptimizedModule

from acnn_nnunet.files.geometry import SPACING_TOLERANCE
from acnn_nnunet.nnunet.folds import raw_images
from acnn_nnunet.nnunet.models import ModelBundle
from acnn_nnunet.nnunet.plans import dataset_id
from acnn_nnunet.nnunet.setting_rule import read_factors
from acnn_nnunet.nnunet.workarounds import exchange_loader
from acnn_nnunet.sr.degradation.acquisition import Acquisition
from acnn_nnunet.sr.inference.command import Inference
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.inference.validation import SimulatedValidation, score_labels
from acnn_nnunet.sr.pairs.batches import StackBatch, StackBatches
from acnn_nnunet.sr.pairs.dataset import PairedDataset, PairLoader
from acnn_nnunet.sr.pairs.finding import PairFiles, find_pairs
from acnn_nnunet.sr.pairs.store import PairRecord, pairs_folder, records_of
from acnn_nnunet.sr.pairs.validation import RealValidation
from acnn_nnunet.sr.slice_thickness import check_thickness
from acnn_nnunet.sr.stack_geometry import ThroughPlane
from acnn_nnunet.sr.training.in_plane import in_plane
from acnn_nnunet.sr.training.stack_units import StackUnits
from acnn_nnunet.trainers.own_network_trainer import OwnNetworkTrainer


class ThickSliceTrainer(OwnNetworkTrainer):
    """Trains an LR-in/HR-out network on a configuration of plan-hr: of each augmented HR batch it makes stacks.

    Attributes:
        predicts_image: whether the network puts out images, not labels.
        through_plane: factor and axis of the stacks.
        acquisition: of the simulated stacks, in training and validation.
        pairs: of the dataset, real stacks and HR images, by case; none with `pair_share=0`.

    Raises:
        ValueError: if the configuration was not made by plan-hr.
        FileNotFoundError: if its pairs are gone.
    """

    predicts_image = False
    predicted_by = (
        "nnUNetv2_predict writes predictions on the grid of the input, and this network's are on a grid with "
        "thinner slices: predict with acnn-nnunet predict-hr -d DATASET -c CONFIGURATION -tr TRAINER -f FOLD -i IN "
        "-o OUT."
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
        manager = self.configuration_manager
        self.through_plane = ThroughPlane.from_configuration(manager.configuration)
        self._pairs_folder = pairs_folder(manager.configuration, Path(self.preprocessed_dataset_folder_base))
        self.pairs = self._read_pairs()
        factors = self._factors()
        self.acquisition = Acquisition(
            self.through_plane.factor,
            thickness_mm=self._middle_thickness_mm(),
            motion_mm=self.settings.slice_motion_mm,
            rotation_deg=self.settings.slice_rotation_deg,
        )
        self._batches = StackBatches(
            self.acquisition,
            StackUnits(self._load_case, manager, self.through_plane),
            manager.spacing,
            self.through_plane.axis,
            len(manager.normalization_schemes),
            self.pairs,
            strides=manager.configuration["architecture"]["arch_kwargs"].get("strides", []),
            factors=factors,
            gap_mm=self.settings.gap_range_mm,
        )

    @classmethod
    def build_own_network(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = False,
    ) -> nn.Module:
        """Return the network of the plans, from stacks to logits on the HR grid."""
        return get_network_from_plans(
            configuration_manager.network_arch_class_name,
            configuration_manager.network_arch_init_kwargs,
            configuration_manager.network_arch_init_kwargs_req_import,
            num_input_channels,
            num_output_channels,
        )

    def get_dataloaders(self):
        """Return the host's loaders; where there are pairs, they draw these too, and cut patches between the slices."""
        loaders = super().get_dataloaders()
        if self.pairs:
            for batches in loaders:
                exchange_loader(batches, self._pair_loader)
        return loaders

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> ComposeTransforms:
        """Return the host's augmentation; with `in_plane_rotation` it rotates and scales in the slices' plane alone."""
        transforms = super().get_training_transforms(*args, **kwargs)
        if self.settings.in_plane_rotation:
            patch_size = tuple(int(n) for n in self.configuration_manager.patch_size)
            factor, axis = self.through_plane.factor, self.through_plane.axis
            transforms.transforms = in_plane(transforms, patch_size, factor=factor, axis=axis)
        return transforms

    def on_train_start(self):
        """Say how many pairs there are, and before training, not after it, that `--val` will lack its images."""
        super().on_train_start()
        if self.pairs:
            training, _ = self.do_split()
            count = len(set(training) & set(self.pairs))
            self.print_to_log_file(
                f"pairs: {count} of {len(training)} training cases have a real stack; {self.settings.pair_share:g} of "
                f"the samples are pairs (setting pair_share)."
                if count
                else f"WARNING: none of the {len(training)} training cases has a real stack: all samples are simulated."
            )
        try:
            self._validation_images()
        except FileNotFoundError as error:
            self.print_to_log_file(f"WARNING: validation after training, and --val, will not be possible: {error}")

    def train_step(self, batch: dict) -> dict:
        """Take the host's step on stacks of the batch."""
        return super().train_step(self._with_stacks(batch))

    def validation_step(self, batch: dict) -> dict:
        """Run the host's step on stacks of the batch."""
        return super().validation_step(self._with_stacks(batch))

    def perform_actual_validation(self, save_probabilities: bool = False):
        """Run predict-hr's code on stacks simulated from the fold's validation images; write `validation/` and scores.

        The stacks lie in `validation_stacks/` beside it. They move as the settings say, the same in every run. Real
        stacks of validation cases are predicted into `validation_pairs/`, and scored there.

        Raises:
            FileNotFoundError: if nnUNet_raw lacks the images.
            ValueError: naming the file, if an image cannot serve.
        """
        self.network.eval()
        if save_probabilities:
            self.print_to_log_file("WARNING: --npz is left out: predictions for thick slices are written without it.")
        images = self._validation_images()
        validation, real, pairs = self._simulated_validation(), self._real_validation(), self._validation_pairs()
        validation.run({case: images[case] for case in self._share_of(images)})
        if pairs:
            real.run({case: pairs[case] for case in self._share_of(pairs)})
        if self.is_ddp:
            dist.barrier()
        if self.local_rank == 0:
            self._score(validation, images)
            if pairs:
                self._score_real(real, [(case, files) for case, (files, _) in pairs.items()])
            self.print_to_log_file("Validation complete", also_print_to_console=True)

    def _check_configuration(self) -> None:
        if not self.is_thick_slice:
            name, dataset = self.configuration_name, self.plans_manager.dataset_name
            raise ValueError(
                f"{type(self).__name__} trains configurations for thick slices, and {name} of {dataset} is none: "
                f"make one with acnn-nnunet plan-hr {dataset_id(dataset)} --factor K -c {name}, and train that."
            )

    def _score(self, validation: SimulatedValidation, images: Mapping[str, Sequence[Path]]) -> None:
        """Score what was predicted for the validation cases, and write `summary.json`."""
        references = Path(self.preprocessed_dataset_folder_base) / "gt_segmentations"
        metrics = score_labels(
            validation.model, validation.predictions, references, num_processes=default_num_processes
        )
        for label in metrics["mean"]:
            self.logger.log_summary(f"final_val/class_{label}_dice", metrics["mean"][label]["Dice"])
        self.logger.log_summary("final_val/foreground_dice", metrics["foreground_mean"]["Dice"])
        self.print_to_log_file("Mean Validation Dice: ", metrics["foreground_mean"]["Dice"], also_print_to_console=True)

    def _score_real(self, real: RealValidation, pairs: Sequence[tuple[str, PairFiles]]) -> None:
        """Score what was predicted for real stacks, and write `summary.json`."""
        metrics = score_labels(real.model, real.predictions, real.references, num_processes=default_num_processes)
        self.logger.log_summary("final_val/real_stacks_dice", metrics["foreground_mean"]["Dice"])
        dice = metrics["foreground_mean"]["Dice"]
        self.print_to_log_file(f"Mean Validation Dice on {len(pairs)} real stacks: ", dice, also_print_to_console=True)

    def _with_stacks(self, batch: dict) -> dict[str, Any]:
        """Return a batch of the host's loader with stacks in the place of HR patches, as predict-hr normalises them."""
        return {**batch, "data": self._stacks_of(batch).stack}

    def _stacks_of(self, batch: dict) -> StackBatch:
        """Return the batch's stacks, and let the network put out the HR patch for their factor."""
        made = self._batches.of(batch["data"].to(self.device, non_blocking=True), batch["keys"])
        if len(self._batches.factors) > 0 and self.was_initialized:
            network: Any = self._bare_network()
            network.output.choose(made.factor, made.image.shape[2 + self.through_plane.axis])
        return made

    def _middle_thickness_mm(self) -> float | None:
        """Return how thick slices are in validation: in the middle of what training draws; None without gaps."""
        gap_mm = sum(self.settings.gap_range_mm) / 2
        return self._spacing_mm(self.through_plane.factor) - gap_mm if gap_mm else None

    def _spacing_mm(self, factor: int) -> float:
        return factor * float(self.configuration_manager.spacing[self.through_plane.axis])

    def _factors(self) -> tuple[int, ...]:
        """Return the factors of the setting, checked against gaps and pairs; none without it."""
        chosen = () if self.settings.factors is None else read_factors(self.settings.factors)
        where = f"{self.configuration_name} of {self.plans_manager.dataset_name}"
        for factor in chosen or (self.through_plane.factor,):
            spacing_mm = self._spacing_mm(factor)
            for gap_mm in self.settings.gap_range_mm:
                if gap_mm >= spacing_mm:
                    raise ValueError(
                        f"slice_gap_mm={self.settings.slice_gap_mm} leaves no slice of the {spacing_mm:g} mm between "
                        f"two of {where}: configure a smaller one."
                    )
                check_thickness(spacing_mm - gap_mm, spacing_mm, what=f"slice_gap_mm of {where} makes slices of")
        if chosen and self.pairs:
            raise ValueError(
                f"factors={self.settings.factors} simulates stacks of several spacings, and the pairs of {where} have "
                "one: configure it with pair_share=0, or leave out factors."
            )
        return chosen

    def _read_pairs(self) -> dict[str, PairRecord]:
        """Return the pairs that training may use, of all folds; refuse those of other plans."""
        if self._pairs_folder is None or self.settings.pair_share == 0:
            return {}
        records = records_of(self._pairs_folder)
        spacing_mm = tuple(float(mm) for mm in self.configuration_manager.spacing)
        for record in records:
            if not np.allclose(record.hr_spacing_mm, spacing_mm, rtol=SPACING_TOLERANCE, atol=0):
                raise ValueError(
                    f"The pairs in {self._pairs_folder} were prepared on voxels of {record.hr_spacing_mm} mm, and "
                    f"{self.configuration_name} of {self.plans_manager.dataset_name} is planned for {spacing_mm} mm: "
                    f"run acnn-nnunet plan-hr again."
                )
        return {record.case: record for record in records}

    def _pair_loader(self, host: nnUNetDataLoader) -> PairLoader:
        """Return a loader of the host's cases and their pairs, the same in all else."""
        assert self._pairs_folder is not None
        cases = host._data
        dataset = PairedDataset(
            cases,
            self._pairs_folder,
            [case for case in cases.identifiers if case in self.pairs],
            pair_share=self.settings.pair_share,
            factor=self.through_plane.factor,
            axis=self.through_plane.axis,
            num_channels=len(self.configuration_manager.normalization_schemes),
            change_intensities=not self.predicts_image,
        )
        return PairLoader(
            dataset,
            host.batch_size,
            host.patch_size,
            host.final_patch_size,
            self.label_manager,
            oversample_foreground_percent=host.oversample_foreground_percent,
            probabilistic_oversampling=self.probabilistic_oversampling,
            transforms=host.transforms,
        )

    def _share_of(self, cases: Mapping[str, Any]) -> list[str]:
        """Return the cases of this process."""
        names = list(cases)
        return names[self.local_rank :: dist.get_world_size()] if self.is_ddp else names

    def _validation_pairs(self) -> dict[str, tuple[PairFiles, PairRecord]]:
        """Return files and record of each pair of the fold's validation cases, whatever `pair_share` is."""
        if self._pairs_folder is None:
            return {}
        _, cases = self.do_split()
        references = Path(self.preprocessed_dataset_folder_base) / "gt_segmentations"
        channels = len(self.configuration_manager.normalization_schemes)
        files, _ = find_pairs(self.plans_manager.dataset_name, self.dataset_json, references, num_channels=channels)
        records = {record.case: record for record in records_of(self._pairs_folder, cases)}
        return {case: (files[case], record) for case, record in records.items() if case in files}

    def _load_case(self, case: str) -> tuple[np.ndarray, np.ndarray]:
        dataset_class = self.dataset_class or infer_dataset_class(self.preprocessed_dataset_folder)
        image, labels, *_ = dataset_class(self.preprocessed_dataset_folder, [case]).load_case(case)
        return image, labels

    def _validation_images(self) -> dict[str, list[Path]]:
        _, cases = self.do_split()
        return raw_images(self.plans_manager.dataset_name, self.dataset_json, cases)

    def _simulated_validation(self) -> SimulatedValidation:
        return SimulatedValidation(
            self._model(),
            self.acquisition,
            Inference(device=str(self.device)),
            predictions=Path(self.output_folder) / "validation",
            stacks=Path(self.output_folder) / "validation_stacks",
            log=self.print_to_log_file,
        )

    def _bare_network(self) -> nn.Module:
        network = self.network.module if self.is_ddp else self.network
        return network._orig_mod if isinstance(network, OptimizedModule) else network

    def _real_validation(self) -> RealValidation:
        return RealValidation(
            self._model(),
            Inference(device=str(self.device)),
            predictions=Path(self.output_folder) / "validation_pairs",
            references=Path(self.output_folder) / "validation_pairs_references",
            log=self.print_to_log_file,
        )

    def _model(self) -> HRModel:
        network = self._bare_network()
        bundle = ModelBundle(
            self.plans_manager,
            self.configuration_manager,
            self.dataset_json,
            self.configuration_name,
            network=network,
            fold_weights=[network.state_dict()],
            mirror_axes=tuple(self.inference_allowed_mirroring_axes or ()),
        )
        return HRModel(bundle, self.predicts_image)


class SubPixelSegTrainer(ThickSliceTrainer):
    """LR stack in, HR labels out, under the host's own loss; without the prior."""
