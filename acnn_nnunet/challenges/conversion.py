"""From a challenge's patient folders to an nnU-Net raw dataset: what ACDC and CETUS have in common.

A patient whose files are bad is left out, counted and reported with the reason; the others are converted. The dataset
is made beside its place and renamed when it is complete, so that an interrupted conversion leaves none.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.run import run
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.challenges.acdc_splits import PublishedSplit
from acnn_nnunet.challenges.challenge import Challenge, Patient, PatientFolder
from acnn_nnunet.files.patients import (
    GROUPS_FILE,
    PHASES,
    CaseGroup,
    ConversionReport,
    Exclusion,
    split_by_patient,
    write_conversion_report,
    write_groups,
)
from acnn_nnunet.files.safe_writes import replace_atomically, write_json
from acnn_nnunet.files.volumes import check_labels, check_same_grid, write_volume


def convert_challenge(
    challenge: Challenge,
    source: Path,
    dataset_id: int,
    *,
    split: PublishedSplit | None = None,
    execution: Execution = HERE,
) -> Outcome:
    """Write the raw dataset `Dataset<id>_<name>` with splits, groups and report.

    nnU-Net copies `splits_final.json` from the raw folder to the preprocessed one when it plans (nnunetv2 2.8.1,
    experiment_planning/experiment_planners/default_experiment_planner.py, `ExperimentPlanner.__init__` and
    `_maybe_copy_splits_file`).

    Args:
        challenge: such as ACDC.
        source: its folder as it is unpacked.
        dataset_id: 1 to 999, not in use.
        split: published folds to write; None deals the patients of each group out to five folds.
        execution: where the patients are converted; one run does all of them.

    Raises:
        FileNotFoundError: if there are no patients in the source.
        ValueError: if the id is in use or no number from 1 to 999, if nnUNet_raw is not set, or if no two training
            patients can be used; the first reasons are named.
        FileExistsError: if the dataset exists.
        OSError: if it cannot be written.
    """
    folders = challenge.find_patients(Path(source))
    target = _free_folder(challenge.name, dataset_id)
    report = ConversionReport(source=str(source))
    with _built_beside(target) as dataset:
        rows = _write_patients(dataset, challenge, folders, report, execution)
        num_folds = _finish(dataset, target.name, challenge, rows, report, split)
    excluded = tuple(Excluded(each.patient, each.reason) for each in report.excluded)
    return Outcome(_summary(report, target, num_folds, split), excluded)


def nnunet_raw() -> Path:
    """Return the folder of nnU-Net's raw datasets, or raise ValueError if the variable is not set."""
    raw = os.environ.get("nnUNet_raw")
    if not raw:
        raise ValueError("nnUNet_raw is not set: export nnUNet_raw=FOLDER, the folder of nnU-Net's raw datasets.")
    return Path(raw)


def _summary(report: ConversionReport, dataset: Path, num_folds: int, split: PublishedSplit | None) -> str:
    """Return the lines that the command prints."""
    lines = [
        f"{dataset}: {len(report.training_patients)} training patients in {num_folds} folds, "
        f"{len(report.test_patients)} test patients, {len(report.excluded)} left out"
    ]
    lines += [f"  left out: {each.patient} ({each.part}): {each.reason}" for each in report.excluded]
    where = "same fold" if split is None else "the split has them as two patients"
    lines += [f"  {second} has the same image as {first}: {where}" for second, first in report.twins.items()]
    patients: dict[str, list[str]] = {}
    for patient, notes in report.notes.items():
        for note in notes:
            patients.setdefault(note, []).append(patient)
    lines += [f"  {note}: {_named(noted)}" for note, noted in patients.items()]
    lines += _said(split, report)
    lines.append(f"next: nnUNetv2_plan_and_preprocess -d {int(dataset.name[7:10])} --verify_dataset_integrity")
    return "\n".join(lines)


