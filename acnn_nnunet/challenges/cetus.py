"""CETUS (MICCAI 2014): 3D echocardiography of the left ventricle at end-diastole and end-systole, in and out.

Bernard et al., Standardized Evaluation System for Left Ventricular Segmentation Algorithms in 3D Echocardiography, IEEE
TMI 35(4), 2016. The data cannot be had without an agreement: this is proved on generated files of its layout.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from acnn_nnunet.challenges.challenge import Challenge, Patient, PatientFolder, PhaseImage, patient_folders
from acnn_nnunet.challenges.surfaces import fill_surface, read_surface, write_surface
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.patients import PHASES
from acnn_nnunet.files.safe_writes import read_text
from acnn_nnunet.files.volumes import Volume, read_volume, write_volume

LABELS = {"background": 0, "LV": 1}
# No scanner of hearts has voxels this small: a spacing below it is in metres.
_SMALLEST_SPACING_MM = 0.05
_METRES_NOTE = "spacing in metres, converted to mm"
_SURFACE_NOTE = "truth is a surface and was filled, look at it over the image"


def read_patient(folder: PatientFolder) -> Patient:
    """Read a patient's images and label maps at end-diastole and end-systole, with spacing in mm.

    Raises:
        ValueError, OSError: naming what is wrong with the patient's files.
    """
    prefix = folder.path / folder.path.name
    images = {phase: _read_image(prefix, phase) for phase in PHASES}
    labelled = folder.training or _has_truth(folder.path)
    labels = {phase: _read_truth(prefix, phase, images[phase].volume.geometry) for phase in PHASES if labelled}
    notes = [_SURFACE_NOTE] if any(label.name.endswith(".vtk") for label in labels.values()) else []
    if max(max(each.volume.geometry.spacing_mm) for each in images.values()) < _SMALLEST_SPACING_MM:
        notes.append(_METRES_NOTE)
        images, labels = _in_mm(images), _in_mm(labels)
    return Patient(name=f"Patient{folder.number}", group="", images=images, labels=labels, notes=tuple(notes))


def _find_patients(source: Path) -> list[PatientFolder]:
    """Return the patients of the folder, where a truth makes a training patient, and of its training and testing."""
    parts = {path.name.lower(): path for path in source.iterdir() if path.is_dir()} if source.is_dir() else {}
    found = [
        PatientFolder(each.path, each.number, training=_has_truth(each.path))
        for each in (patient_folders(source, training=True) if parts else ())
    ]
    for part in ("training", "testing"):
        if part in parts:
            found += patient_folders(parts[part], training=part == "training")
    if not found:
        raise FileNotFoundError(
            f"There are no folders PatientN in {source}: give the folder that holds CETUS's patients."
        )
    return sorted(found, key=lambda each: not each.training)


def _has_truth(folder: Path) -> bool:
    return any(folder.glob("*_truth.*"))


def _read_image(prefix: Path, phase: str) -> PhaseImage:
    """Read `PatientN_ED.mhd`; where there is none, the frame that `PatientN_ED_ES_time.txt` names."""
    path = prefix.with_name(f"{prefix.name}_{phase}.mhd")
    times = prefix.with_name(f"{prefix.name}_ED_ES_time.txt")
    if not path.exists() and times.exists():
        path = prefix.with_name(f"{prefix.name}_frame{_frame_numbers(times)[phase]:02d}.mhd")
    return PhaseImage(read_volume(path), path.name)


def _frame_numbers(times: Path) -> dict[str, int]:
    """Return the last number of the first line, which is ED's, and of the second, which is ES's."""
    try:
        lines = [line for line in read_text(times).splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{times.name} is no text file ({error})") from error
    numbers = [re.findall(r"\d+", line)[-1:] for line in lines[:2]]
    if len(numbers) < 2 or not all(numbers) or numbers[0] == numbers[1]:
        raise ValueError(
            f"{times.name} does not say which frame is ED, in its first line, and which is ES, in its second"
        )
    return {phase: int(number[0]) for phase, number in zip(PHASES, numbers, strict=True)}


def _read_truth(prefix: Path, phase: str, grid: Geometry) -> PhaseImage:
    """Read `PatientN_ED_truth.mhd`, a mask; where there is none, fill the surface `PatientN_ED_truth.vtk`."""
    path = prefix.with_name(f"{prefix.name}_{phase}_truth.mhd")
    surface = path.with_suffix(".vtk")
    if surface.exists() and not path.exists():
        try:
            return PhaseImage(Volume(fill_surface(*read_surface(surface), grid), grid), surface.name)
        except ValueError as error:
            raise ValueError(f"{surface.name}: {error}") from error
    label = read_volume(path)
    values = np.unique(label.values).tolist()
    if len(values) == 1:
        raise ValueError(f"{path.name} has the value {values[0]} everywhere: no ventricle")
    if label.values.dtype.kind in "iu" and len(values) == 2 and values[0] == 0:
        # Written as 0 and 1 or as 0 and 255.
        label = replace(label, values=(label.values == values[1]).astype(np.uint8))
    return PhaseImage(label, path.name)


def _in_mm(images: Mapping[str, PhaseImage]) -> dict[str, PhaseImage]:
    return {phase: replace(each, volume=_scaled(each.volume, 1000.0)) for phase, each in images.items()}


def _scaled(volume: Volume, factor: float) -> Volume:
    """Return the volume with another unit of length."""
    grid = volume.geometry
    assert grid.origin_mm is not None
    return replace(
        volume,
        geometry=replace(
            grid,
            spacing_mm=tuple(factor * mm for mm in grid.spacing_mm),
            origin_mm=tuple(factor * mm for mm in grid.origin_mm),
        ),
    )


def _write_case(label: Volume, case: str, folder: Path, notes: Sequence[str]) -> None:
    """Write the mask `PatientN_ED.mhd` and the surface `PatientN_ED_result.vtk`, in the images' unit of length."""
    if _METRES_NOTE in notes:
        label = _scaled(label, 0.001)
    write_volume(folder / f"{case}.mhd", label)
    write_surface(folder / f"{case}_result.vtk", label)


CETUS = Challenge(
    "CETUS",
    LABELS,
    {
        # Any name but nnU-Net's special ones, such as CT, means z-scoring.
        "channel_names": {"0": "ultrasound"},
        "description": "Challenge on Endocardial Three-dimensional Ultrasound Segmentation: left ventricle at ED "
        "and ES",
        "reference": "Bernard et al., IEEE TMI 35(4), 2016, https://doi.org/10.1109/TMI.2015.2503890",
        "license": "the challenge's agreement; not to be passed on",
    },
    _find_patients,
    read_patient,
    _write_case,
)
