"""A raw dataset of thin-slice phantoms, and stacks of them that lie elsewhere by a known rigid motion."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK
from scipy.ndimage import gaussian_filter
from tiny_hr_models import dataset_of, plans_of

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.volumes import Volume, write_volume
from acnn_nnunet.nnunet.models import planned_bundle
from acnn_nnunet.sr.degradation.acquisition import Acquisition
from acnn_nnunet.sr.degradation.command import degrade_volume, generator_of
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.pairs.finding import PairFiles
from acnn_nnunet.sr.pairs.grids import RigidMotion

DATASET = "Dataset005_Toy"
FACTOR = 4
SIZE = (24, 20, 18)


@dataclass(frozen=True)
class PairPlace:
    """Raw and preprocessed folders of a toy dataset, both below a test's folder.

    Attributes:
        root: of nnU-Net's folders.
    """

    root: Path

    @property
    def raw(self) -> Path:
        return self.root / "nnUNet_raw" / DATASET

    @property
    def preprocessed(self) -> Path:
        return self.root / "nnUNet_preprocessed" / DATASET

    def write_plans(self, **changes) -> None:
        """Write plans with the configuration `3d_hr`."""
        self.preprocessed.mkdir(parents=True, exist_ok=True)
        plans = plans_of(factor=FACTOR, **changes)
        (self.preprocessed / "nnUNetPlans.json").write_text(json.dumps(plans))
        (self.preprocessed / "dataset.json").write_text(json.dumps(dataset_of(channels=changes.get("channels", 1))))

    def model(self) -> HRModel:
        return HRModel(planned_bundle("5", "3d_hr", plans_identifier="nnUNetPlans"), predicts_image=False)

    def add(self, case: str, *, motion: RigidMotion | None = None, seed: int = 0, size=SIZE, **stack) -> PairFiles:
        """Write image, labels and stack of a case; `motion` leads from the stack's world to the image's."""
        image, labels = phantom(size, seed)
        files = PairFiles(
            (self.raw / "imagesTr_lr" / f"{case}_0000.nii.gz",),
            (self.raw / "imagesTr" / f"{case}_0000.nii.gz",),
            self.preprocessed / "gt_segmentations" / f"{case}.nii.gz",
        )
        for path in files.all:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(files.image[0], image)
        write_volume(files.labels, labels)
        write_volume(files.stack[0], stack_of(image, motion, **stack))
        return files


def phantom(size=SIZE, seed: int = 0) -> tuple[Volume, Volume]:
    """Return a smooth random image with two nested labels, 1 mm voxels, somewhere in the world."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij")
    radius = np.sqrt((z * 1.1) ** 2 + (1.3 * y - 0.2 * z) ** 2 + (x + 0.3 * y) ** 2)
    labels = (radius < 0.7).astype(np.uint8) + (radius < 0.35)
    image = 300 + 100.0 * labels + gaussian_filter(rng.normal(0, 1, size), 1.5) * 300
    geometry = geometry_of(size)
    return Volume(image.astype(np.float32), geometry), Volume(labels, geometry)


def geometry_of(size=SIZE):
    image = SimpleITK.Image(tuple(reversed(size)), SimpleITK.sitkUInt8)
    image.SetOrigin((-20.0, 31.0, 7.0))
    spacing, direction = tuple(reversed(image.GetSpacing())), image.GetDirection()
    return Geometry(size, spacing, image.GetOrigin(), direction)


def stack_of(image: Volume, motion: RigidMotion | None = None, *, factor: int = FACTOR, noise: float = 0.0) -> Volume:
    """Return the stack of a volume; its header puts it where the motion leads away from."""
    kept = image.values[: image.values.shape[0] // factor * factor]
    whole = Volume(kept, replace(image.geometry, size=kept.shape))
    generator = generator_of("stack", seed=0)
    stack = degrade_volume(whole, Acquisition(factor, noise=noise), axis=0, generator=generator)
    if motion is None:
        return stack
    back = motion.transform.GetInverse()
    rotation = np.reshape(back.GetMatrix(), (3, 3))
    direction = rotation @ np.reshape(stack.geometry.direction, (3, 3))
    origin = back.TransformPoint(stack.geometry.origin_mm)
    return Volume(stack.values, replace(stack.geometry, origin_mm=origin, direction=tuple(direction.ravel())))


def known_motion(image: Volume, *, degrees: tuple[float, float, float], shift_mm: tuple[float, float, float]):
    """Return a motion about the middle of a volume."""
    middle = np.asarray(image.geometry.origin_mm) + [(n - 1) / 2 for n in reversed(image.geometry.size)]
    x, y, z = np.radians(degrees)
    return RigidMotion((float(x), float(y), float(z)), shift_mm, tuple(middle.tolist()))


def error_of(found: RigidMotion, true: RigidMotion, stack: Volume) -> tuple[float, float]:
    """Return how far a found motion misses the true one at the stack's centre, in mm, and its angle in degrees."""
    size = stack.geometry.size
    image = SimpleITK.Image(tuple(reversed(size)), SimpleITK.sitkUInt8)
    image.SetSpacing(tuple(reversed(stack.geometry.spacing_mm)))
    image.SetOrigin(stack.geometry.origin_mm)
    image.SetDirection(stack.geometry.direction)
    middle = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in reversed(size)])
    places = [np.asarray(each.transform.TransformPoint(middle)) for each in (found, true)]
    turns = [np.reshape(each.transform.GetMatrix(), (3, 3)) for each in (found, true)]
    cosine = (np.trace(turns[0] @ turns[1].T) - 1) / 2
    return float(np.linalg.norm(places[0] - places[1])), float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
