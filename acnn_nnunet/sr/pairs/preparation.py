"""A pair preprocessed as nnU-Net does it, on grids that correspond: HR slices K·k to K·k + K − 1 are stack slice k.

The stack is what predict-hr would make of it; no slice is resampled. HR image and labels are resampled once, onto the
stack's HR grid. Slices that the HR image does not cover are left out, and so are the rims in the plane.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from nnunetv2.preprocessing.cropping.cropping import create_nonzero_mask

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.volumes import Volume, read_channels, read_volume
from acnn_nnunet.pages.overlays import box_around
from acnn_nnunet.sr.degradation.acquisition import degrade
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.inference.stack_preprocessing import prepare_stack
from acnn_nnunet.sr.pairs.checks import check_overlap, check_slices, overlap_of
from acnn_nnunet.sr.pairs.finding import PairFiles
from acnn_nnunet.sr.pairs.grids import RigidMotion, covered, cut_grid, hr_grid, resampled_image, resampled_labels
from acnn_nnunet.sr.pairs.registration import Registration, register, slice_shifts_mm
from acnn_nnunet.sr.slice_thickness import told_thickness_of_channels_mm


@dataclass(frozen=True)
class Pair:
    """Stack, image and labels of a pair as they were read.

    Attributes:
        stack: (C, Z, Y, X), float32.
        stack_grid: where its voxels lie.
        image: the HR image's channels.
        labels: of the HR image.
        thickness_mm: of the stack's slices, where it is told.
        overlap: share of the smaller volume that both have by their headers.
    """

    stack: np.ndarray
    stack_grid: Geometry
    image: list[Volume]
    labels: Volume
    thickness_mm: float | None
    overlap: float


@dataclass(frozen=True)
class PreparedPair:
    """A pair on corresponding grids, axes of the plans.

    Attributes:
        stack: (C, slices, …), float32, normalised as predict-hr does it; the through-plane axis is the plans'.
        image: (C, K·slices, …), float32, normalised as nnU-Net normalises the HR image.
        labels: (1, K·slices, …), int16, −1 outside of the HR image.
        grid: the HR one.
        scale: per channel, HR intensity = scale · stack intensity + offset.
        offset: per channel.
    """

    stack: np.ndarray
    image: np.ndarray
    labels: np.ndarray
    grid: Geometry
    scale: list[float]
    offset: list[float]


def read_pair(files: PairFiles, model: HRModel) -> Pair:
    """Read and check a pair.

    Raises:
        ValueError: in one sentence that begins with the file at fault.
    """
    volumes = read_channels(files.stack)
    stack_grid = volumes[0].geometry
    image, labels = read_channels(files.image), read_volume(files.labels)
    if differences := labels.geometry.differences(image[0].geometry):
        raise ValueError(
            f"{files.labels} is not on the grid of {files.image[0].name}: {'; '.join(differences)}: correct the one "
            "that is wrong, and preprocess the dataset again."
        )
    for path, volume in zip((*files.stack, *files.image), (*volumes, *image), strict=True):
        if volume.values.min() == volume.values.max():
            raise ValueError(f"{path} has one value in all voxels: replace it, or remove the stack.")
    overlap = overlap_of(stack_grid, image[0].geometry)
    try:
        check_slices(stack_grid, image[0].geometry, model)
        check_overlap(overlap)
    except ValueError as error:
        raise ValueError(f"{files.stack[0]} {error}") from error
    spacing_mm = stack_grid.spacing_mm[model.slice_axis(stack_grid)]
    thickness_mm = told_thickness_of_channels_mm(files.stack, spacing_mm)
    return Pair(np.stack([each.values for each in volumes]), stack_grid, image, labels, thickness_mm, overlap)


def align(pair: Pair, model: HRModel) -> Registration:
    """Register a pair by its first channel."""
    axis = model.slice_axis(pair.stack_grid)
    thickness_mm = pair.thickness_mm or pair.stack_grid.spacing_mm[axis]
    stack = Volume(pair.stack[0], pair.stack_grid)
    return register(stack, pair.image[0], axis=model.slice_axis(pair.image[0].geometry), thickness_mm=thickness_mm)


def prepare_pair(pair: Pair, motion: RigidMotion, model: HRModel) -> PreparedPair:
    """Return a pair on corresponding grids.

    Args:
        pair: as it was read.
        motion: from the stack's world to the HR image's.
        model: whose plans are followed.

    Raises:
        ValueError: if the stack cannot be preprocessed, or the HR image covers no two slices of it; the rest of a
            sentence that begins with the stack's file.
    """
    axes = model.reader_axes(pair.stack_grid)
    spacing_mm = tuple(pair.stack_grid.spacing_mm[axis] for axis in axes.axes)
    prepared = prepare_stack(axes.from_file(pair.stack), spacing_mm, model)
    grid = hr_grid(prepared, pair.stack_grid, model)
    box = _covered_box(covered(pair.image[0].geometry, grid, motion), model)
    factor, axis = model.through_plane.factor, model.through_plane.axis
    grid = cut_grid(grid, box)
    thick = (slice(None), *(_thick(each, factor) if i == axis else each for i, each in enumerate(box)))
    stack = prepared.data[thick]
    image = np.stack([resampled_image(each, grid, motion) for each in _normalised(pair.image, model)])
    labels = resampled_labels(pair.labels, grid, motion)[None]
    simulated = simulate(image, pair.thickness_mm, grid, model)
    inside = simulate((labels >= 0).astype(np.float32), None, grid, model)[0] > 1 - 1e-3
    units = [_unit(mine[inside], theirs[inside]) for mine, theirs in zip(stack, simulated, strict=True)]
    scale, offset = ([float(unit[i]) for unit in units] for i in (0, 1))
    return PreparedPair(np.ascontiguousarray(stack), image, labels, grid, scale, offset)


def simulate(image: np.ndarray, thickness_mm: float | None, grid: Geometry, model: HRModel) -> np.ndarray:
    """Return the stack (C, slices, …) that slices of this thickness would make of an HR image on a pair's grid."""
    factor, axis = model.through_plane.factor, model.through_plane.axis
    thickness = None if thickness_mm is None else thickness_mm / grid.spacing_mm[axis]
    return degrade(torch.from_numpy(image)[None], factor, axis=axis, thickness_voxels=thickness)[0].numpy()


