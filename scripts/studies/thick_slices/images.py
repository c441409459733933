"""Images of the thick-slice study: stacks simulated from HR volumes, derived datasets, and predictions cut back."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from acnn_nnunet.files.volumes import Volume, read_volume, write_volume
from acnn_nnunet.sr.degradation.acquisition import Acquisition, pad_slices
from acnn_nnunet.sr.degradation.command import degrade_volume, generator_of
from acnn_nnunet.sr.inference.interpolation import InterpolationOptions, interpolate_folder
from acnn_nnunet.sr.pairs.grids import RigidMotion, affine_of, resampled_image
from acnn_nnunet.sr.stack_geometry import find_slice_axis, to_lr, with_slices

FACTOR = 5
MOTION_MM, ROTATION_DEG = 2.0, 5.0
MIXED_FACTORS, MIXED_GAP_MM = (4, 5, 6), (0.0, 2.0)  # of stacks of several spacings, and between their slices
# Of stacks to train on. One in twelve has the thinnest slices: nnU-Net plans for the tenth percentile of spacings, and
# repeats labels where a stack's slices are closer than planned (nnUNet#2731, #2951).
MIXED_TURNS = (*(5, 6) * 5, 5, 4)
MOVED = Acquisition(FACTOR, motion_mm=MOTION_MM, rotation_deg=ROTATION_DEG)
MIXED_TESTS = {f"mixed{k}": replace(MOVED, factor=k) for k in MIXED_FACTORS}
TESTS_OF_EQUAL_TIME = {"motion": MOVED, "still": Acquisition(FACTOR)}
TESTS = {**TESTS_OF_EQUAL_TIME, **MIXED_TESTS}
SEED_OF_TEST_STACKS, SEED_OF_TRAINING_STACKS = 2017, 1
PAIR_MM, PAIR_DEG = 4.0, 6.0  # largest motion of a pair's two halves, per axis


def write_stack(
    source: Path, target: Path, *, acquisition: Acquisition, seed: int, gap_mm: tuple[float, float] = (0.0, 0.0)
) -> None:
    """Write the stack of an HR image; its last slice goes on until K divides their number, as in the trainers."""
    if target.exists():
        return
    volume, axis = _padded(source, acquisition.factor)
    generator = generator_of(source.name, seed=seed)
    if gap_mm[1] > 0:
        gap = float(np.random.default_rng(generator.initial_seed()).uniform(*gap_mm))
        spacing_mm = acquisition.factor * volume.geometry.spacing_mm[axis]
        acquisition = replace(acquisition, thickness_mm=spacing_mm - gap)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_volume(target, degrade_volume(volume, acquisition, axis=axis, generator=generator))


def write_stack_labels(source: Path, target: Path, *, factor: int = FACTOR) -> None:
    """Write the labels that thick slices have: of the HR slice in the middle of each."""
    if target.exists():
        return
    volume, axis = _padded(source, factor)
    middles = np.arange((factor - 1) // 2, volume.values.shape[axis], factor)
    labels = np.take(volume.values, middles, axis=axis).astype(np.uint8)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_volume(target, Volume(labels, to_lr(volume.geometry, factor, axis=axis)))


def moved_stack(
    volume: Volume, acquisition: Acquisition, limits: tuple[float, float], *, axis: int, seed: int, name: str
) -> tuple[Volume, RigidMotion]:
    """Return the stack of a volume that a drawn rigid motion has moved, and the motion.

    Args:
        volume: at rest.
        acquisition: of the stack.
        limits: largest translation in mm and rotation in degrees, per axis.
        axis: of the volume's array, the one across the slices.
        seed: of the motion.
        name: of the case, which decides the stack's random numbers.
    """
    rng = np.random.default_rng(seed)
    shift_mm, angles = rng.uniform(-limits[0], limits[0], 3), np.radians(rng.uniform(-limits[1], limits[1], 3))
    middle = affine_of(volume.geometry) @ [*((n - 1) / 2 for n in volume.geometry.size), 1.0]
    motion = RigidMotion(tuple(angles.tolist()), tuple(shift_mm.tolist()), tuple(middle[:3].tolist()))
    kept = volume.values.shape[axis] // acquisition.factor * acquisition.factor
    grid = with_slices(volume.geometry, kept, axis=axis)
    moved = Volume(resampled_image(volume, grid, motion), grid)
    return degrade_volume(moved, acquisition, axis=axis, generator=generator_of(name, seed=0)), motion


def write_pair(source: Path, target: Path) -> None:
    """Write a stack that makes a real pair with an HR image: the patient moved in between, as its name decides."""
    if target.exists():
        return
    volume = read_volume(source, dtype=np.float32)
    axis, seed = find_slice_axis(volume.geometry.spacing_mm), generator_of(source.name, seed=SEED_OF_TRAINING_STACKS)
    limits = (PAIR_MM, PAIR_DEG)
    stack, _ = moved_stack(volume, TESTS["still"], limits, axis=axis, seed=seed.initial_seed(), name=source.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_volume(target, stack)


def crop_folder(predictions: Path, references: Path, target: Path, *, suffix: str = "") -> None:
    """Write each prediction `CASE<suffix>.nii.gz` without the slices that the HR volume of its name does not have.

    Raises:
        FileNotFoundError: if a case was not predicted.
        ValueError: if a prediction does not lie where its reference does.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for reference_file in sorted(references.glob("*.nii.gz")):
        name = f"{reference_file.name.removesuffix('.nii.gz').removesuffix(suffix)}{suffix}.nii.gz"
        prediction, reference = (
            read_volume(predictions / name, dtype=np.float32),
            read_volume(reference_file, dtype=np.float32),
        )
        axis = find_slice_axis(reference.geometry.spacing_mm)
        geometry = with_slices(prediction.geometry, reference.geometry.size[axis], axis=axis)
        if differences := geometry.differences(reference.geometry):
            raise ValueError(f"{predictions / name} is not on the grid of {reference_file}: {'; '.join(differences)}.")
        values = np.take(prediction.values, range(geometry.size[axis]), axis=axis)
        write_volume(target / name, Volume(values if suffix else values.astype(np.uint8), geometry))


