"""nnU-Net's preprocessing for a stack of thick slices, and the way back for what was predicted on the HR grid.

As in training: axes, crop to what is not zero, normalisation, resampling. But slices are neither cut off, since what
lies between a black slice and its neighbour is seen by both (they do not count in the normalisation), nor resampled:
HR spacing is theirs over K.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from acvl_utils.cropping_and_padding.bounding_boxes import get_bbox_from_mask
from nnunetv2.preprocessing.cropping.cropping import create_nonzero_mask
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape

from acnn_nnunet.files.geometry import SPACING_TOLERANCE, Geometry
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.training.stack_units import SCHEMES_OF_THE_IMAGE, intensity_scale

LARGEST_SPACING_RATIO = 1.5  # of a stack's slices and the planned ones, either way


@dataclass(frozen=True)
class PreparedStack:
    """A stack as a network takes it, and what leads back. Axes are those of the plans, after their transpose.

    Attributes:
        data: (C, …), float32, normalised, resampled in plane.
        raw: (C, …), cropped but otherwise as it came.
        normalised: (C, …), of the same size.
        outside: (…), of the same size: where all channels are 0 and no voxel around is not.
        box: of the crop in the stack, the channels' slice first.
        shape: of the stack.
        spacing_mm: of the stack.
    """

    data: np.ndarray
    raw: np.ndarray
    normalised: np.ndarray
    outside: np.ndarray
    box: tuple[slice, ...]
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]


def prepare_stack(values: np.ndarray, spacing_mm: tuple[float, ...], model: HRModel) -> PreparedStack:
    """Preprocess a stack.

    Args:
        values: (C, Z, Y, X), float32, axes as the plans' reader gives them.
        spacing_mm: in the same order.
        model: whose plans are followed.

    Raises:
        ValueError: if its slice direction is not the planned one, it has one slice, or nothing but zeros; the rest of
            a sentence that begins with the file.
    """
    order = list(model.bundle.plans.transpose_forward)
    own_spacing = tuple(float(spacing_mm[axis]) for axis in order)
    stack = np.transpose(values, (0, *(1 + axis for axis in order)))
    _check(stack, own_spacing, model, order)
    nonzero = create_nonzero_mask(stack)
    crop = [slice(int(low), int(high)) for low, high in get_bbox_from_mask(nonzero)]
    axis = model.through_plane.axis
    filled, crop[axis] = crop[axis], slice(0, stack.shape[1 + axis])
    box = (slice(None), *crop)
    outside = ~nonzero[box[1:]]
    normalised = _normalised(stack[box].astype(np.float32), outside, filled, model)
    target = list(model.bundle.configuration.spacing)
    target[model.through_plane.axis] = own_spacing[model.through_plane.axis]
    shape = compute_new_shape(normalised.shape[1:], own_spacing, target)
    data = model.bundle.configuration.resampling_fn_data(normalised, shape, own_spacing, target)
    return PreparedStack(
        data=np.asarray(data, dtype=np.float32),
        raw=stack[box],
        normalised=normalised,
        outside=outside,
        box=box,
        shape=stack.shape[1:],
        spacing_mm=own_spacing,
    )


def _normalised(cropped: np.ndarray, outside: np.ndarray, filled: slice, model: HRModel) -> np.ndarray:
    """Return a stack (C, …) as the host normalises it, by the slices that hold anything, as the host crops to them."""
    configuration, axis = model.bundle.configuration, model.through_plane.axis

    def normalise(stack: np.ndarray, outside: np.ndarray) -> np.ndarray:
        return configuration.preprocessor_class(verbose=False)._normalize(
            stack.copy(),
            np.where(outside, -1, 0)[None],
            configuration,
            model.bundle.plans.foreground_intensity_properties_per_channel,
        )

    inner = (slice(None),) * axis + (filled,)
    of_all_channels = (slice(None), *inner)
    normalised = normalise(cropped, outside)
    if outside[inner].shape == outside.shape:
        return normalised
    by_filled = normalise(cropped[of_all_channels], outside[inner])
    for channel, scheme in enumerate(configuration.normalization_schemes):
        if scheme not in SCHEMES_OF_THE_IMAGE:
            continue
        black = 0.0
        if not configuration.use_mask_for_norm[channel]:
            scale, offset = intensity_scale(cropped[channel][inner], by_filled[channel])
            black = -offset / scale if scale else 0.0
        normalised[channel] = black
        normalised[channel][inner] = by_filled[channel]
    return normalised


def restore_labels(probabilities: np.ndarray, prepared: PreparedStack, model: HRModel) -> np.ndarray:
    """Return the HR label map of a stack, axes as the plans' reader gives them.

    Args:
        probabilities: (classes or regions, …) on the HR grid of the preprocessed stack.
        prepared: the stack.
        model: whose plans are followed.

    Returns:
        (Z, Y, X), uint8, or uint16 where there are labels beyond 255.
    """
    on_grid = _to_stacks_plane(probabilities, prepared, model, model.bundle.configuration.resampling_fn_probabilities)
    labels = np.asarray(model.bundle.labels.convert_probabilities_to_segmentation(on_grid))
    dtype = np.uint8 if max(model.bundle.labels.all_labels) < 256 else np.uint16
    return _uncrop(labels[None].astype(dtype), prepared, model)[0]


def restore_image(image: np.ndarray, prepared: PreparedStack, model: HRModel) -> np.ndarray:
    """Return the HR image of a stack in its own intensities, axes as the plans' reader gives them.

    Args:
        image: (C, …) on the HR grid of the preprocessed stack, normalised.
        prepared: the stack.
        model: whose plans are followed.

    Returns:
        (C, Z, Y, X), float32; 0 outside the crop, and outside the mask where the plans normalise inside one.

    Raises:
        ValueError: if a normalisation cannot be undone; the rest of a sentence that begins with the file.
    """
    on_grid = _to_stacks_plane(image, prepared, model, model.bundle.configuration.resampling_fn_data)
    outside = _on_hr_slices(prepared.outside, on_grid.shape[1:], model)
    restored = np.empty_like(on_grid, dtype=np.float32)
    for channel, use_mask in enumerate(model.bundle.configuration.use_mask_for_norm):
        inside = ~prepared.outside if use_mask else np.ones_like(prepared.outside)
        scale, offset = intensity_scale(prepared.raw[channel][inside], prepared.normalised[channel][inside])
        restored[channel] = on_grid[channel] * scale + offset
        if use_mask:
            restored[channel][outside] = 0
    return _uncrop(restored, prepared, model)


def slice_spacing_complaint(geometry: Geometry, model: HRModel) -> str | None:
    """Return the rest of a sentence that begins with a stack's file, if its slices are too thick or thin for a model.

    Slices are not resampled: the network takes them for slices of the planned spacing. nnU-Net trains with images
    scaled by 0.7 to 1.4; what differs by much more, no network has seen.
    """
    axis = model.slice_axis(geometry)
    plane = model.through_plane
    hr_mm = float(model.bundle.configuration.spacing[plane.axis])
    own_mm, planned_mm = geometry.spacing_mm[axis], plane.factor * hr_mm
    if max(own_mm / planned_mm, planned_mm / own_mm) <= LARGEST_SPACING_RATIO * (1 + SPACING_TOLERANCE):
        return None
    factor = round(own_mm / hr_mm)
    other_model = f", or train a model for it with acnn-nnunet plan-hr --factor {factor}" if factor >= 2 else ""
    return (
        f"has a slice every {own_mm:.3g} mm along NIfTI axis {2 - axis}, but the model is planned for one every "
        f"{planned_mm:.3g} mm ({plane.factor} × {hr_mm:.3g} mm) and takes {planned_mm / LARGEST_SPACING_RATIO:.3g} to "
        f"{planned_mm * LARGEST_SPACING_RATIO:.3g} mm: resample it to {planned_mm:.3g} mm{other_model}."
    )


def _check(stack: np.ndarray, spacing_mm: tuple[float, ...], model: HRModel, order: list[int]) -> None:
    factor, axis = model.through_plane.factor, model.through_plane.axis
    planned = [mm * factor if i == axis else mm for i, mm in enumerate(model.bundle.configuration.spacing)]
    largest = max(range(3), key=lambda i: spacing_mm[i])
    thicker_elsewhere = spacing_mm[largest] > spacing_mm[axis] * (1 + SPACING_TOLERANCE)
    if thicker_elsewhere and planned[axis] >= max(planned) * (1 - SPACING_TOLERANCE):
        raise ValueError(
            f"has its thickest slices ({spacing_mm[largest]:g} mm) along axis {2 - order[largest]}, but the model is "
            f"planned for slices along axis {2 - order[axis]} ({spacing_mm[axis]:g} mm here): permute its axes, or "
            "train a model with acnn-nnunet plan-hr --axis."
        )
    if stack.shape[1 + axis] < 2:
        raise ValueError(f"has {stack.shape[1 + axis]} slice along axis {2 - order[axis]}: a stack has at least 2.")
    if not stack.any():
        raise ValueError("holds nothing but zeros: there is nothing to predict.")


def _to_stacks_plane(
    values: np.ndarray, prepared: PreparedStack, model: HRModel, resample: Callable[..., Any]
) -> np.ndarray:
    """Return HR values (C, …) resampled to the cropped stack's own pixels, and to the slices that are put out.

    These are the network's own unless it is one of several factors.
    """
    factor, axis = model.through_plane.factor, model.through_plane.axis
    current, target = list(model.bundle.configuration.spacing), list(prepared.spacing_mm)
    shape = list(prepared.raw.shape[1:])
    slices, spacing_mm = shape[axis], prepared.spacing_mm[axis]
    shape[axis] = model.hr_slices(slices, spacing_mm)
    current[axis], target[axis] = spacing_mm / factor, spacing_mm * slices / shape[axis]
    # nnU-Net would take the nearest slice where slices are more than three times as far apart as pixels.
    options = {} if shape[axis] == values.shape[1 + axis] else {"force_separate_z": False}
    return np.asarray(resample(values, shape, current, target, **options))


def _on_hr_slices(mask: np.ndarray, shape: tuple[int, ...], model: HRModel) -> np.ndarray:
    """Return a stack's mask with each slice repeated for the HR slices whose middle it holds."""
    axis = model.through_plane.axis
    middles = (np.arange(shape[axis]) + 0.5) * mask.shape[axis] / shape[axis]
    return np.take(mask, middles.astype(int), axis=axis)


def _uncrop(values: np.ndarray, prepared: PreparedStack, model: HRModel) -> np.ndarray:
    """Return HR values (C, …) with zeros around the crop, axes as the plans' reader gives them."""
    axis = model.through_plane.axis  # along which nothing was cut off
    shape = [values.shape[1 + i] if i == axis else n for i, n in enumerate(prepared.shape)]
    whole = np.zeros((len(values), *shape), dtype=values.dtype)
    box = (slice(None), *(slice(None) if i == axis else cut for i, cut in enumerate(prepared.box[1:])))
    whole[box] = values
    return np.transpose(whole, (0, *(1 + axis for axis in model.bundle.plans.transpose_backward)))
