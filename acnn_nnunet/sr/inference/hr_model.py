"""A trained LR-in/HR-out model as nnU-Net leaves it on disk."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.file_path_utilities import get_output_folder
from nnunetv2.utilities.label_handling.label_handling import LabelManager, determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn

from acnn_nnunet.nnunet.plans import full_dataset_name, train_command
from acnn_nnunet.nnunet.trainer_classes import find_trainer_class
from acnn_nnunet.sr.stack_geometry import ThroughPlane

IMAGE_ATTRIBUTE = "predicts_image"
"""A trainer class whose network puts out images says so with this attribute, True; others put out labels."""

BUILDER = "build_own_network"
"""Trainers whose `build_network_architecture` refuses nnUNetv2_predict build the network with this class method."""


@dataclass(frozen=True)
class HRModel:
    """A network with the weights of its folds, and what its plans say.

    Attributes:
        network: on its device.
        fold_weights: state of each fold.
        plans: of the dataset.
        configuration: planned by plan-hr.
        dataset: dataset.json.
        predicts_image: whether the network puts out an image, not labels.
        mirror_axes: spatial axes that the training mirrored.
        through_plane: factor and axis.
        labels: the host's label manager.
        num_channels: of the input.

    Raises:
        ValueError: if the configuration was not planned for thick slices.
    """

    network: nn.Module
    fold_weights: Sequence[Mapping[str, Tensor]]
    plans: PlansManager
    configuration: ConfigurationManager
    dataset: Mapping[str, Any]
    predicts_image: bool
    mirror_axes: tuple[int, ...]
    through_plane: ThroughPlane = field(init=False)
    labels: LabelManager = field(init=False)
    num_channels: int = field(init=False)

    def __post_init__(self):
        through_plane = ThroughPlane.from_configuration(self.configuration.configuration)
        object.__setattr__(self, "through_plane", through_plane)
        object.__setattr__(self, "labels", self.plans.get_label_manager(self.dataset))
        channels = determine_num_input_channels(self.plans, self.configuration, dict(self.dataset))
        object.__setattr__(self, "num_channels", channels)

    @property
    def lr_patch_size(self) -> list[int]:
        """The patch that the network takes, in its own order of axes."""
        factor, axis = self.through_plane.factor, self.through_plane.axis
        return [n // factor if i == axis else n for i, n in enumerate(self.configuration.patch_size)]


def load_hr_model(
    dataset: str,
    configuration: str,
    *,
    trainer: str,
    plans_identifier: str = "nnUNetPlans",
    folds: Sequence[int | str] = (0, 1, 2, 3, 4),
    checkpoint_name: str = "checkpoint_final.pth",
    device: torch.device | str = "cpu",
) -> HRModel:
    """Load a model from nnUNet_results.

    Args:
        dataset: id or name.
        configuration: planned by plan-hr.
        trainer: name of its class.
        plans_identifier: as in training.
        folds: numbers, or "all".
        checkpoint_name: of each fold.
        device: of the network.

    Raises:
        FileNotFoundError: if nothing was trained; names the command.
        ValueError: if the model is none for thick slices or a checkpoint cannot be used.
    """
    folder = Path(get_output_folder(full_dataset_name(dataset), trainer, plans_identifier, configuration))
    checkpoints = [
        _load_checkpoint(folder, fold, checkpoint_name, trainer=trainer, configuration=configuration) for fold in folds
    ]
    plans = PlansManager(_load_json(folder / "plans.json"))
    dataset_json = _load_json(folder / "dataset.json")
    if configuration not in plans.plans["configurations"]:
        raise ValueError(f"{folder / 'plans.json'} has no configuration {configuration}: is it another model's?")
    manager = plans.get_configuration(configuration)
    # Before the network is built: a configuration without factor and axis has another kind of network.
    ThroughPlane.from_configuration(manager.configuration, where=f"The configuration {configuration} of {folder}")
    trainer_class = find_trainer_class(checkpoints[0]["trainer_name"])
    build = getattr(trainer_class, BUILDER, trainer_class.build_network_architecture)
    network = build(
        plans,
        manager,
        determine_num_input_channels(plans, manager, dataset_json),
        plans.get_label_manager(dataset_json).num_segmentation_heads,
        enable_deep_supervision=False,
    )
    weights = [checkpoint["network_weights"] for checkpoint in checkpoints]
    for fold, state in zip(folds, weights, strict=True):
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(
                f"{folder / f'fold_{fold}' / checkpoint_name} does not fit the network of plans.json beside it "
                f"({' '.join(str(error).split())[:200]}): train it anew."
            ) from error
    return HRModel(
        network=network.to(device).eval(),
        fold_weights=weights,
        plans=plans,
        configuration=manager,
        dataset=dataset_json,
        predicts_image=bool(getattr(trainer_class, IMAGE_ATTRIBUTE, False)),
        mirror_axes=tuple(checkpoints[0].get("inference_allowed_mirroring_axes") or ()),
    )


def _load_checkpoint(folder: Path, fold: int | str, name: str, *, trainer: str, configuration: str) -> dict[str, Any]:
    path = folder / f"fold_{fold}" / name
    if not path.is_file():
        dataset, plans = folder.parent.name, folder.name.split("__")[1]
        command = train_command(dataset, configuration, fold, trainer, plans)
        raise FileNotFoundError(
            f"There is no {path}: train it with {command}, or choose other folds with -f or another -chk."
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=False)
        if isinstance(checkpoint, dict) and "network_weights" in checkpoint and "trainer_name" in checkpoint:
            return checkpoint
        reason = "it has no network_weights"
    except MemoryError:
        raise
    except Exception as error:  # pickle, zip and torch each have their own
        reason = " ".join(str(error).split())[:200]
    raise ValueError(f"The checkpoint {path} is truncated or no checkpoint of nnU-Net ({reason}): choose another -chk.")


def _load_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: nnU-Net writes it when a training starts.")
    return json.loads(path.read_text())
