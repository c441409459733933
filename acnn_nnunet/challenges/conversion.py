"""From a challenge's patient folders to an nnU-Net raw dataset: what ACDC and CETUS have in common.

A patient whose files are bad is left out, counted and reported with the reason; the others are converted. The dataset
is made beside its place and renamed when it is complete, so that an interrupted conversion leaves none.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import SimpleITK
from tqdm import tqdm

from acnn_nnunet.files.patient_splits import split_by_patient
from acnn_nnunet.files.patients import GROUPS_FILE, CaseGroup, write_groups
from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.files.volumes import check_image, check_label, check_same_grid, write_volume

REPORT_FILE = "conversion_report.json"
PHASES = ("ED", "ES")


@dataclass(frozen=True)
class Volume:
    """An image in memory and, where its file can be taken over as it is (a NIfTI file), that file."""

    image: SimpleITK.Image
    name: str
    file: Path | None = None


@dataclass(frozen=True)
class Patient:
    """What was read from a patient's folder.

    Attributes:
        name: the beginning of the names of its cases.
        group: the diagnosis, or empty.
        images: the image of each phase.
        labels: the label map of each phase, or nothing for a test patient without.
        notes: what was done to the data and has to be known.
    """

    name: str
    group: str
    images: dict[str, Volume]
    labels: dict[str, Volume]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PatientFolder:
    """Where a patient lies, and whether it is in the training part."""

    path: Path
    number: int
    training: bool


@dataclass(frozen=True)
class Exclusion:
    """A patient that was left out, and why."""

    patient: str
    part: str
    reason: str


@dataclass
class Report:
    """What a conversion did; `conversion_report.json` holds the same.

    Attributes:
        source: the challenge's folder.
        training_patients: converted into imagesTr and labelsTr.
        test_patients: converted into imagesTs and, with labels, labelsTs.
        excluded: left out, and why.
        twins: a training patient, and the earlier one with the same image, whose fold it shares.
        notes: what was done to a patient's data and has to be known.
    """

    source: str
    training_patients: list[str] = field(default_factory=list)
    test_patients: list[str] = field(default_factory=list)
    excluded: list[Exclusion] = field(default_factory=list)
    twins: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def summary(self, dataset: Path, num_folds: int) -> str:
        """Return the lines that the command prints."""
        lines = [
            f"{dataset}: {len(self.training_patients)} training patients in {num_folds} folds, "
            f"{len(self.test_patients)} test patients, {len(self.excluded)} left out"
        ]
        lines += [f"  left out: {each.patient} ({each.part}): {each.reason}" for each in self.excluded]
        lines += [f"  {second} has the same image as {first}: same fold" for second, first in self.twins.items()]
        lines += [f"  {note}: {_named(patients)}" for note, patients in self._patients_of_notes().items()]
        lines.append(f"next: nnUNetv2_plan_and_preprocess -d {int(dataset.name[7:10])} --verify_dataset_integrity")
        return "\n".join(lines)

    def _patients_of_notes(self) -> dict[str, list[str]]:
        patients: dict[str, list[str]] = {}
        for patient, notes in self.notes.items():
            for note in notes:
                patients.setdefault(note, []).append(patient)
        return patients


def convert_patients(
    name: str,
    dataset_id: int,
    folders: Sequence[PatientFolder],
    read_patient: Callable[[PatientFolder], Patient],
    *,
    source: Path,
    labels: dict[str, int],
    description: dict[str, Any],
) -> str:
    """Write the raw dataset `Dataset<id>_<name>` with splits, groups and report, and return a summary to print.

    nnU-Net copies `splits_final.json` from the raw folder to the preprocessed one when it plans (nnunetv2 2.8.1,
    experiment_planning/experiment_planners/default_experiment_planner.py, `ExperimentPlanner.__init__` and
    `_maybe_copy_splits_file`).

    Args:
        name: the dataset's name without "Dataset" and id.
        dataset_id: 1 to 999, not in use.
        folders: the patients' folders, training ones before test ones.
        read_patient: reads a folder; a ValueError or OSError leaves the patient out.
        source: for the report.
        labels: name and value of each label, background included.
        description: what else `generate_dataset_json` takes: channel names, reference, licence.

    Raises:
        ValueError: if the id is in use or no number from 1 to 999, if nnUNet_raw is not set, or if no two training
            patients can be used; the first reasons are named.
        FileExistsError: if the dataset exists.
        OSError: if it cannot be written.
    """
    target = _free_folder(name, dataset_id)
    report = Report(source=str(source))
    rows: list[CaseGroup] = []
    with _built_beside(target) as partial:
        known = _Known()
        for folder in tqdm(folders, desc=f"converting {name}", unit="patient", disable=None):
            try:
                patient = read_patient(folder)
                _check(patient, folder, labels.values())
                twin = known.add(patient, folder)
            except (ValueError, OSError) as error:
                part = "training" if folder.training else "testing"
                report.excluded.append(Exclusion(folder.path.name, part, " ".join(str(error).split())))
                continue
            _write(patient, folder, partial)
            (report.training_patients if folder.training else report.test_patients).append(patient.name)
            if twin is not None:
                report.twins[patient.name] = twin
            if patient.notes:
                report.notes[patient.name] = list(patient.notes)
            rows += [CaseGroup(f"{patient.name}_{phase}", patient.name, phase, patient.group) for phase in PHASES]
        num_folds = _finish(partial, target.name, rows, report, labels, description)
    return report.summary(target, num_folds)


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


def nnunet_raw() -> Path:
    """Return the folder of nnU-Net's raw datasets, or raise ValueError if the variable is not set."""
    raw = os.environ.get("nnUNet_raw")
    if not raw:
        raise ValueError("nnUNet_raw is not set: export nnUNet_raw=FOLDER, the folder of nnU-Net's raw datasets.")
    return Path(raw)


