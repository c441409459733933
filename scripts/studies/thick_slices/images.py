"""Images of the thick-slice study: stacks simulated from HR volumes, derived datasets, and predictions cut back."""

import json
import shutil
from pathlib import Path

import numpy as np

from acnn_nnunet.files.volumes import Volume, read_volume, write_volume
from acnn_nnunet.sr.degradation.acquisition import Acquisition, pad_slices
from acnn_nnunet.sr.degradation.command import degrade_volume, generator_of
from acnn_nnunet.sr.inference.interpolation import InterpolationOptions, interpolate_folder
from acnn_nnunet.sr.stack_geometry import find_slice_axis, to_lr, with_slices

FACTOR = 5
MOTION_MM, ROTATION_DEG = 2.0, 5.0
TESTS = {"motion": Acquisition(FACTOR, motion_mm=MOTION_MM, rotation_deg=ROTATION_DEG), "still": Acquisition(FACTOR)}
SEED_OF_TEST_STACKS, SEED_OF_TRAINING_STACKS = 2017, 1


def write_stack(source: Path, target: Path, *, acquisition: Acquisition, seed: int) -> None:
    """Write the stack of an HR image; its last slice goes on until K divides their number, as in the trainers."""
    if target.exists():
        return
    volume, axis = _padded(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_volume(target, degrade_volume(volume, acquisition, axis=axis, generator=generator_of(source.name, seed=seed)))


def write_stack_labels(source: Path, target: Path) -> None:
    """Write the labels that thick slices have: of the HR slice in the middle of each."""
    if target.exists():
        return
    volume, axis = _padded(source)
    middles = np.arange((FACTOR - 1) // 2, volume.values.shape[axis], FACTOR)
    labels = np.take(volume.values, middles, axis=axis).astype(np.uint8)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_volume(target, Volume(labels, to_lr(volume.geometry, FACTOR, axis=axis)))


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
        axis = find_slice_axis(reference.geometry)
        geometry = with_slices(prediction.geometry, reference.geometry.size[axis], axis=axis)
        if differences := geometry.differences(reference.geometry):
            raise ValueError(f"{predictions / name} is not on the grid of {reference_file}: {'; '.join(differences)}.")
        values = np.take(prediction.values, range(geometry.size[axis]), axis=axis)
        write_volume(target / name, Volume(values if suffix else values.astype(np.uint8), geometry))


def write_derived_dataset(source: Path, target: Path, *, interpolated: bool) -> None:
    """Write nnU-Net's raw dataset of the simulated stacks of another, linearly interpolated to its HR grid or not.

    Stacks move once and for all. Labels are HR ones where interpolated, and else those of thick slices; none moves.
    """
    stacks = target / "imagesTr" if not interpolated else target / "stacks"
    for image in sorted((source / "imagesTr").glob("*.nii.gz")):
        write_stack(image, stacks / image.name, acquisition=TESTS["motion"], seed=SEED_OF_TRAINING_STACKS)
    labels = sorted((source / "labelsTr").glob("*.nii.gz"))
    (target / "labelsTr").mkdir(parents=True, exist_ok=True)
    if interpolated:
        interpolate_folder(stacks, target / "hr", InterpolationOptions("linear", FACTOR))
        crop_folder(target / "hr", source / "imagesTr", target / "imagesTr", suffix="_0000")
        for label in labels:
            shutil.copy(label, target / "labelsTr" / label.name)
    else:
        for label in labels:
            write_stack_labels(label, target / "labelsTr" / label.name)
    description = json.loads((source / "dataset.json").read_text())
    (target / "dataset.json").write_text(json.dumps({**description, "name": target.name}, indent=1))


def _padded(source: Path) -> tuple[Volume, int]:
    volume = read_volume(source, dtype=np.float32)
    axis = find_slice_axis(volume.geometry)
    values = pad_slices(volume.values[None], FACTOR, axis=axis)[0]
    return Volume(values, with_slices(volume.geometry, values.shape[axis], axis=axis)), axis
