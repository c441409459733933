"""LR-in/HR-out configurations: nnU-Net's plan of an HR configuration, seen on the grid of its thick-slice stacks."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.nnunet.plans import HR_KEY, check_configuration_name, find_plans
from acnn_nnunet.sr.network import SubPixelUNet
from acnn_nnunet.sr.stack_geometry import ThroughPlane

# nnU-Net's planner keeps these in its instances, which cannot be made without raw data; a test compares them.
MIN_EDGE = 4  # of the deepest feature maps
MIN_BATCH_SIZE = 2
MAX_DATASET_SHARE = 0.05  # of the dataset's voxels in one batch
_NO_LIMIT = 999999


def plan_hr(
    dataset: str,
    *,
    factor: int,
    base: str = "3d_fullres",
    plans_identifier: str = "nnUNetPlans",
    name: str | None = None,
    axis: int | None = None,
) -> str:
    """Write the configuration `3d_hr_xK` into the plans: it inherits the HR one and shares its preprocessed data.

    The patch is the base's where K divides it, or else the nearest larger one that the network can halve; the network's
    topology is planned for the LR patch and spacing, its widths are the base's; the batch takes as much memory as the
    base's. A configuration that was so written from the same base is replaced.

    Args:
        dataset: id or name.
        factor: K, HR slices in an LR slice.
        base: the HR configuration, 3D.
        plans_identifier: name of the plans file without suffix.
        name: of the new configuration; None is `3d_hr_xK`.
        axis: the through-plane axis of the NIfTI files; None is the axis of the largest spacing, and the last one where
            all are equal.

    Returns:
        A sentence that says what was written.

    Raises:
        ValueError: for an unknown dataset or configuration, a base, factor or axis that cannot work, or a taken name.
        FileNotFoundError: if there are no such plans.
    """
    dataset_name, plans_file = find_plans(dataset, plans_identifier)
    plans = json.loads(plans_file.read_text())
    dataset_json = json.loads((plans_file.parent / "dataset.json").read_text())
    name = f"3d_hr_x{factor}" if name is None else name
    check_configuration_name(name)
    configuration = _check_base(plans, base, where=plans_file)
    _check_name(plans["configurations"], name, base=base, where=plans_file)

    nifti_axis, plans_axis = _through_plane_axis(configuration["spacing"], plans["transpose_forward"], axis)
    _check_factor(configuration, factor, plans_axis, base=base, nifti_axis=nifti_axis)
    entry = _plan(plans, configuration, dataset_json, ThroughPlane(factor, plans_axis))
    plans["configurations"][name] = {"inherits_from": base, **entry}
    write_json(plans_file, plans)

    patch = entry["patch_size"]
    stack = [n // factor if i == plans_axis else n for i, n in enumerate(patch)]
    sentence = (
        f"{dataset_name}: wrote configuration {name} (from {base}; every {factor} slices along NIfTI axis {nifti_axis} "
        f"are one; patch {_times(stack)} in, {_times(patch)} out; batch size {entry['batch_size']}) to {plans_file}"
    )
    if patch != list(configuration["patch_size"]):
        sentence += f". The patch is not {base}'s: a prior for it is trained on {name} itself"
    return sentence


def _plan(
    plans: dict[str, Any], base: Mapping[str, Any], dataset_json: dict[str, Any], through_plane: ThroughPlane
) -> dict[str, Any]:
    """Return what the new configuration says itself."""
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


def _through_plane_axis(
    spacing: Sequence[float], transpose_forward: Sequence[int], axis: int | None
) -> tuple[int, int]:
    """Return the through-plane axis as NIfTI files count (X, Y, Z) and as the preprocessed arrays do."""
    if axis is None:
        isotropic = np.allclose(spacing, spacing[0], rtol=1e-3)
        axis = 2 if isotropic else 2 - transpose_forward[int(np.argmax(spacing))]
    if axis not in (0, 1, 2):
        raise ValueError(f"There is no NIfTI axis {axis}: --axis is 0, 1 or 2.")
    return axis, list(transpose_forward).index(2 - axis)


def _check_base(plans: dict[str, Any], base: str, *, where: Path) -> dict[str, Any]:
    """Return the resolved configuration that shall be inherited from."""
    if base not in plans["configurations"]:
        raise ValueError(f"{where} has no configuration {base}, only {', '.join(plans['configurations'])}.")
    configuration = PlansManager(plans).get_configuration(base).configuration
    if len(configuration["patch_size"]) != 3:
        raise ValueError(f"{base} is a 2D configuration and sees no slices: choose a 3D one with -c.")
    if configuration.get("previous_stage") or configuration.get("next_stage"):
        raise ValueError(f"{base} is a stage of a cascade, which plan-hr does not support: choose another with -c.")
    if HR_KEY in configuration:
        raise ValueError(f"{base} is already planned for thick slices: choose the one it inherits from with -c.")
    if "features_per_stage" not in configuration["architecture"]["arch_kwargs"]:
        raise ValueError(f"{base} has a network without stages: choose one with a U-Net of nnU-Net's with -c.")
    return configuration


def _check_name(configurations: Mapping[str, Any], name: str, *, base: str, where: Path) -> None:
    present = configurations.get(name)
    if present is not None and (HR_KEY not in present or present.get("inherits_from") != base):
        raise ValueError(f"{where} has another configuration {name}: choose another name with -n.")


def _check_factor(configuration: Mapping[str, Any], factor: int, axis: int, *, base: str, nifti_axis: int) -> None:
    if factor < 2:
        raise ValueError(f"--factor says how many HR slices make a thick one: 2 or more, not {factor}.")
    for what, shape in (
        (f"median image of {base}", configuration["median_image_size_in_voxels"]),
        (f"patch of {base}", configuration["patch_size"]),
    ):
        slices = int(shape[axis])
        if slices // factor < MIN_EDGE:
            largest = slices // MIN_EDGE
            remedy = f"the largest factor is {largest}" if largest >= 2 else "none is small enough"
            raise ValueError(
                f"--factor {factor} is too large for the {what}, which has {slices} slices along NIfTI axis "
                f"{nifti_axis}, since {MIN_EDGE} thick ones have to remain: {remedy}."
            )


def _times(sizes: Sequence[int]) -> str:
    return "×".join(str(n) for n in sizes)
