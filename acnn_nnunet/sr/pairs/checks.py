"""Whether a stack and an HR image are a pair: slice direction, factor and overlap in world coordinates."""

import numpy as np

from acnn_nnunet.files.geometry import SPACING_TOLERANCE, Geometry
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.pairs.grids import RigidMotion, affine_of, covered

SMALLEST_OVERLAP = 0.25  # of the smaller one of the two volumes
LARGEST_ANGLE_DEG = 30.0  # between the slice directions of stack and HR image


def check_slices(stack: Geometry, image: Geometry, model: HRModel) -> None:
    """Raise ValueError, the rest of a sentence that begins with the stack's file, if the slices do not fit.

    Args:
        stack: of thick slices.
        image: the HR image.
        model: whose plans say factor, slice direction and HR spacing.
    """
    axis, factor = model.slice_axis(stack), model.through_plane.factor
    if stack.size[axis] < 2:
        raise ValueError(f"has {stack.size[axis]} slice along NIfTI axis {2 - axis}: a stack has at least 2.")
    image_axis = model.slice_axis(image)
    angle = _angle_deg(_direction(stack, axis), _direction(image, image_axis))
    if angle > LARGEST_ANGLE_DEG:
        raise ValueError(
            f"has slices along NIfTI axis {2 - axis}, {angle:.0f}° from NIfTI axis {2 - image_axis} of the HR image, "
            f"which is planned as the slice direction: permute its axes, plan with another --axis, or remove the stack."
        )
    stack_mm, image_mm = stack.spacing_mm[axis], image.spacing_mm[image_axis]
    if image_mm >= stack_mm * (1 - SPACING_TOLERANCE):
        raise ValueError(
            f"has a slice every {stack_mm:.4g} mm, and its HR image one every {image_mm:.4g} mm, which is no thinner: "
            "exchange the two if imagesTr and imagesTr_lr are mixed up, or remove the stack."
        )
    hr_mm = float(model.bundle.configuration.spacing[model.through_plane.axis])
    own = stack_mm / hr_mm
    if round(own) != factor:
        remedy = f"plan it with --factor {round(own)}" if round(own) >= 2 else "remove it"
        raise ValueError(
            f"has a slice every {stack_mm:.4g} mm, {own:.3g} HR slices of {hr_mm:.4g} mm, but the factor is {factor}: "
            f"{remedy}."
        )


def check_overlap(overlap: float) -> None:
    """Raise ValueError, the rest of a sentence that begins with the stack's file, if the two hardly overlap."""
    if overlap < SMALLEST_OVERLAP:
        raise ValueError(
            f"shares {100 * overlap:.0f} % of the smaller volume with its HR image: are they of different patients? "
            "Pair the right ones, or correct the headers' positions."
        )


def overlap_of(stack: Geometry, image: Geometry) -> float:
    """Return the volume that both share, as a share of the smaller one."""
    inside = covered(image, stack, RigidMotion()).mean()
    volumes = [float(np.prod(each.size) * np.prod(each.spacing_mm)) for each in (stack, image)]
    return min(1.0, float(inside) * volumes[0] / min(volumes))


def _direction(grid: Geometry, axis: int) -> np.ndarray:
    column = affine_of(grid)[:3, axis]
    return column / np.linalg.norm(column)


def _angle_deg(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.degrees(np.arccos(min(1.0, abs(float(first @ second))))))
