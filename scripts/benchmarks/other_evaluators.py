"""Pairs of masks, and what SimpleITK, MONAI, MedPy and DeepMind's surface-distance make of them.

For `scripts/benchmarks/evaluation.py` and for tests/evaluation/test_agreement_with_others.py.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter, shift

from acnn_nnunet.evaluation.masks.case_scores import score_case
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.nnunet.label_files import LabelMap

DATA = Path(os.environ.get("ACNN_DATA", Path(__file__).parents[3] / "shared" / "data"))
LABELS = (1, 2, 3)  # of ACDC
TOLERANCE_MM = 2.0
SEED = 0
SPACINGS_MM = ((1.0, 1.0, 1.0), (10.0, 1.4, 1.4), (0.5, 0.8, 3.0), (0.3, 0.3, 0.3), None)  # None: any numbers
# Implementations in single precision may put a distance that equals the tolerance on its other side.
SINGLE_PRECISION_MM = 1e-5

Scores = dict[str, float]


@dataclass(frozen=True)
class Pair:
    """Two bool masks `(Z, Y, X)` or `(Y, X)` that are not empty, and the voxel size in the same order."""

    reference: np.ndarray
    prediction: np.ndarray
    spacing_mm: tuple[float, ...]


def generated_pair(index: int) -> Pair:
    """Return one of the generated pairs: 3 of 4 in 3D, of all kinds of masks, changes and spacings."""
    generator = np.random.default_rng([SEED, index])
    axes = 2 if index % 4 == 3 else 3
    size = tuple(generator.integers(8, 80 if axes == 2 else 40, axes))
    spacing_mm = SPACINGS_MM[index % len(SPACINGS_MM)] or generator.uniform(0.3, 6, 3)
    kinds = (ellipsoid, box, shell, smooth_noise, specks)
    make = kinds[generator.integers(len(kinds))]
    reference = make(generator, size)
    prediction = make(generator, size) if index % 3 == 0 else perturbed(reference, generator)
    for mask in (reference, prediction):
        mask[tuple(n // 2 for n in size)] |= not mask.any()
    return Pair(reference, prediction, tuple(float(spacing) for spacing in spacing_mm[:axes]))


def ellipsoid(generator: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Return an ellipsoid anywhere in the image: it may be cut off by its border."""
    centre, radii = generator.uniform(0, size), generator.uniform(0.15, 0.6, len(size)) * size
    grid = np.indices(size).reshape(len(size), -1).T
    return (((grid - centre) / radii) ** 2).sum(1).reshape(size) <= 1


