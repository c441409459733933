"""An LR-in/HR-out configuration: nnU-Net's plan of an HR configuration, seen on the grid of its thick-slice stacks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from acnn_nnunet.nnunet.plans import HR_KEY
from acnn_nnunet.sr.network import SubPixelUNet
from acnn_nnunet.sr.stack_geometry import ThroughPlane

# nnU-Net's planner keeps these in its instances, which cannot be made without raw data; a test compares them.
MIN_EDGE = 4  # of the deepest feature maps
MIN_BATCH_SIZE = 2
MAX_DATASET_SHARE = 0.05  # of the dataset's voxels in one batch
_NO_LIMIT = 999999


def hr_configuration(
    plans: dict[str, Any], base: Mapping[str, Any], dataset_json: dict[str, Any], through_plane: ThroughPlane
) -> dict[str, Any]:
    """Return the entries of the new configuration that it does not inherit.

    Args:
        plans: of the dataset.
        base: the resolved HR configuration.
        dataset_json: of the dataset.
        through_plane: factor and axis of the stacks.
    """
    factor, axis = through_plane.factor, through_plane.axis
    stack, strides, kernels = _topology(base["spacing"], base["patch_size"], factor, axis)
    widths = base["architecture"]["arch_kwargs"]["features_per_stage"]
    architecture = {
        "network_class_name": f"{SubPixelUNet.__module__}.{SubPixelUNet.__name__}",
        "arch_kwargs": {
            "factor": factor,
            "axis": axis,
            "features_per_stage": [widths[min(i, len(widths) - 1)] for i in range(len(strides))],
            "kernel_sizes": kernels,
            "strides": strides,
            "n_conv_per_stage": 2,
            "n_conv_per_stage_decoder": 2,
        },
        "_kw_requires_import": [],
    }
    patch = [n * factor if i == axis else n for i, n in enumerate(stack)]

    manager = PlansManager(plans)
    channels = (
        determine_num_input_channels(manager, ConfigurationManager(dict(base)), dataset_json),
        manager.get_label_manager(dataset_json).num_segmentation_heads,
    )
    budget = _memory(base["patch_size"], channels, base["architecture"]) * base["batch_size"]
    dataset_voxels = math.prod(base["median_image_size_in_voxels"]) * dataset_json["numTraining"]
    batch_size = min(
        round(budget / _memory(stack, channels, architecture)),
        round(dataset_voxels * MAX_DATASET_SHARE / math.prod(patch)),
    )
    return {
        "batch_size": max(batch_size, MIN_BATCH_SIZE),
        "patch_size": patch,
        "architecture": architecture,
        HR_KEY: asdict(through_plane),
    }


def _topology(
    spacing: Sequence[float], patch: Sequence[int], factor: int, axis: int
) -> tuple[list[int], list[list[int]], list[list[int]]]:
    """Return the LR patch, and each stage's strides and kernel sizes.

    The host's planner pads a patch until its topology divides it. Here only the through-plane axis may grow, and only
    where K does not divide it; elsewhere an axis is no longer halved where that would leave a rest.
    """
    lr_spacing, stack = [float(s) for s in spacing], [int(n) for n in patch]
    lr_spacing[axis] *= factor
    stack[axis] = math.ceil(patch[axis] / factor)
    _, pooling, kernels, padded, _ = get_pool_and_conv_props(lr_spacing, stack, MIN_EDGE, _NO_LIMIT)
    if patch[axis] % factor:
        stack[axis] = int(padded[axis])
    strides, size = [[1] * len(stack)], list(stack)
    for stage in pooling[1:]:
        stride = [s if n % s == 0 else 1 for n, s in zip(size, stage, strict=True)]
        if max(stride) == 1:
            break
        strides.append(stride)
        size = [n // s for n, s in zip(size, stride, strict=True)]
    return stack, strides, [list(kernel) for kernel in kernels[: len(strides)]]


def _memory(patch: Sequence[int], channels: tuple[int, int], architecture: Mapping[str, Any]) -> int:
    """Return the host's estimate of what a sample takes, in values.

    The host's own function for it sets as many threads as nnUNet_n_proc_DA says, and fails where that is 0.
    """
    network = get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        *channels,
        allow_init=False,
    )
    return int(network.compute_conv_feature_map_size(tuple(patch)))
