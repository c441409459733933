"""The form that every challenge of hearts has here: patients with an image and a label map at ED and at ES."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acnn_nnunet.files.volumes import Volume


@dataclass(frozen=True)
class PhaseImage:
    """An image, its name in messages and, where its file can be taken over as it is (a NIfTI file), that file."""

    volume: Volume
    name: str
    file: Path | None = None


@dataclass(frozen=True)
class Patient:
    """The content of a patient's folder.

    Attributes:
        name: the beginning of the names of its cases.
        group: the diagnosis, or empty.
        images: the image of each phase.
        labels: the label map of each phase, or nothing for a test patient without.
        notes: remarks for the user on the patient's data.
    """

    name: str
    group: str
    images: dict[str, PhaseImage]
    labels: dict[str, PhaseImage]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PatientFolder:
    """Where a patient lies, and whether it is in the training part."""

    path: Path
    number: int
    training: bool


@dataclass(frozen=True)
class Challenge:
    """A challenge's data and its platform's files.

    Attributes:
        name: of its dataset, after "Dataset" and id.
        labels: name and value of each label, background included.
        description: further arguments of nnU-Net's `generate_dataset_json`: channel names, reference, licence.
        find_patients: returns the patients' folders below the challenge's own, training ones before test ones.
        read_patient: reads a folder; an error leaves the patient out.
        write_case: writes the checked label map of a case into a folder in the platform's format; it is given the notes
            that the conversion made on the patient.
    """

    name: str
    labels: Mapping[str, int]
    description: Mapping[str, Any]
    find_patients: Callable[[Path], list[PatientFolder]]
    read_patient: Callable[[PatientFolder], Patient]
    write_case: Callable[[Volume, str, Path, Sequence[str]], None]


def patient_folders(folder: Path, *, training: bool) -> list[PatientFolder]:
    """Return the folders named patient and a number, in the order of the numbers.

    Raises:
        OSError: if the folder cannot be listed.
    """
    found = []
    for path in folder.iterdir():
        number = path.name.lower().removeprefix("patient")
        if path.is_dir() and number != path.name.lower() and number.isdecimal():
            found.append(PatientFolder(path, int(number), training))
    return sorted(found, key=lambda each: (each.number, each.path.name))
