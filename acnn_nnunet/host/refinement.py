"""`acnn-nnunet refine`: a second stage on the label maps of a first one."""

import contextlib
import io
import json
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
from nnunetv2.utilities.file_path_utilities import get_output_folder
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn
from tqdm import tqdm

from acnn_nnunet.host.checkpoints import read_checkpoint_errors
from acnn_nnunet.host.dataset_names import full_dataset_name, train_command
from acnn_nnunet.host.devices import check_device
from acnn_nnunet.host.held_out import as_target
from acnn_nnunet.host.label_files import LabelFileReader, choose_reader
from acnn_nnunet.shape_prior.label_space import LabelSpace

BUILDER = "build_refiner"
"""A trainer class whose network takes label maps builds it with this method."""


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
        values = self.dataset_json["labels"].values()
        return {0} | {int(v) for value in values for v in (value if isinstance(value, (list, tuple)) else [value])}

    @torch.no_grad()
    def refine(self, label_map: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
        """Return the corrected label map (Z, Y, X) of one, axes as the host's reader gives them.

        It is brought to the configuration's spacing as the host does it with labels, and logits back as it does it with
        those of its networks.
        """
        order = [int(axis) for axis in self.plans.transpose_forward]
        segmentation = np.transpose(label_map, order)[None].astype(np.int16)
        current, target = [float(spacing_mm[axis]) for axis in order], [float(s) for s in self.configuration.spacing]
        before = segmentation.shape[1:]
        shape = compute_new_shape(before, current, target)
        segmentation = np.asarray(self.configuration.resampling_fn_seg(segmentation, shape, current, target))
        maps = self.labels.target_maps(as_target(segmentation, self.dataset_json["labels"], self.labels)[None])
        logits = self.network(maps.to(self.device)).float().cpu()[0]
        logits = self.configuration.resampling_fn_probabilities(logits, before, target, current)
        corrected = np.asarray(self.manager.convert_logits_to_segmentation(torch.as_tensor(logits)))
        dtype = np.uint8 if max(self.known_labels) < 256 else np.uint16
        return np.transpose(corrected.astype(dtype), [int(axis) for axis in self.plans.transpose_backward])


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
    if source.resolve() == output.resolve():
        raise ValueError(f"{output} is the folder that is read: choose another one with -o.")
    output.mkdir(parents=True, exist_ok=True)
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
    trainer_class = _find_trainer(trainer)
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
    network = getattr(trainer_class, BUILDER)(plans, manager, heads, heads)
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
    values = label_map.values.reshape((1,) * (3 - label_map.values.ndim) + label_map.values.shape)
    corrected = refiner.refine(values, tuple(properties["spacing"]))
    # The host's writers choose the format by the ending, which the file keeps while it is written beside its name.
    beside = target.with_name(f".partial-{target.name}")
    try:
        host_reader.write_seg(corrected, str(beside), properties)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _find_trainer(name: str) -> Any:
    # The host prints where it searches, and imports all of its trainers, whose libraries warn.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            trainer_class = recursive_find_trainer_class_by_name(name)
        except RuntimeError as error:
            raise ValueError(
                f"nnU-Net does not find the trainer {name}: acnn-nnunet doctor says what is missing."
            ) from error
    if not hasattr(trainer_class, BUILDER):
        raise ValueError(f"The network of {name} takes images: refine with -tr AESegTrainer or AESegMTrainer.")
    return trainer_class
