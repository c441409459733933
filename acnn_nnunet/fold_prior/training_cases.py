"""What a fold's training cases tell a prior before it is trained: absent labels, and the box around their anatomy."""

import math
from typing import Any

import numpy as np
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from acnn_nnunet.fold_prior.loading import channel_names
from acnn_nnunet.nnunet.cases import as_label, foreground_extents, labels_present
from acnn_nnunet.shape_prior.grids.roi_box import RoiBox, fit_box
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace


def find_absent_labels(dataset: Any, names: dict[str, Any], labels: LabelSpace, *, where: str) -> tuple[str, ...]:
    """Return the names of labels that no case of a host dataset has.

    Args:
        dataset: a host dataset, limited to the cases in question.
        names: the labels entry of dataset.json.
        labels: the meaning of the channels.
        where: dataset, configuration and fold, for the error.

    Raises:
        ValueError: if no case has any foreground.
    """
    present = labels_present(dataset, dataset.identifiers)
    if not present:
        raise _no_foreground(where)
    channels = channel_names(names, labels)
    recorded = {name: as_label(names[name]) if labels.regions else channel for channel, name in channels.items()}
    return tuple(name for name, label in recorded.items() if label not in present)


def fit_box_to_cases(
    dataset: Any,
    configuration: ConfigurationManager,
    *,
    margin: float,
    spacing_factor: float,
    ignore_label: int | None,
    where: str,
) -> RoiBox:
    """Return the box around the anatomy of a host dataset's cases, of no more voxels than a patch.

    Args:
        dataset: a host dataset.
        configuration: that it was preprocessed with.
        margin: length of the box over the 95th percentile of the anatomy's extents.
        spacing_factor: its voxels' spacing over the configuration's.
        ignore_label: the value of unannotated voxels.
        where: dataset, configuration and fold, for the error.

    Raises:
        ValueError: if no case has any foreground.
    """
    spacing_mm = np.array(configuration.spacing, dtype=float)
    extents = foreground_extents(dataset, dataset.identifiers, axes=len(spacing_mm), ignore_label=ignore_label)
    if len(extents) == 0:
        raise _no_foreground(where)
    return fit_box(
        extents * spacing_mm,
        margin=margin,
        spacing_mm=tuple(spacing_mm * spacing_factor),
        most_voxels=math.prod(configuration.patch_size),
    )


def _no_foreground(where: str) -> ValueError:
    return ValueError(
        f"No training case of {where} has any foreground: a shape prior needs labelled anatomy. "
        f"Check the labels in nnUNet_raw and preprocess again."
    )