def box(generator: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Return a box; one in four fills the image."""
    mask = np.zeros(size, dtype=bool)
    if generator.random() < 0.25:
        return ~mask
    low = generator.integers(0, size)
    mask[tuple(slice(a, generator.integers(a, n) + 1) for a, n in zip(low, size, strict=True))] = True
    return mask


def shell(generator: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Return an ellipsoid with a cavity."""
    mask = ellipsoid(generator, size)
    return mask & ~binary_erosion(mask, iterations=int(generator.integers(1, 4)))


def smooth_noise(generator: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Return several pieces of any shape, of which some touch the border."""
    noise = gaussian_filter(generator.normal(size=size), generator.uniform(0.5, 4))
    return noise > np.quantile(noise, generator.uniform(0.5, 0.95))


def specks(generator: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Return one to five single voxels."""
    mask = np.zeros(size, dtype=bool)
    mask.flat[generator.integers(0, mask.size, generator.integers(1, 6))] = True
    return mask


def perturbed(mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a mask moved by up to 2 voxels in the last two axes, some thicker or thinner, some with specks."""
    moved = shift(mask, (0,) * (mask.ndim - 2) + tuple(generator.integers(-2, 3, 2)), order=0)
    change = (binary_dilation, binary_erosion, np.array)[generator.integers(3)]
    moved = change(moved)
    return moved | specks(generator, mask.shape) if generator.random() < 0.3 else moved


def real_pairs(num_patients: int) -> Iterator[Pair]:
    """Yield the labels of ACDC patients at ED: of the first half against ES, of the others against a perturbed copy."""
    for index, patient in enumerate(sorted((DATA / "acdc" / "training").glob("patient*"))[:num_patients]):
        images = [SimpleITK.ReadImage(str(path)) for path in sorted(patient.glob("*_gt.nii.gz"))]
        ed, es = (SimpleITK.GetArrayFromImage(image) for image in images)
        for label in LABELS:
            prediction = (
                es == label if index < num_patients // 2 else perturbed(ed == label, np.random.default_rng(index))
            )
            yield Pair(ed == label, prediction, images[0].GetSpacing()[::-1])


def our_scores(pair: Pair) -> Scores:
    """Return the scores of `acnn-nnunet evaluate`."""
    geometry = Geometry(size=pair.reference.shape, spacing_mm=pair.spacing_mm)
    label_maps = (LabelMap(mask.astype(np.uint8), geometry) for mask in (pair.reference, pair.prediction))
    scores = score_case(*label_maps, (1,), ignore=None, tolerance_mm=TOLERANCE_MM)[0][0]
    metrics = ("dice", "iou", "hausdorff_mm", "hd95_mm", "mean_surface_distance_mm", "surface_dice")
    return {metric: getattr(scores, metric) for metric in metrics}


def simpleitk_scores(pair: Pair) -> Scores:
    """Return SimpleITK's: contours of the masks, padded as it sees none at the border, and signed Maurer distances."""
    masks = [sitk_image(np.pad(mask, 1), pair.spacing_mm) for mask in (pair.reference, pair.prediction)]
    contours = [SimpleITK.LabelContour(mask, fullyConnected=False) for mask in masks]
    inside = [SimpleITK.GetArrayFromImage(contour) > 0 for contour in contours]
    # Every voxel of a contour has one across a face that is none, so it lies on the contour's own boundary: distance 0.
    to_reference, to_prediction = (
        np.abs(
            SimpleITK.GetArrayFromImage(
                SimpleITK.SignedMaurerDistanceMap(c, squaredDistance=False, useImageSpacing=True)
            )
        )
        for c in contours
    )
    directed = to_prediction[inside[0]].astype(float), to_reference[inside[1]].astype(float)
    overlap, hausdorff = SimpleITK.LabelOverlapMeasuresImageFilter(), SimpleITK.HausdorffDistanceImageFilter()
    overlap.Execute(*masks)
    hausdorff.Execute(*contours)
    pooled = np.concatenate(directed)
    return {
        "dice": overlap.GetDiceCoefficient(),
        "iou": overlap.GetJaccardCoefficient(),
        "hausdorff_mm": hausdorff.GetHausdorffDistance(),
        "hd95_mm": float(max(np.percentile(distances, 95) for distances in directed)),
        "mean_surface_distance_mm": float(pooled.mean()),
        "surface_dice": float((pooled <= TOLERANCE_MM + SINGLE_PRECISION_MM).mean()),
    }


def monai_scores(pair: Pair) -> Scores:
    """Return MONAI's, with a symmetric mean and the tolerance as class threshold."""
    from monai import metrics

    masks = tensors(pair)
    settings = {"include_background": True, "spacing": pair.spacing_mm}
    return {
        "dice": float(metrics.compute_dice(*masks)),
        "iou": float(metrics.compute_iou(*masks)),
        "hausdorff_mm": float(metrics.compute_hausdorff_distance(*masks, **settings)),
        "hd95_mm": float(metrics.compute_hausdorff_distance(*masks, percentile=95, **settings)),
        "mean_surface_distance_mm": float(metrics.compute_average_surface_distance(*masks, symmetric=True, **settings)),
        "surface_dice": float(
            metrics.compute_surface_dice(*masks, class_thresholds=[TOLERANCE_MM + SINGLE_PRECISION_MM], **settings)
        ),
    }


def medpy_scores(pair: Pair) -> Scores:
    """Return MedPy's, of those that are defined as ours."""
    from medpy import metric

    masks = pair.prediction, pair.reference
    return {
        "dice": float(metric.dc(*masks)),
        "iou": float(metric.jc(*masks)),
        "hausdorff_mm": float(metric.hd(*masks, pair.spacing_mm)),
        "mean_surface_distance_mm": float(metric.assd(*masks, pair.spacing_mm)),
    }


def other_definitions(pair: Pair) -> Scores:
    """Return what other definitions make of a pair; the key ends with the metric of ours that is nearest."""
    import surface_distance as deepmind
    from medpy import metric
    from monai import metrics

    masks = pair.prediction, pair.reference
    directed = [metric.asd(first, second, pair.spacing_mm) for first, second in (masks, masks[::-1])]
    sets = SimpleITK.HausdorffDistanceImageFilter()
    sets.Execute(*(sitk_image(mask, pair.spacing_mm) for mask in masks))
    elements = deepmind.compute_surface_distances(*masks, pair.spacing_mm)
    settings = {"include_background": True, "spacing": pair.spacing_mm}
    return {
        "MedPy 0.5 hd95, all distances pooled: hd95_mm": float(metric.hd95(*masks, pair.spacing_mm)),
        "MedPy 0.4 assd, mean of the two directed means: mean_surface_distance_mm": float(np.mean(directed)),
        "directed mean, MONAI's default: mean_surface_distance_mm": float(
            metrics.compute_average_surface_distance(*tensors(pair), **settings)
        ),
        "SimpleITK Hausdorff of voxel sets: hausdorff_mm": sets.GetHausdorffDistance(),
        "SimpleITK average Hausdorff of voxel sets: mean_surface_distance_mm": sets.GetAverageHausdorffDistance(),
        "DeepMind surface elements: hausdorff_mm": float(deepmind.compute_robust_hausdorff(elements, 100)),
        "DeepMind surface elements: hd95_mm": float(deepmind.compute_robust_hausdorff(elements, 95)),
        "DeepMind surface elements: mean_surface_distance_mm": float(
            np.mean(deepmind.compute_average_surface_distance(elements))
        ),
        "DeepMind surface elements: surface_dice": float(
            deepmind.compute_surface_dice_at_tolerance(elements, TOLERANCE_MM)
        ),
    }


def sitk_image(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> SimpleITK.Image:
    """Return a mask as an image with spacing."""
    image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing_mm[::-1])
    return image


def tensors(pair: Pair) -> list:
    """Return prediction and reference as MONAI takes them: (1, 1, …)."""
    import torch

    return [torch.as_tensor(mask)[None, None] for mask in (pair.prediction, pair.reference)]
