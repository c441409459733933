"""From a challenge's patient folders to an nnU-Net raw dataset: what ACDC and CETUS have in common.

A patient whose files are bad is left out, counted and reported with the reason; the others are converted. The dataset
is made beside its place and renamed when it is complete: a run that was stopped leaves none, and can go on.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.journal import Entries
from acnn_nnunet.casewise.parts import part_done
from acnn_nnunet.casewise.recorded import header_of
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.challenges.acdc_splits import SPLITS, PublishedSplit, patient_name
from acnn_nnunet.challenges.challenge import Challenge, PatientFolder
from acnn_nnunet.challenges.staging import StagedPatient, forget_stages, stage_patients, take_over
from acnn_nnunet.files.patients import (
    GROUPS_FILE,
    PHASES,
    CaseGroup,
    ConversionReport,
    Exclusion,
    person_of,
    split_by_patient,
    write_conversion_report,
    write_groups,
)
from acnn_nnunet.files.safe_writes import write_json

COMMAND = "convert"


def convert_challenge(
    challenge: Challenge,
    source: Path,
    dataset_id: int,
    *,
    split: str | None = None,
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
        split: name of published folds to write; None deals the patients of each group out to five folds.
        execution: where the patients are converted, in which part, and whether a stopped run goes on.

    Raises:
        FileNotFoundError: if there are no patients in the source.
        ValueError: if the id is in use or no number from 1 to 999, if nnUNet_raw is not set, if no two training
            patients can be used (the first reasons are named), or if another conversion is under way.
        FileExistsError: if the dataset exists.
        OSError: if it cannot be written.
    """
    source = Path(source)
    folders = named_folders(challenge, source)
    target = _free_folder(challenge.name, dataset_id)
    if split is not None:  # before the work, not after it
        SPLITS[split]().of({patient_name(each.number): [name] for name, each in folders.items() if each.training})
    header = header_of(COMMAND, source, None, folders, challenge=challenge.name, dataset=target.name, split=split)
    entries = stage_patients(challenge, folders, partial_folder(target), header, execution)
    if execution.num_parts > 1:
        return part_done(partial_folder(target), execution, entries)
    return finish_dataset(challenge, source, header, entries, target)


def finish_dataset(
    challenge: Challenge, source: Path, header: dict[str, Any], entries: Entries, target: Path
) -> Outcome:
    """Make the dataset of patients that are converted, and give it its name; without enough of them nothing is left.

    Args:
        challenge: whose patients they are.
        source: folder that its patients come from.
        header: of the conversion.
        entries: of all patients.
        target: folder of the dataset.

    Raises:
        ValueError: if no two training patients can be used, the split does not suit them, or others are there by now.
        OSError: if a file cannot be written.
    """
    dataset = partial_folder(target)
    split = None if header["split"] is None else SPLITS[header["split"]]()
    folders = named_folders(challenge, source)
    if set(folders) != set(header["cases"]):
        raise ValueError(f"The patients in {source} are others than those that were converted: run --continue again.")
    report = ConversionReport(source=str(source))
    patients, rows = _enter(folders, entries, report)
    if len(report.training_patients) < 2:
        shutil.rmtree(dataset)
        reasons = "; ".join(f"{each.patient}: {each.reason}" for each in report.excluded[:3])
        raise ValueError(
            f"{len(report.training_patients)} training patients of {report.source} can be used, at least two are "
            f"needed ({len(report.excluded)} left out{': ' if reasons else ''}{reasons})."
        )
    try:
        num_folds = _finish(dataset, target.name, challenge, rows, report, split)
    except ValueError:  # of those that can be used, a fold of the split has none
        shutil.rmtree(dataset)
        raise
    for patient in patients:
        take_over(patient, dataset)
    dataset.rename(target)
    forget_stages(target)
    excluded = tuple(Excluded(each.patient, each.reason) for each in report.excluded)
    return Outcome(_summary(report, target, num_folds, split), excluded)


def named_folders(challenge: Challenge, source: Path) -> dict[str, PatientFolder]:
    """Return the patients' folders by their path below the challenge's own, training ones first.

    Raises:
        FileNotFoundError: if there are none.
    """
    return {str(each.path.relative_to(source)): each for each in challenge.find_patients(source)}


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


def partial_folder(target: Path) -> Path:
    """Return where a dataset is filled: beside its place, under a name that nnU-Net does not take for a dataset."""
    return target.with_name(f".{target.name}.partial")


def _enter(
    folders: Mapping[str, PatientFolder], entries: Entries, report: ConversionReport
) -> tuple[list[StagedPatient], list[CaseGroup]]:
    """Enter all patients into the report, and return those that are used and the rows of groups.csv."""
    known, patients, rows = _Known(), [], []
    found = {entry["case"]: entry for entry in entries}
    for name, folder in folders.items():
        entry = found[name]
        try:
            if entry["error"] is not None:
                raise ValueError(entry["error"])
            patient = StagedPatient(**entry["patient"])
            twin = known.add(patient, folder)
        except ValueError as error:
            part = "training" if folder.training else "testing"
            report.excluded.append(Exclusion(folder.path.name, str(error), part))
            continue
        patients.append(patient)
        (report.training_patients if folder.training else report.test_patients).append(patient.name)
        if twin is not None:
            report.twins[patient.name] = twin
        if patient.notes:
            report.notes[patient.name] = list(patient.notes)
        rows += [CaseGroup(f"{patient.name}_{phase}", patient.name, phase, patient.group) for phase in PHASES]
    return patients, rows


class _Known:
    """The patients so far, to notice one that comes twice: it would be trained and tested on."""

    def __init__(self) -> None:
        self._by_number: dict[int, PatientFolder] = {}
        self._by_image: dict[str, tuple[str, PatientFolder]] = {}

    def add(self, patient: StagedPatient, folder: PatientFolder) -> str | None:
        """Remember a patient; return the name of another training patient who has the same image, if there is one.

        Raises:
            ValueError: if the number is known, or an image and one of the two is a test patient.
        """
        if first := self._by_number.get(folder.number):
            raise ValueError(f"has the same number as {_short(first)}, which is kept")
        twin = next((self._by_image[each] for each in patient.digests if each in self._by_image), None)
        if twin is not None and not (folder.training and twin[1].training):
            raise ValueError(f"has the same image as {_short(twin[1])}, which is kept")
        self._by_number[folder.number] = folder
        for each in patient.digests:
            self._by_image.setdefault(each, (patient.name, folder))
        return None if twin is None else twin[0]


def _short(folder: PatientFolder) -> str:
    return "/".join(folder.path.parts[-2:])


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
    if split is not None:
        cases_of: dict[str, list[str]] = {}
        for row in training:
            cases_of.setdefault(row.patient, []).append(row.case)
        splits = split.of(cases_of)
    else:
        # Two numbers with one image are one person.
        splits = split_by_patient([replace(row, patient=person_of(row.patient, report.twins)) for row in training])
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