def misalignment_mm(prepared: PreparedPair, thickness_mm: float | None, model: HRModel) -> float:
    """Return the median in-plane shift of the slices against the HR image's, which motion of slices leaves behind."""
    axis = model.through_plane.axis
    simulated = simulate(prepared.image[:1], thickness_mm, prepared.grid, model)[0]
    first, second = (mm for i, mm in enumerate(prepared.grid.spacing_mm) if i != axis)
    mine, theirs = (np.moveaxis(each, axis, 0) for each in (prepared.stack[0], simulated))
    shifts = slice_shifts_mm(mine, theirs, (first, second))
    return float(np.median(shifts)) if len(shifts) else float("nan")


def class_locations(labels: np.ndarray, model: HRModel) -> dict[Any, Any]:
    """Return where nnU-Net's loader finds each class, as its preprocessor samples it."""
    manager = model.bundle.labels
    wanted = list(manager.foreground_regions if manager.has_regions else manager.foreground_labels)
    if manager.has_ignore_label:
        wanted.append((-1, *manager.all_labels))
    return model.bundle.configuration.preprocessor_class(verbose=False)._sample_foreground_locations(labels, wanted)


def _covered_box(inside: np.ndarray, model: HRModel) -> tuple[slice, ...]:
    """Return the box of whole thick slices whose middle the HR image covers, cut in plane to what it covers."""
    factor, axis = model.through_plane.factor, model.through_plane.axis
    others = tuple(i for i in range(3) if i != axis)
    whole = inside.any(axis=others).reshape(-1, factor).all(axis=1)
    kept = np.flatnonzero(whole)
    if len(kept) < 2:
        raise ValueError(
            f"has {len(kept)} of its slices inside the HR image: a pair has at least 2. Correct the headers' positions "
            "or remove the stack."
        )
    bounds = slice(int(kept[0]) * factor, int(kept[-1] + 1) * factor)
    along = [slice(None)] * 3
    along[axis] = bounds
    box = list(box_around(inside[tuple(along)]))
    box[axis] = bounds
    return tuple(box)


def _thick(cut: slice, factor: int) -> slice:
    return slice(cut.start // factor, cut.stop // factor)


def _normalised(image: list[Volume], model: HRModel) -> list[Volume]:
    """Return the HR image as nnU-Net normalises it, on its own grid."""
    values = np.stack([each.values for each in image]).astype(np.float32)
    outside = ~create_nonzero_mask(values)
    box = (slice(None), *box_around(~outside))
    normalised = model.bundle.configuration.preprocessor_class(verbose=False)._normalize(
        values[box].copy(),
        np.where(outside[box[1:]], -1, 0)[None],
        model.bundle.configuration,
        model.bundle.plans.foreground_intensity_properties_per_channel,
    )
    whole = np.zeros_like(values)  # as nnU-Net pads what it has cropped
    whole[box] = normalised
    return [Volume(channel, each.geometry) for channel, each in zip(whole, image, strict=True)]


def _unit(stack: np.ndarray, simulated: np.ndarray) -> tuple[float, float]:
    """Return scale and offset that fit a stack to the one simulated from the HR image, by least squares."""
    centred = stack.astype(np.float64) - stack.mean(dtype=np.float64) if stack.size else stack
    variance = float((centred * centred).sum()) if stack.size else 0.0
    if variance == 0:
        return 1.0, 0.0
    scale = float((centred * simulated).sum()) / variance
    return (scale, float(simulated.mean() - scale * stack.mean())) if scale > 0 else (1.0, 0.0)