def read_report(dataset: Path) -> dict[str, Any]:
    """Return what `convert_patients` wrote into `conversion_report.json`.

    Raises:
        FileNotFoundError: if the dataset has none.
        ValueError: if it cannot be read.
    """
    path = dataset / REPORT_FILE
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: `acnn-nnunet convert` makes datasets that can be submitted.")
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return {name: report[name] for name in Report.__dataclass_fields__}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): convert the dataset again.") from error


def _named(patients: Sequence[str]) -> str:
    more = f" and {len(patients) - 3} more" if len(patients) > 3 else ""
    return ", ".join(patients[:3]) + more


def _free_folder(name: str, dataset_id: int) -> Path:
    from nnunetv2.utilities.dataset_name_id_conversion import find_candidate_datasets

    raw = nnunet_raw()
    if not 1 <= dataset_id <= 999:
        raise ValueError(f"The dataset id is a number from 1 to 999, got {dataset_id}.")
    target = raw / f"Dataset{dataset_id:03d}_{name}"
    if target.exists():
        raise FileExistsError(f"{target} exists: delete it or choose another dataset id.")
    if others := [str(each) for each in find_candidate_datasets(dataset_id) if each != target.name]:
        raise ValueError(f"Dataset id {dataset_id} is taken by {', '.join(others)}: choose another one.")
    return target


@contextmanager
def _built_beside(target: Path) -> Iterator[Path]:
    """Give a folder to fill, which becomes `target` when all went well and is removed otherwise."""
    # nnU-Net takes every folder that begins with Dataset for a dataset.
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


class _Known:
    """The patients so far, to notice one that comes twice: it would be trained and tested on."""

    def __init__(self) -> None:
        self._by_number: dict[int, PatientFolder] = {}
        self._by_image: dict[bytes, tuple[str, PatientFolder]] = {}

    def add(self, patient: Patient, folder: PatientFolder) -> str | None:
        """Remember a patient; return the name of another training patient who has the same image, if there is one.

        Raises:
            ValueError: if the number is known, or an image and one of the two is a test patient.
        """
        if first := self._by_number.get(folder.number):
            raise ValueError(f"has the same number as {_short(first)}, which is kept")
        digests = [hashlib.sha256(_pixels(each.image)).digest() for each in patient.images.values()]
        twin = next((self._by_image[each] for each in digests if each in self._by_image), None)
        if twin is not None and not (folder.training and twin[1].training):
            raise ValueError(f"has the same image as {_short(twin[1])}, which is kept")
        self._by_number[folder.number] = folder
        for each in digests:
            self._by_image.setdefault(each, (patient.name, folder))
        return None if twin is None else twin[0]


def _pixels(image: SimpleITK.Image) -> bytes:
    return SimpleITK.GetArrayViewFromImage(image).tobytes()


def _short(folder: PatientFolder) -> str:
    return "/".join(folder.path.parts[-2:])


def _check(patient: Patient, folder: PatientFolder, allowed: Collection[int]) -> None:
    for phase in PHASES:
        image = patient.images[phase]
        check_image(image.image, image.name)
        if patient.labels:
            label = patient.labels[phase]
            check_label(label.image, label.name, allowed)
            check_same_grid(label.image, label.name, image.image, image.name)
    if folder.training and not patient.labels:
        raise ValueError("has no labels")


def _write(patient: Patient, folder: PatientFolder, dataset: Path) -> None:
    suffix = "Tr" if folder.training else "Ts"
    for volumes, kind, ending in ((patient.images, "images", "_0000.nii.gz"), (patient.labels, "labels", ".nii.gz")):
        for phase, volume in volumes.items():
            path = dataset / f"{kind}{suffix}" / f"{patient.name}_{phase}{ending}"
            path.parent.mkdir(exist_ok=True)
            if volume.file is not None:
                shutil.copyfile(volume.file, path)
                continue
            write_volume(volume.image, path)


def _finish(
    dataset: Path,
    name: str,
    rows: Sequence[CaseGroup],
    report: Report,
    labels: dict[str, int],
    description: dict[str, Any],
) -> int:
    """Write splits, groups, report and dataset.json, and return the number of folds."""
    from nnunetv2.dataset_conversion.generate_dataset_json import generate_dataset_json

    training = [row for row in rows if row.patient in set(report.training_patients)]
    if len(report.training_patients) < 2:
        reasons = "; ".join(f"{each.patient}: {each.reason}" for each in report.excluded[:3])
        raise ValueError(
            f"{len(report.training_patients)} training patients of {report.source} can be used, at least two are "
            f"needed ({len(report.excluded)} left out{': ' if reasons else ''}{reasons})."
        )
    # Two numbers with one image are one person.
    splits = split_by_patient([replace(row, patient=report.twins.get(row.patient, row.patient)) for row in training])
    write_json(dataset / "splits_final.json", splits)
    write_groups(dataset / GROUPS_FILE, rows)
    write_json(dataset / REPORT_FILE, asdict(report))
    generate_dataset_json(
        str(dataset),
        labels=dict(labels),
        num_training_cases=len(training),
        file_ending=".nii.gz",
        dataset_name=name,
        converted_by="acnn-nnunet",
        **description,
    )
    return len(splits)
