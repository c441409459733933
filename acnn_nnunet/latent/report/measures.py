"""What a decoded shape measures: the volume of every label, and of hearts the wall's thickness and mass."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from acnn_nnunet.evaluation.clinical.indices import MYOCARDIUM, MYOCARDIUM_G_PER_ML
from acnn_nnunet.files.geometry import Geometry, longest_axis

LV_CAVITY = "LV"


@dataclass(frozen=True)
class Measure:
    """One measure of a shape.

    Attributes:
        name: for people, such as "LV volume".
        unit: ml, cm², mm or g.
        value: None where it is undefined, as the thickness of a wall around nothing.
    """

    name: str
    unit: str
    value: float | None


def measure_shape(masks: Mapping[str, np.ndarray], geometry: Geometry) -> list[Measure]:
    """Return volumes in ml (areas in cm² in 2D), and wall thickness and mass where there are labels LV and MYO.

    Args:
        masks: bool (…) by label name.
        geometry: of the grid.
    """
    two_axes = len(geometry.size) == 2
    voxel = math.prod(geometry.spacing_mm) / (100 if two_axes else 1000)
    what, unit = ("area", "cm²") if two_axes else ("volume", "ml")
    measures = [Measure(f"{name} {what}", unit, float(mask.sum()) * voxel) for name, mask in masks.items()]
    cavity, wall = (_named(masks, name) for name in (LV_CAVITY, MYOCARDIUM))
    if cavity is None or wall is None:
        return measures
    thickness = wall_thickness_mm(cavity, wall, geometry.spacing_mm)
    measures.append(Measure(f"{MYOCARDIUM} thickness", "mm", thickness))
    if not two_axes:
        measures.append(Measure(f"{MYOCARDIUM} mass", "g", float(wall.sum()) * voxel * MYOCARDIUM_G_PER_ML))
    return measures


def wall_thickness_mm(cavity: np.ndarray, wall: np.ndarray, spacing_mm: tuple[float, ...]) -> float | None:
    """Return the mean thickness of a wall around a cavity, over the slices that show both; None if none does.

    In a slice it is the difference of two radii: that of a circle with the area of wall and cavity, and that of one
    with the cavity's area. Slices lie across the axis of the longest voxels.

    Args:
        cavity: bool, (Z, Y, X) or (Y, X).
        wall: the same.
        spacing_mm: in the same order.
    """
    if cavity.ndim == 2:
        cavity, wall, spacing_mm = cavity[None], wall[None], (math.inf, *spacing_mm)
    axis = longest_axis(spacing_mm)
    pixel = math.prod(s for i, s in enumerate(spacing_mm) if i != axis)
    others = tuple(i for i in range(3) if i != axis)
    inner, muscle = (mask.sum(others) * pixel for mask in (cavity, wall))
    shown = (inner > 0) & (muscle > 0)
    if not shown.any():
        return None
    inner, muscle = inner[shown], muscle[shown]
    return float(np.mean(np.sqrt((inner + muscle) / math.pi) - np.sqrt(inner / math.pi)))


def _named(masks: Mapping[str, np.ndarray], name: str) -> np.ndarray | None:
    return next((mask for given, mask in masks.items() if given.casefold() == name.casefold()), None)
