"""`acnn-nnunet refine`: a second stage on the label maps of a first one."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from nnunetv2.utilities.file_path_utilities import get_output_folder
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn
from tqdm import tqdm

from acnn_nnunet.files.safe_writes import make_output_folder
from acnn_nnunet.fold_prior.held_out import as_target
from acnn_nnunet.nnunet.checkpoints import read_checkpoint_errors
from acnn_nnunet.nnunet.devices import check_device
from acnn_nnunet.nnunet.label_files import LabelFileReader, choose_reader
from acnn_nnunet.nnunet.labels import known_values
from acnn_nnunet.nnunet.models import find_trainer_class
from acnn_nnunet.nnunet.plans import full_dataset_name, train_command
from acnn_nnunet.nnunet.resampling import resample_labels, spacings_mm
from acnn_nnunet.shape_prior.label_space import LabelSpace

LABEL_MAPS_ATTRIBUTE = "takes_label_maps"
"""A trainer class whose network takes label maps says so with this attribute, True."""


@dataclass(frozen=True)
class Refiner:
    """A network from label maps to label logits, and what its plans say.

    Attributes:
        network: on its device, in eval mode.
        plans, configuration, dataset_json: of its training.
        device: where the network is.
    """

    network: nn.Module
    plans: PlansManager
    configuration: ConfigurationManager
    dataset_json: dict[str, Any]
    device: str

    @cached_property
    def manager(self):
        """The host's label manager."""
        return self.plans.get_label_manager(self.dataset_json)

    @cached_property
    def labels(self) -> LabelSpace:
        """What the channels of a label map mean."""
        manager = self.manager
        return LabelSpace(manager.num_segmentation_heads, manager.has_regions, manager.ignore_label)

    @cached_property
    def known_labels(self) -> set[int]:
        """The values that a label map may have."""
        return known_values(self.dataset_json["labels"].values())

    @torch.no_grad()
    def refine(self, label_map: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
        """Return the corrected label map (Z, Y, X) of one, axes as the host's reader gives them.

        It is brought to the configuration's spacing as the host does it with labels, and logits back as it does it with
        those of its networks.
        """
        segmentation = resample_labels(label_map, spacing_mm, self.plans, self.configuration)
        maps = self.labels.target_maps(as_target(segmentation, self.dataset_json["labels"], self.labels)[None])
        before = [label_map.shape[int(axis)] for axis in self.plans.transpose_forward]
        current, target = spacings_mm(spacing_mm, self.plans, self.configuration)
        logits = self.configuration.resampling_fn_probabilities(self._logits(maps), before, target, current)
        corrected = np.asarray(self.manager.convert_logits_to_segmentation(torch.as_tensor(logits)))
        dtype = np.uint8 if max(self.known_labels) < 256 else np.uint16
        return np.transpose(corrected.astype(dtype), [int(axis) for axis in self.plans.transpose_backward])

    def _logits(self, maps: Tensor) -> Tensor:
        """Return logits (C, Z, Y, X), on the CPU, of label maps (1, C, Z, Y, X); a 2D network sees slice by slice."""
        if len(self.configuration.patch_size) == 3:
            return self.network(maps.to(self.device)).float().cpu()[0]
        slices = rearrange(maps, "1 c z y x -> z c y x").to(self.device)
        return rearrange(self.network(slices).float().cpu(), "z c y x -> c z y x")


def refine_folder(source: Path, output: Path, refiner: Refiner) -> tuple[str, bool]:
    """Write the corrected label map of each file of a folder under the same name.

    Args:
        source: folder of label maps.
        output: folder to write; not the source.
        refiner: what corrects.

    Returns:
        What was done, and whether all could be.

    Raises:
        FileNotFoundError: if there is nothing to read.
        ValueError: if source and output are one.
        OSError: if the output cannot be written.
    """
    source, output, ending = Path(source), Path(output), refiner.dataset_json["file_ending"]
    files = sorted(source.glob(f"*{ending}")) if source.is_dir() else []
    if not files:
        raise FileNotFoundError(f"{source} holds no label map *{ending}: name a folder of predictions with -i.")
    make_output_folder(output, source=source)
    problems = []
    for file in tqdm(files, unit="case", disable=None):
        try:
            _refine_file(file, output / file.name, refiner)
        except ValueError as error:
            problems.append(str(error))
    done = f"{output}: {len(files) - len(problems)} of {len(files)} done"
    return "\n".join([done, *problems]), not problems


def load_refiner(
    dataset: str,
    configuration: str,
    *,
    trainer: str,
    plans_identifier: str = "nnUNetPlans",
    fold: int | str = 0,
    checkpoint_name: str = "checkpoint_final.pth",
    device: str = "cpu",
) -> Refiner:
    """Load a second stage from nnUNet_results.

    Raises:
        FileNotFoundError: if it was not trained; names the command.
        ValueError: if there is no such dataset, trainer or device, the trainer's network takes images, or a checkpoint
            cannot be used.
    """
    check_device(device)
    name = full_dataset_name(dataset)
    trainer_class = find_trainer_class(trainer)
    if not getattr(trainer_class, LABEL_MAPS_ATTRIBUTE, False):
        raise ValueError(f"The network of {trainer} takes images: refine with -tr AESegTrainer or AESegMTrainer.")
    folder = Path(get_output_folder(name, trainer, plans_identifier, configuration))
    path = folder / f"fold_{fold}" / checkpoint_name
    if not path.is_file():
        command = train_command(name, configuration, fold, trainer, plans_identifier)
        raise FileNotFoundError(f"There is no {path}: train it with {command}, or choose another -f.")
    checkpoint = read_checkpoint_errors(path, lambda: torch.load(path, map_location=device, weights_only=False))
    plans = PlansManager(json.loads((folder / "plans.json").read_text()))
    dataset_json = json.loads((folder / "dataset.json").read_text())
    manager = plans.get_configuration(configuration)
    heads = plans.get_label_manager(dataset_json).num_segmentation_heads
    network = trainer_class.build_own_network(plans, manager, heads, heads)
    network.load_state_dict(checkpoint["network_weights"])
    return Refiner(network.to(device).eval(), plans, manager, dataset_json, device)


def _refine_file(source: Path, target: Path, refiner: Refiner) -> None:
    ending = refiner.dataset_json["file_ending"]
    reader = choose_reader(ending, asked_for=refiner.plans.plans.get("image_reader_writer"))
    label_map = LabelFileReader(reader).read(source)
    if unknown := sorted(set(np.unique(label_map.values).tolist()) - refiner.known_labels):
        names = ", ".join(f"{name} {value}" for name, value in refiner.dataset_json["labels"].items())
        raise ValueError(f"{source} holds the label {unknown[0]}, which the second stage does not know: {names}.")
    host_reader = refiner.plans.image_reader_writer_class()
    _, properties = LabelFileReader(reader).read_image(source)
    corrected = refiner.refine(label_map.volume, tuple(properties["spacing"]))
    # The host's writers choose the format by the ending, which the file keeps while it is written beside its name.
    beside = target.with_name(f".partial-{target.name}")
    try:
        host_reader.write_seg(corrected, str(beside), properties)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
