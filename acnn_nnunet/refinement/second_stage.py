"""A trained second stage: a network from label maps to label maps, run as nnU-Net preprocesses and writes them."""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.file_results import write_files
from acnn_nnunet.casewise.recorded import header_of
from acnn_nnunet.casewise.work import Outcome, PerWorker
from acnn_nnunet.files.folders import find_images
from acnn_nnunet.files.on_demand import OnDemand
from acnn_nnunet.files.safe_writes import make_output_folder
from acnn_nnunet.fold_prior.held_out import as_target
from acnn_nnunet.fold_prior.loading import label_space
from acnn_nnunet.nnunet.labels import known_values
from acnn_nnunet.nnunet.models import ModelBundle, find_trainer_class, trained_bundle
from acnn_nnunet.refinement.predictions import write_label_map
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

LABEL_MAPS_ATTRIBUTE = "takes_label_maps"
"""A trainer class whose network takes label maps says so with this attribute, True."""


@dataclass(frozen=True)
class SecondStageOptions:
    """The second stage to take.

    Attributes:
        dataset: id or name.
        configuration: its name.
        trainer: AESegTrainer or AESegMTrainer.
        fold: its number, or "all".
        plans_identifier: as in training.
        checkpoint_name: of the fold.
        device: cpu, cuda or mps.
    """

    dataset: str
    configuration: str
    trainer: str = "AESegTrainer"
    fold: int | str = 0
    plans_identifier: str = "nnUNetPlans"
    checkpoint_name: str = "checkpoint_final.pth"
    device: str = "cpu"


@dataclass(frozen=True)
class Refiner:
    """Corrects label maps with a network from label maps to label logits.

    Attributes:
        bundle: network, plans and dataset.json.
        device: where the network is.
    """

    bundle: ModelBundle
    device: str

    @cached_property
    def labels(self) -> LabelSpace:
        """What the channels of a label map mean."""
        return label_space(self.bundle.plans, self.bundle.dataset_json)

    @cached_property
    def known_labels(self) -> set[int]:
        """The values that a label map may have."""
        return known_values(self.bundle.dataset_json["labels"].values())

    def refine_file(self, source: Path, target: Path) -> None:
        """Write the corrected label map of a file.

        Raises:
            ValueError: naming the file, if it cannot be read or holds an unknown label.
            WriteError: if the result cannot be written.
        """
        label_map, properties = self.bundle.reader.read_with_properties(source)
        if unknown := sorted(set(np.unique(label_map.values).tolist()) - self.known_labels):
            names = ", ".join(f"{name} {value}" for name, value in self.bundle.dataset_json["labels"].items())
            raise ValueError(f"{source} holds the label {unknown[0]}, which the second stage does not know: {names}.")
        corrected = self.refine(label_map.volume, tuple(properties["spacing"]))
        write_label_map(corrected, properties, target, self.bundle)

    @torch.no_grad()
    def refine(self, label_map: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
        """Return the corrected label map (Z, Y, X) of one, axes as the host's reader gives them.

        Labels are resampled to the configuration's spacing, and logits back, as the host does it.
        """
        plans = self.bundle.plans
        segmentation = self.bundle.resample_labels(label_map, spacing_mm)
        maps = self.labels.target_maps(as_target(segmentation, self.bundle.dataset_json["labels"], self.labels)[None])
        before = [label_map.shape[int(axis)] for axis in plans.transpose_forward]
        current, target = self.bundle.spacings_mm(spacing_mm)
        logits = self.bundle.configuration.resampling_fn_probabilities(self._logits(maps), before, target, current)
        corrected = np.asarray(self.bundle.labels.convert_logits_to_segmentation(torch.as_tensor(logits)))
        dtype = np.uint8 if max(self.known_labels) < 256 else np.uint16
        return np.transpose(corrected.astype(dtype), [int(axis) for axis in plans.transpose_backward])

    def _logits(self, maps: Tensor) -> Tensor:
        """Return logits (C, Z, Y, X), on the CPU, of label maps (1, C, Z, Y, X); a 2D network sees slice by slice."""
        network = self.bundle.network
        assert network is not None
        if len(self.bundle.configuration.patch_size) == 3:
            return network(maps.to(self.device)).float().cpu()[0]
        slices = rearrange(maps, "1 c z y x -> z c y x").to(self.device)
        return rearrange(network(slices).float().cpu(), "z c y x -> c z y x")


def refine_folder(
    source: Path,
    output: Path,
    refiner: PerWorker[Refiner],
    *,
    options: SecondStageOptions | None = None,
    execution: Execution = HERE,
) -> Outcome:
    """Write the corrected label map of each file of a folder under the same name.

    Args:
        source: folder of label maps.
        output: folder to write; not the source.
        refiner: corrects them.
        options: that it was loaded by, for the journal.
        execution: where the label maps are corrected.

    Raises:
        FileNotFoundError: if there is nothing to read.
        ValueError: if source and output are one.
        OSError: if the output cannot be written.
    """
    source, output, ending = Path(source), Path(output), refiner().bundle.file_ending
    files = find_images(source, (ending,), may_be_none=True) if source.is_dir() else {}
    if not files:
        raise FileNotFoundError(f"{source} holds no label map *{ending}: name a folder of predictions.")
    make_output_folder(output, source=source)
    cases = OnDemand(files, lambda case: (files[case], output / files[case].name))
    header = header_of("refine --method second-stage", source, options, cases, model_sha256=refiner().bundle.sha256)
    return write_files(partial(_refine_file, refiner), cases, output, header=header, execution=execution, unit="case")


def load_refiner(options: SecondStageOptions) -> Refiner:
    """Load a second stage from nnUNet_results.

    Raises:
        FileNotFoundError: if it was not trained; names the command.
        ValueError: if there is no such dataset, trainer or device, the trainer's network takes images, or a checkpoint
            cannot be used.
    """
    if not getattr(find_trainer_class(options.trainer), LABEL_MAPS_ATTRIBUTE, False):
        raise ValueError(
            f"The network of {options.trainer} takes images: refine with -tr AESegTrainer or AESegMTrainer."
        )
    bundle, _ = trained_bundle(
        options.dataset,
        options.configuration,
        trainer=options.trainer,
        plans_identifier=options.plans_identifier,
        folds=[options.fold],
        checkpoint_name=options.checkpoint_name,
        device=options.device,
    )
    return Refiner(bundle, options.device)


def _refine_file(refiner: PerWorker[Refiner], files: tuple[Path, Path]) -> None:
    refiner().refine_file(*files)
