"""`acnn-nnunet plan-hr`: a configuration that takes thick slices and returns thin ones, and the dataset's pairs."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from acnn_nnunet.casewise.work import Outcome
from acnn_nnunet.files.safe_writes import write_json, write_text
from acnn_nnunet.nnunet.plans import HR_KEY, check_configuration_name, check_has_configuration, find_plans
from acnn_nnunet.nnunet.settings import PLANS_KEY
from acnn_nnunet.sr.pairs.command import PairOptions, prepare_pairs
from acnn_nnunet.sr.pairs.finding import stacks_folder
from acnn_nnunet.sr.pairs.store import FOLDER_KEY, records_of
from acnn_nnunet.sr.planning.configuration import MIN_EDGE, hr_configuration
from acnn_nnunet.sr.slice_thickness import check_thickness
from acnn_nnunet.sr.stack_geometry import ThroughPlane, check_factor, find_slice_axis


@dataclass(frozen=True)
class PlanHROptions:
    """Which configuration to plan, and from which.

    Attributes:
        factor: K, HR slices in an LR slice.
        base: the HR configuration, 3D.
        plans_identifier: name of the plans file without suffix.
        name: of the new configuration; None is `3d_hr_xK`.
        axis: the through-plane axis of the NIfTI files; None is the axis of the largest spacing, and the last one where
            all are equal.
        thickness_mm: of the slices in training; None is their spacing, or what the pairs tell.
        register: align each real pair of the dataset rigidly.
        num_processes: that prepare pairs.
    """

    factor: int
    base: str = "3d_fullres"
    plans_identifier: str = "nnUNetPlans"
    name: str | None = None
    axis: int | None = None
    thickness_mm: float | None = None
    register: bool = False
    num_processes: int = 1


def plan_hr(dataset: str, options: PlanHROptions) -> Outcome:
    """Write the configuration `3d_hr_xK` into the plans: it inherits the HR one and shares its preprocessed data.

    The patch is the base's where K divides it, or else the nearest larger one that the network can halve; the network's
    topology is planned for the LR patch and spacing, its widths are the base's; the batch takes as much memory as the
    base's. A configuration that plan-hr wrote from the same base is replaced. Where the raw dataset has `imagesTr_lr`,
    its pairs are prepared for the configuration.

    Args:
        dataset: id or name.
        options: of the configuration.

    Returns:
        What was written; not complete if a stack of `imagesTr_lr` was refused.

    Raises:
        ValueError: for an unknown dataset or configuration, a base, factor or axis that cannot work, a taken name, or
            an `imagesTr_lr` without stacks; the plans stay as they were.
        FileNotFoundError: if there are no such plans.
    """
    factor, base = options.factor, options.base
    dataset_name, plans_file = find_plans(dataset, options.plans_identifier)
    before = plans_file.read_text()
    plans = json.loads(before)
    dataset_json = json.loads((plans_file.parent / "dataset.json").read_text())
    name = f"3d_hr_x{factor}" if options.name is None else options.name
    check_configuration_name(name)
    configuration = _check_base(plans, base, where=plans_file)
    _check_name(plans["configurations"], name, base=base, where=plans_file)

    nifti_axis, plans_axis = _through_plane_axis(configuration["spacing"], plans["transpose_forward"], options.axis)
    _check_slices(configuration, factor, plans_axis, base=base, nifti_axis=nifti_axis)
    entry = hr_configuration(plans, configuration, dataset_json, ThroughPlane(factor, plans_axis))
    spacing_mm = factor * float(configuration["spacing"][plans_axis])
    if options.thickness_mm is not None:
        gap_mm = _gap_mm(options.thickness_mm, spacing_mm)
        entry[PLANS_KEY] = {**configuration.get(PLANS_KEY, {}), "slice_gap_mm": [gap_mm, gap_mm]}
    plans["configurations"][name] = {"inherits_from": base, **entry}
    has_pairs = stacks_folder(dataset_name) is not None
    write_json(plans_file, plans)

    patch = entry["patch_size"]
    stack = [n // factor if i == plans_axis else n for i, n in enumerate(patch)]
    sentence = (
        f"{dataset_name}: wrote configuration {name} (from {base}; every {factor} slices along NIfTI axis {nifti_axis} "
        f"are one; patch {_times(stack)} in, {_times(patch)} out; batch size {entry['batch_size']}) to {plans_file}"
    )
    if patch != list(configuration["patch_size"]):
        sentence += f". The patch is not {base}'s: a prior for it is trained on {name} itself"
    if not has_pairs:
        return Outcome(sentence)
    try:
        pairs = _add_pairs(dataset_name, plans_file, name, options)
    except BaseException:  # Ctrl-C too: the plans go on naming the pairs that are stored, if any
        write_text(plans_file, before)
        raise
    return Outcome(f"{sentence}\n{pairs.text}", pairs.excluded)


def _add_pairs(dataset: str, plans_file: Path, name: str, options: PlanHROptions) -> Outcome:
    """Prepare the dataset's pairs, and name their folder in the configuration if there is one of them at least."""
    folder = plans_file.parent / f"{options.plans_identifier}_{name}_pairs"
    pair_options = PairOptions(name, options.plans_identifier, options.register, options.num_processes)
    with _taking_the_place_of(folder) as partial:
        prepared = prepare_pairs(dataset, partial, pair_options)
    records = records_of(folder)
    if records:
        plans = json.loads(plans_file.read_text())
        entry = plans["configurations"][name]
        entry[HR_KEY][FOLDER_KEY] = folder.name
        # By each stack's own spacing: the planned one is a multiple of the HR slices', which 8 mm need not be.
        gaps_mm = [_gap_mm(each.thickness_mm, each.spacing_mm) for each in records if each.thickness_mm is not None]
        if gaps_mm and options.thickness_mm is None:
            resolved = PlansManager(plans).get_configuration(name).configuration
            entry[PLANS_KEY] = {**resolved.get(PLANS_KEY, {}), "slice_gap_mm": [min(gaps_mm), max(gaps_mm)]}
        write_json(plans_file, plans)
    return replace(prepared, text=prepared.text.replace(str(partial), str(folder)))