def write_interpolated_dataset(source: Path, target: Path) -> None:
    """Write nnU-Net's raw dataset of another's moved stacks, linearly interpolated to its HR grid, with its labels."""
    for image in sorted((source / "imagesTr").glob("*.nii.gz")):
        write_stack(image, target / "stacks" / image.name, acquisition=MOVED, seed=SEED_OF_TRAINING_STACKS)
    interpolate_folder(target / "stacks", target / "hr", InterpolationOptions("linear", FACTOR))
    crop_folder(target / "hr", source / "imagesTr", target / "imagesTr", suffix="_0000")
    (target / "labelsTr").mkdir(parents=True, exist_ok=True)
    for label in sorted((source / "labelsTr").glob("*.nii.gz")):
        shutil.copy(label, target / "labelsTr" / label.name)
    _describe(source, target)


def write_stacks_dataset(source: Path, target: Path, *, mixed: bool) -> None:
    """Write nnU-Net's raw dataset of another's moved stacks with the labels that their slices have; no label moves.

    Stacks move once and for all.

    Args:
        source: raw dataset of HR images.
        target: folder to write.
        mixed: whether the stacks take turns in having the mixed spacings, and have gaps.
    """
    for index, image in enumerate(sorted((source / "imagesTr").glob("*.nii.gz"))):
        factor = MIXED_TURNS[index % len(MIXED_TURNS)] if mixed else FACTOR
        stack, labels = target / "imagesTr" / image.name, f"{image.name.removesuffix('_0000.nii.gz')}.nii.gz"
        gap_mm = MIXED_GAP_MM if mixed else (0.0, 0.0)
        acquisition = replace(MOVED, factor=factor)
        write_stack(image, stack, acquisition=acquisition, seed=SEED_OF_TRAINING_STACKS, gap_mm=gap_mm)
        write_stack_labels(source / "labelsTr" / labels, target / "labelsTr" / labels, factor=factor)
    _describe(source, target)


def sample_folder(predictions: Path, target: Path, *, factor: int) -> None:
    """Write the labels of HR label maps that lie in the middles of thick slices."""
    for path in sorted(predictions.glob("*.nii.gz")):
        write_stack_labels(path, target / path.name, factor=factor)


def _describe(source: Path, target: Path) -> None:
    description = json.loads((source / "dataset.json").read_text())
    (target / "dataset.json").write_text(json.dumps({**description, "name": target.name}, indent=1))


def _padded(source: Path, factor: int) -> tuple[Volume, int]:
    volume = read_volume(source, dtype=np.float32)
    axis = find_slice_axis(volume.geometry.spacing_mm)
    values = pad_slices(volume.values[None], factor, axis=axis)[0]
    return Volume(values, with_slices(volume.geometry, values.shape[axis], axis=axis)), axis
