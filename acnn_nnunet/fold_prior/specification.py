"""The specification of a prior, from nnU-Net's plans and dataset.json; the box of one that is being trained."""

from typing import Any

import torch
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from acnn_nnunet.nnunet.checkpoints import read_checkpoint_errors
from acnn_nnunet.nnunet.settings import Settings
from acnn_nnunet.shape_prior.grids.roi_box import RoiBox
from acnn_nnunet.shape_prior.networks.tl_network import Stage
from acnn_nnunet.shape_prior.prior_file import SPEC_KEY, PriorSpec


def describe_prior(
    plans: PlansManager,
    configuration: ConfigurationManager,
    configuration_name: str,
    dataset_json: dict[str, Any],
    fold: int | str,
    *,
    stage: Stage = Stage.AUTOENCODER,
    training_cases: tuple[str, ...] = (),
    absent_labels: tuple[str, ...] = (),
    complete: bool = False,
    outside_share: float = 0.0,
    reconstruction_dice: dict[str, float] | None = None,
    box: RoiBox | None = None,
) -> PriorSpec:
    """Return the specification of the prior that ShapePriorTrainer makes of a configuration and fold.

    Without a `box` it is that of the configuration's patch.
    """
    labels = plans.get_label_manager(dataset_json)
    settings = Settings.from_configuration(configuration.configuration)
    return PriorSpec(
        dataset=plans.dataset_name,
        plans=plans.plans_name,
        configuration=configuration_name,
        fold=fold,
        labels=dict(dataset_json["labels"]),
        num_channels=labels.num_segmentation_heads,
        regions=labels.has_regions,
        ignore_label=labels.ignore_label,
        image_channels=determine_num_input_channels(plans, configuration, dataset_json),
        grid=settings.grid,
        grid_size=tuple(int(n) for n in configuration.patch_size) if box is None else box.size,
        spacing_mm=tuple(float(s) for s in configuration.spacing) if box is None else box.spacing_mm,
        architecture=settings.architecture,
        code_size=settings.code_size,
        stage=stage.value,
        training_cases=tuple(training_cases),
        absent_labels=tuple(absent_labels),
        complete=complete,
        mirroring=settings.mirrors(with_prior=True),
        rotation_deg=settings.rotation_deg,
        outside_share=outside_share,
        reconstruction_dice=reconstruction_dice or {},
    )


def box_of_checkpoint(checkpoint: dict | str) -> RoiBox:
    """Return the box that a checkpoint of ShapePriorTrainer, its content or its path, was trained on.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read.
    """
    if isinstance(checkpoint, str):
        path = checkpoint
        content = read_checkpoint_errors(path, lambda: torch.load(path, map_location="cpu", weights_only=True))
    else:
        content = checkpoint
    spec = PriorSpec.from_plain(content[SPEC_KEY])
    return RoiBox(spec.grid_size, spec.spacing_mm)