@contextmanager
def _taking_the_place_of(folder: Path) -> Iterator[Path]:
    """Lend a folder beside one that takes its place at the end; after an error all is as before."""
    partial, former = (folder.with_name(f"{folder.name}.{os.getpid()}.{word}") for word in ("partial", "former"))
    try:
        yield partial
        if folder.is_dir():
            folder.rename(former)
        partial.rename(folder)
    finally:
        for each in (partial, former):
            shutil.rmtree(each, ignore_errors=True)


def _gap_mm(thickness_mm: float, spacing_mm: float) -> float:
    """Return the gap between slices of a thickness; an overlap is below 0."""
    if not thickness_mm > 0:
        raise ValueError(f"--thickness is positive, not {thickness_mm}.")
    check_thickness(thickness_mm, spacing_mm, what="--thickness gives the stacks slices of")
    return round(spacing_mm - thickness_mm, 6)


def _through_plane_axis(
    spacing: Sequence[float], transpose_forward: Sequence[int], axis: int | None
) -> tuple[int, int]:
    """Return the through-plane axis as NIfTI files count (X, Y, Z) and as the preprocessed arrays do."""
    order = list(transpose_forward)
    in_file = find_slice_axis([spacing[order.index(each)] for each in range(3)], axis)
    return 2 - in_file, order.index(in_file)


def _check_base(plans: dict[str, Any], base: str, *, where: Path) -> dict[str, Any]:
    """Return the resolved configuration that shall be inherited from."""
    check_has_configuration(plans, base, where=where)
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


def _check_slices(configuration: Mapping[str, Any], factor: int, axis: int, *, base: str, nifti_axis: int) -> None:
    check_factor(factor)
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