def _said(split: PublishedSplit | None, report: ConversionReport) -> list[str]:
    """Return the lines about a published split: who is not there, and its traps."""
    if split is None:
        return []
    absent = split.absent(report.training_patients)
    lines = [f"split: {trap}" for trap in split.traps]
    if absent:
        lines.insert(
            0,
            f"split: {len(absent)} of its {len(split.patients)} patients are not in {report.source}, so its "
            f"numbers do not compare fully with published ones: {', '.join(absent)}",
        )
    return lines


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
    beside = target.with_name(f".{target.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        beside.rename(target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


@dataclass(frozen=True)
class _Converted:
    """A patient whose files are written aside, and what shows whether the same image came before."""

    patient: Patient
    digests: tuple[bytes, ...]


def _write_patients(
    dataset: Path,
    challenge: Challenge,
    folders: Sequence[PatientFolder],
    report: ConversionReport,
    execution: Execution,
) -> list[CaseGroup]:
    """Write the cases of each patient, enter all patients into the report, and return the rows of groups.csv."""
    known, rows = _Known(), []
    stages = [dataset.absolute() / f".{index}" for index in range(len(folders))]
    cases = {str(folder.path): (folder, stage) for folder, stage in zip(folders, stages, strict=True)}
    description = f"converting {challenge.name}"
    work = partial(_convert_patient, challenge)
    results = run(work, cases, execution=execution, unit="patient", description=description)
    for folder, stage, result in zip(folders, stages, results, strict=True):
        try:
            if result.value is None:
                raise ValueError(str(result.error))
            patient, twin = result.value.patient, known.add(result.value, folder)
        except ValueError as error:
            part = "training" if folder.training else "testing"
            report.excluded.append(Exclusion(folder.path.name, str(error), part))
            shutil.rmtree(stage, ignore_errors=True)
            continue
        _take_over(stage, dataset)
        (report.training_patients if folder.training else report.test_patients).append(patient.name)
        if twin is not None:
            report.twins[patient.name] = twin
        if patient.notes:
            report.notes[patient.name] = list(patient.notes)
        rows += [CaseGroup(f"{patient.name}_{phase}", patient.name, phase, patient.group) for phase in PHASES]
    return rows


def _convert_patient(challenge: Challenge, item: tuple[PatientFolder, Path]) -> _Converted:
    """Write the files of a patient into a folder of their own: only when all are there shows who comes twice."""
    folder, stage = item
    patient = challenge.read_patient(folder)
    _check(patient, folder, challenge.labels.values())
    digests = tuple(hashlib.sha256(each.volume.values.tobytes()).digest() for each in patient.images.values())
    _write(patient, folder, stage)
    return _Converted(replace(patient, images={}, labels={}), digests)


def _take_over(stage: Path, dataset: Path) -> None:
    for path in sorted(stage.glob("*/*")):
        target = dataset / path.relative_to(stage)
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    shutil.rmtree(stage)


class _Known:
    """The patients so far, to notice one that comes twice: it would be trained and tested on."""

    def __init__(self) -> None:
        self._by_number: dict[int, PatientFolder] = {}
        self._by_image: dict[bytes, tuple[str, PatientFolder]] = {}

    def add(self, converted: _Converted, folder: PatientFolder) -> str | None:
        """Remember a patient; return the name of another training patient who has the same image, if there is one.

        Raises:
            ValueError: if the number is known, or an image and one of the two is a test patient.
        """
        if first := self._by_number.get(folder.number):
            raise ValueError(f"has the same number as {_short(first)}, which is kept")
        twin = next((self._by_image[each] for each in converted.digests if each in self._by_image), None)
        if twin is not None and not (folder.training and twin[1].training):
            raise ValueError(f"has the same image as {_short(twin[1])}, which is kept")
        self._by_number[folder.number] = folder
        for each in converted.digests:
            self._by_image.setdefault(each, (converted.patient.name, folder))
        return None if twin is None else twin[0]


def _short(folder: PatientFolder) -> str:
    return "/".join(folder.path.parts[-2:])


def _check(patient: Patient, folder: PatientFolder, allowed: Collection[int]) -> None:
    for phase, label in patient.labels.items():
        image = patient.images[phase]
        check_labels(label.volume.values, label.name, allowed)
        check_same_grid(label.volume.geometry, label.name, image.volume.geometry, image.name)
    if folder.training and not patient.labels:
        raise ValueError("has no labels")


def _write(patient: Patient, folder: PatientFolder, dataset: Path) -> None:
    suffix = "Tr" if folder.training else "Ts"
    for images, kind, ending in ((patient.images, "images", "_0000.nii.gz"), (patient.labels, "labels", ".nii.gz")):
        for phase, image in images.items():
            path = dataset / f"{kind}{suffix}" / f"{patient.name}_{phase}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if image.file is not None:
                replace_atomically(path, partial(shutil.copyfile, image.file))
            else:
                write_volume(path, image.volume)


def _finish(
    dataset: Path,
    dataset_name: str,
    challenge: Challenge,
    rows: Sequence[CaseGroup],
    report: ConversionReport,
    split: PublishedSplit | None,
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
    if split is not None:
        cases_of: dict[str, list[str]] = {}
        for row in training:
            cases_of.setdefault(row.patient, []).append(row.case)
        splits = split.of(cases_of)
    else:
        # Two numbers with one image are one person.
        splits = split_by_patient(
            [replace(row, patient=report.twins.get(row.patient, row.patient)) for row in training]
        )
    write_json(dataset / "splits_final.json", splits)
    write_groups(dataset / GROUPS_FILE, rows)
    write_conversion_report(dataset, report)
    generate_dataset_json(
        str(dataset),
        labels=dict(challenge.labels),
        num_training_cases=len(training),
        file_ending=".nii.gz",
        dataset_name=dataset_name,
        converted_by="acnn-nnunet",
        **challenge.description,
    )
    return len(splits)
