"""What is left of the misalignment of a pair, removed by a rigid registration (paper, §III-A1), and how much it was.

The moving image is the HR volume seen through the slices' profile, so that both are equally blurred. Their mutual
information (Mattes et al., IEEE TMI 22(1), 2003) rises on three scales; different contrasts do no harm. All voxels are
sampled: a regular half of them left errors of up to 0.3 mm and 0.3° in hearts.
"""

import math
import textwrap
from dataclasses import dataclass

import numpy as np
import SimpleITK

from acnn_nnunet.files.volumes import Volume, quiet
from acnn_nnunet.sr.degradation.acquisition import SIGMA_PER_THICKNESS
from acnn_nnunet.sr.pairs.grids import RigidMotion, affine_of, image_of

LARGEST_SHIFT_MM, LARGEST_ROTATION_DEG = 50.0, 30.0
"""More is no residual misalignment: the pair keeps its header's position."""
_BINS = 64
_SMOOTHING_MM = (4.0, 2.0, 0.0)
_MOST_SAMPLES = 1_000_000
_VOXELS_PER_SIGMA = 2.0  # of the profile; coarser slices are interpolated linearly too coarsely
_SEED = 1
_STEPS = 300


@dataclass(frozen=True)
class Registration:
    """How a pair was aligned.

    Attributes:
        motion: from the stack's world to the HR image's; none where registration found nothing better.
        information_before: mutual information of the stack and the HR image by their headers, in nats.
        information_after: the same with the motion.
        remark: why the header's position was kept; empty where it was not.
    """

    motion: RigidMotion
    information_before: float
    information_after: float
    remark: str = ""


def register(stack: Volume, image: Volume, *, axis: int, thickness_mm: float) -> Registration:
    """Return the rigid motion that aligns an HR image with its stack.

    Args:
        stack: of thick slices.
        image: HR.
        axis: of the HR image's array, the one across the slices.
        thickness_mm: of the stack's slices.
    """
    fixed, sharp = image_of(stack), image_of(image)
    sigma_mm = SIGMA_PER_THICKNESS * thickness_mm
    finer = _with_finer_slices(sharp, sigma_mm / _VOXELS_PER_SIGMA, direction=2 - axis)
    moving = SimpleITK.RecursiveGaussian(finer, sigma_mm, False, 0, 2 - axis)
    method = _method(int(np.prod(stack.values.shape)))
    centre = _centre(stack)
    with quiet():
        still = RigidMotion(centre_mm=centre)
        before = _information(method, fixed, moving, still)
        found = SimpleITK.Euler3DTransform(still.transform)
        method.SetInitialTransform(found, inPlace=True)
        try:
            method.Execute(fixed, moving)
        except RuntimeError as error:  # all samples map outside
            return Registration(still, before, before, f"registration failed ({_reason(error)})")
    rotation = (found.GetAngleX(), found.GetAngleY(), found.GetAngleZ())
    motion = RigidMotion(rotation, found.GetTranslation(), centre)
    after = _information(method, fixed, moving, motion)
    if motion.shift_mm > LARGEST_SHIFT_MM or motion.rotation_deg > LARGEST_ROTATION_DEG:
        remark = f"registration ran away ({motion.shift_mm:.1f} mm, {motion.rotation_deg:.1f}°)"
        return Registration(still, before, before, remark)
    if after <= before:
        return Registration(still, before, before, "registration found nothing better than the headers")
    return Registration(motion, before, after)


def slice_shifts_mm(stack: np.ndarray, simulated: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Return how far each slice of a stack is shifted in its plane against the one simulated from the HR image.

    Args:
        stack: (slices, …).
        simulated: of the same shape.
        spacing_mm: of the pixels.

    Returns:
        (slices with any contrast in both,) lengths in mm, to a twentieth of a pixel: phase correlation.
    """
    from skimage.registration import phase_cross_correlation

    shifts = []
    for mine, theirs in zip(stack, simulated, strict=True):
        if np.ptp(mine) > 0 and np.ptp(theirs) > 0:
            shift, *_ = phase_cross_correlation(theirs, mine, upsample_factor=20, normalization=None)
            shifts.append(float(np.hypot(*(shift * np.asarray(spacing_mm)))))
    return np.asarray(shifts)


def _with_finer_slices(image: SimpleITK.Image, largest_mm: float, *, direction: int) -> SimpleITK.Image:
    """Return an image with slices at most so far apart, cubic B-spline."""
    size, spacing_mm = list(image.GetSize()), list(image.GetSpacing())
    parts = math.ceil(spacing_mm[direction] / largest_mm - 1e-6)
    if parts < 2 or size[direction] < 2:
        return image
    size[direction] = (size[direction] - 1) * parts + 1
    spacing_mm[direction] /= parts
    finer = SimpleITK.Image(size, SimpleITK.sitkUInt8)
    finer.SetSpacing(spacing_mm)
    finer.SetOrigin(image.GetOrigin())
    finer.SetDirection(image.GetDirection())
    return SimpleITK.Resample(image, finer, SimpleITK.Transform(), SimpleITK.sitkBSpline)


def _method(num_voxels: int) -> SimpleITK.ImageRegistrationMethod:
    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    if num_voxels > _MOST_SAMPLES:
        method.SetMetricSamplingStrategy(method.RANDOM)  # a regular one would follow rows and columns
        method.SetMetricSamplingPercentage(_MOST_SAMPLES / num_voxels, _SEED)
    else:
        method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, _STEPS, 0.5, 1e-8)
    method.SetShrinkFactorsPerLevel([1] * len(_SMOOTHING_MM))
    method.SetSmoothingSigmasPerLevel(list(_SMOOTHING_MM))
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


def _information(
    method: SimpleITK.ImageRegistrationMethod, fixed: SimpleITK.Image, moving: SimpleITK.Image, motion: RigidMotion
) -> float:
    method.SetInitialTransform(motion.transform)
    try:
        return -float(method.MetricEvaluate(fixed, moving))
    except RuntimeError:  # no sample of the stack lies in the image
        return 0.0


def _centre(stack: Volume) -> tuple[float, float, float]:
    middle = [(n - 1) / 2 for n in stack.geometry.size]
    x, y, z = (affine_of(stack.geometry) @ np.array([*middle, 1.0]))[:3].tolist()
    return x, y, z


def _reason(error: RuntimeError) -> str:
    return textwrap.shorten(str(error).rpartition("ERROR: ")[2], width=120, placeholder=" …")
