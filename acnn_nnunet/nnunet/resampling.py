"""Label maps brought to a configuration's spacing as nnU-Net preprocesses them."""

from collections.abc import Sequence

import numpy as np
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager


def resample_labels(
    values: np.ndarray, spacing_mm: Sequence[float], plans: PlansManager, configuration: ConfigurationManager
) -> np.ndarray:
    """Return labels (1, Z, Y, X), transposed and resampled, of a label map (Z, Y, X), axes as the host's reader gives.

    Args:
        values: integers.
        spacing_mm: of the label map, in its order of axes.
        plans: say how axes are transposed.
        configuration: says the spacing.
    """
    order = [int(axis) for axis in plans.transpose_forward]
    segmentation = np.transpose(values, order)[None].astype(np.int16)
    current, target = spacings_mm(spacing_mm, plans, configuration)
    shape = compute_new_shape(segmentation.shape[1:], current, target)
    return np.asarray(configuration.resampling_fn_seg(segmentation, shape, current, target))


def spacings_mm(
    spacing_mm: Sequence[float], plans: PlansManager, configuration: ConfigurationManager
) -> tuple[list[float], list[float]]:
    """Return the spacing before and after resampling, of three transposed axes.

    Args:
        spacing_mm: of a file, axes as the host's reader gives them.
        plans: say how axes are transposed.
        configuration: says the spacing; one in 2D leaves that between slices alone.
    """
    current = [float(spacing_mm[int(axis)]) for axis in plans.transpose_forward]
    own = [float(spacing) for spacing in configuration.spacing]
    return current, [*current[: len(current) - len(own)], *own]
