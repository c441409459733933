"""A model as nnU-Net keeps it: plans, dataset.json and trained networks, loaded in one way for every command."""

import contextlib
import hashlib
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
from nnunetv2.utilities.file_path_utilities import get_output_folder
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.label_handling.label_handling import LabelManager, determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn

from acnn_nnunet.nnunet.devices import check_device
from acnn_nnunet.nnunet.label_files import LabelFileReader
from acnn_nnunet.nnunet.plans import check_has_configuration, find_plans, full_dataset_name, train_command
from acnn_nnunet.nnunet.readers import choose_reader

BUILDER = "build_own_network"
"""Trainers whose `build_network_architecture` refuses nnUNetv2_predict build the network with this class method."""

_REASON_LENGTH = 200


@dataclass(frozen=True)
class ModelBundle:
    """Plans and dataset.json of a configuration, and the network that was trained with them, where there is one.

    Attributes:
        plans, configuration, dataset_json: the host's.
        name: the configuration's.
        source: the plans file.
        network: in eval mode on its device, with the weights of the first fold.
        fold_weights: state of the network in each fold.
        mirror_axes: spatial axes that the training mirrored.
    """

    plans: PlansManager
    configuration: ConfigurationManager
    dataset_json: dict[str, Any]
    name: str
    source: Path = Path()
    network: nn.Module | None = None
    fold_weights: Sequence[Mapping[str, Tensor]] = ()
    mirror_axes: tuple[int, ...] = ()

    @cached_property
    def labels(self) -> LabelManager:
        """The host's label manager."""
        return self.plans.get_label_manager(self.dataset_json)

    @cached_property
    def num_channels(self) -> int:
        """Number of input channels."""
        return determine_num_input_channels(self.plans, self.configuration, self.dataset_json)

    @cached_property
    def reader_name(self) -> str:
        """Name of the host's reader that training took."""
        asked_for = self.plans.plans.get("image_reader_writer")
        return choose_reader(self.file_ending, asked_for=asked_for, asked_in=self.source)

    @cached_property
    def reader(self) -> LabelFileReader:
        """Reads files as the host did in training."""
        return LabelFileReader(self.reader_name)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of plans, configuration and every fold's weights."""
        digest = hashlib.sha256(json.dumps([self.plans.plans, self.name], sort_keys=True, default=str).encode())
        for weights in self.fold_weights:
            for name, tensor in sorted(weights.items()):
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def networks(self) -> Iterator[nn.Module]:
        """Yield the network in eval mode, with the weights of one fold after the other."""
        assert self.network is not None
        for weights in self.fold_weights:
            self.network.load_state_dict(weights)
            yield self.network.eval()

    def resample_labels(self, values: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
        """Return labels (1, Z, Y, X), transposed and resampled to the configuration's spacing, as nnU-Net does it.

        Args:
            values: label map (Z, Y, X) of integers, axes as the host's reader gives them.
            spacing_mm: of the label map, in its order of axes.

        Raises:
            ValueError: if nothing would be left of it.
        """
        order = [int(axis) for axis in self.plans.transpose_forward]
        segmentation = np.transpose(values, order)[None].astype(np.int16)
        current, target = self.spacings_mm(spacing_mm)
        shape = compute_new_shape(segmentation.shape[1:], current, target)
        if not all(shape):
            raise ValueError("along an axis it is not half a voxel of the plans long: does its header tell mm?")
        return np.asarray(self.configuration.resampling_fn_seg(segmentation, shape, current, target))

    def spacings_mm(self, spacing_mm: Sequence[float]) -> tuple[list[float], list[float]]:
        """Return the spacing before and after resampling, of three transposed axes.

        A 2D configuration leaves the spacing between slices alone.

        Args:
            spacing_mm: of a file, axes as the host's reader gives them.
        """
        current = [float(spacing_mm[int(axis)]) for axis in self.plans.transpose_forward]
        own = [float(spacing) for spacing in self.configuration.spacing]
        return current, [*current[: len(current) - len(own)], *own]

    @property
    def dataset_name(self) -> str:
        """Full name of the dataset."""
        return self.plans.dataset_name

    @property
    def file_ending(self) -> str:
        """Ending of the dataset's files."""
        return self.dataset_json["file_ending"]


def read_bundle(plans_file: Path, dataset_file: Path, configuration: str, *, remedy: str) -> ModelBundle:
    """Return the bundle of a plans file and a dataset.json, without a network.

    Args:
        plans_file: of the host.
        dataset_file: dataset.json.
        configuration: its name.
        remedy: advice where a file is missing or spoilt.

    Raises:
        FileNotFoundError: naming the missing file and the remedy.
        ValueError: naming the file, if it is no JSON, or the plans have no such configuration.
    """
    content, dataset_json = (_read_json(file, remedy=remedy) for file in (plans_file, dataset_file))
    check_has_configuration(content, configuration, where=plans_file)
    plans = PlansManager(content)
    return ModelBundle(plans, plans.get_configuration(configuration), dataset_json, configuration, plans_file)


def planned_bundle(dataset: str, configuration: str, *, plans_identifier: str) -> ModelBundle:
    """Return the bundle of a configuration in nnUNet_preprocessed, without a network.

    Args:
        dataset: id or name.
        configuration: its name.
        plans_identifier: as on the host's -p.

    Raises:
        ValueError: for an unknown dataset or configuration.
        FileNotFoundError: if there are no plans or no dataset.json.
    """
    _, plans_file = find_plans(dataset, plans_identifier)
    remedy = f"make it with nnUNetv2_plan_and_preprocess -d {dataset}"
    return read_bundle(plans_file, plans_file.parent / "dataset.json", configuration, remedy=remedy)


def trained_bundle(
    dataset: str,
    configuration: str,
    *,
    trainer: str,
    plans_identifier: str,
    folds: Sequence[int | str],
    checkpoint_name: str,
    device: str,
    check: Callable[[ModelBundle], object] = lambda bundle: None,
) -> tuple[ModelBundle, type]:
    """Return the bundle of a model in nnUNet_results with its network, and the trainer's class.

    Args:
        dataset: id or name.
        configuration: its name.
        trainer: name of its class.
        plans_identifier: as in training.
        folds: numbers, or "all".
        checkpoint_name: of each fold.
        device: of the network.
        check: refuses plans that are of no use, before the network is built.

    Raises:
        FileNotFoundError: if nothing was trained; names the command.
        ValueError: if there is no such dataset, configuration, trainer or device, or a checkpoint cannot be used.
    """
    check_device(device)
    folder = Path(get_output_folder(full_dataset_name(dataset), trainer, plans_identifier, configuration))
    paths = [folder / f"fold_{fold}" / checkpoint_name for fold in folds]
    checkpoints = []
    for path, fold in zip(paths, folds, strict=True):
        if not path.is_file():
            command = train_command(folder.parent.name, configuration, fold, trainer, plans_identifier)
            raise FileNotFoundError(
                f"There is no {path}: train it with {command}, or choose another fold with -f or another -chk."
            )
        checkpoints.append(read_checkpoint(path, remedy="choose another -chk"))
    remedy = "nnU-Net writes it when a training starts"
    bundle = read_bundle(folder / "plans.json", folder / "dataset.json", configuration, remedy=remedy)
    check(bundle)
    trainer_class = find_trainer_class(checkpoints[0]["trainer_name"])
    network = _build_network(trainer_class, bundle)
    weights = [checkpoint["network_weights"] for checkpoint in checkpoints]
    for path, state in [*zip(paths, weights, strict=True)][::-1]:  # the first fold's stay
        _load_weights(network, state, path)
    bundle = replace(
        bundle,
        network=network.to(device).eval(),
        fold_weights=weights,
        mirror_axes=tuple(checkpoints[0].get("inference_allowed_mirroring_axes") or ()),
    )
    return bundle, trainer_class


def read_checkpoint(path: Path, *, remedy: str) -> dict[str, Any]:
    """Return a host checkpoint, on the CPU.

    Raises:
        ValueError: naming the path and the remedy, if the file is truncated or no checkpoint.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=False)
        if isinstance(checkpoint, dict) and "network_weights" in checkpoint and "trainer_name" in checkpoint:
            return checkpoint
        reason = "it has no network_weights"
    except MemoryError:
        raise
    except Exception as error:  # pickle, zip and torch each have their own
        reason = _in_short(error)
    raise ValueError(f"The checkpoint {path} is truncated or no checkpoint of nnU-Net ({reason}): {remedy}.")


def find_trainer_class(name: str) -> Any:
    """Return the class that `-tr NAME` stands for.

    Raises:
        ValueError: if nnU-Net does not find it.
    """
    # The host prints where it searches, and imports all of its trainers, whose libraries warn.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return recursive_find_trainer_class_by_name(name)
        except RuntimeError as error:
            raise ValueError(
                f"nnU-Net does not find the trainer {name}: acnn-nnunet doctor says what is missing."
            ) from error


def _read_json(path: Path, *, remedy: str) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: {remedy}.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): {remedy}.") from error


def _build_network(trainer_class: Any, bundle: ModelBundle) -> nn.Module:
    build = getattr(trainer_class, BUILDER, trainer_class.build_network_architecture)
    return build(
        bundle.plans,
        bundle.configuration,
        bundle.num_channels,
        bundle.labels.num_segmentation_heads,
        enable_deep_supervision=False,
    )


def _load_weights(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"{path} does not fit the network of plans.json beside it ({_in_short(error)}): train it again."
        ) from error


def _in_short(error: Exception) -> str:
    return " ".join(str(error).split())[:_REASON_LENGTH]
