"""Every patient of a challenge, converted into files of its own and written down: parts and stopped runs go on."""

import hashlib
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.journal import FOLDER, Entries, Journal, cases_of_part
from acnn_nnunet.casewise.recorded import CaseWork, opened_journal, record_cases
from acnn_nnunet.challenges.challenge import Challenge, Patient, PatientFolder
from acnn_nnunet.files.safe_writes import check_names, replace_atomically
from acnn_nnunet.files.volumes import check_labels, check_same_grid, write_volume

_STAGES = ".patients"
PATHS = ("source",)


@dataclass(frozen=True)
class StagedPatient:
    """What the journal says of a patient whose files are written aside.

    Attributes:
        name: the beginning of the names of its cases.
        group: the diagnosis, or empty.
        notes: remarks on the patient's data.
        digests: of its images, which show whether the same image came before.
        files: relative to the dataset's folder.
    """

    name: str
    group: str
    notes: tuple[str, ...]
    digests: tuple[str, ...]
    files: tuple[str, ...]


def stage_patients(
    challenge: Challenge,
    folders: Mapping[str, PatientFolder],
    dataset: Path,
    header: dict[str, Any],
    execution: Execution,
) -> Entries:
    """Write the files of each patient of this part into a folder of its own, and return the entries.

    Args:
        challenge: whose patients they are.
        folders: of the patients, by name.
        dataset: folder that is filled beside its place.
        header: of the run.
        execution: where, which part, and whether an earlier run goes on.

    Raises:
        ValueError: if another conversion is under way there.
        WriteError, SetUpError, ClusterError: as `record_cases`.
    """
    if not execution.go_on:
        _refuse_parts(dataset, execution)
    items = {name: (folder, dataset.absolute() / _STAGES / name.replace("/", "+")) for name, folder in folders.items()}
    work = CaseWork(partial(_convert_patient, challenge), _sources, is_whole=partial(_is_whole, dataset))
    with opened_journal(dataset, header, execution, may_change=("cases",), paths=PATHS) as journal:
        if not execution.go_on and execution.num_parts == 1:
            _clear(dataset, journal)
        part = cases_of_part(header["cases"], num_parts=execution.num_parts, part_id=execution.part_id)
        description = f"converting {challenge.name}"
        mine = {name: items[name] for name in part}
        record_cases(work, mine, journal, execution=execution, unit="patient", description=description)
        return journal.entries_of(part)


def take_over(patient: StagedPatient, dataset: Path) -> None:
    """Move the files of a patient to their place in the dataset.

    Raises:
        ValueError: if the journal names a file that lies elsewhere.
    """
    check_names(patient.files, where=dataset / FOLDER)
    for name in patient.files:
        path = dataset / name
        target = dataset / path.parent.name / path.name
        target.parent.mkdir(exist_ok=True)
        path.replace(target)


def forget_stages(dataset: Path) -> None:
    """Remove what only the conversion needed."""
    for name in (_STAGES, FOLDER):
        shutil.rmtree(dataset / name, ignore_errors=True)


def _convert_patient(challenge: Challenge, item: tuple[PatientFolder, Path]) -> dict[str, Any]:
    """Write the files of a patient into a folder of their own: only when all are there shows who comes twice."""
    folder, stage = item
    patient = challenge.read_patient(folder)
    _check(patient, folder, challenge.labels.values())
    files = _write(patient, folder, stage)
    digests = [hashlib.sha256(each.volume.values.tobytes()).hexdigest() for each in patient.images.values()]
    names = [str(path.relative_to(stage.parents[1])) for path in files]
    return {
        "patient": {
            "name": patient.name,
            "group": patient.group,
            "notes": patient.notes,
            "digests": digests,
            "files": names,
        }
    }


def _sources(item: tuple[PatientFolder, Path]) -> list[Path]:
    return sorted(path for path in item[0].path.glob("*") if path.is_file())


def _is_whole(dataset: Path, entry: dict[str, Any]) -> bool:
    return all((dataset / name).is_file() for name in entry["patient"]["files"])


def _refuse_parts(dataset: Path, execution: Execution) -> None:
    """Raise ValueError where a conversion in parts is under way, or this part was begun."""
    own = Journal.of_part(dataset, num_parts=execution.num_parts, part_id=execution.part_id).path
    begun = set((dataset / FOLDER).glob("part_*_of_*.jsonl"))
    others = {path for path in begun if path.stem.endswith(f"_of_{execution.num_parts}")} - {own}
    if begun - ({own} if execution.num_parts == 1 else others):
        raise ValueError(
            f"{dataset} holds parts of a conversion: go on with --continue, join them with acnn-nnunet merge, or "
            "delete the folder."
        )


def _clear(dataset: Path, journal: Journal) -> None:
    """Remove what a run that was killed left, but for the journal that was begun just now."""
    for path in dataset.iterdir():
        if path.name != journal.path.parent.name:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _check(patient: Patient, folder: PatientFolder, allowed: Collection[int]) -> None:
    for phase, label in patient.labels.items():
        image = patient.images[phase]
        check_labels(label.volume.values, label.name, allowed)
        check_same_grid(label.volume.geometry, label.name, image.volume.geometry, image.name)
    if folder.training and not patient.labels:
        raise ValueError("has no labels")


def _write(patient: Patient, folder: PatientFolder, stage: Path) -> list[Path]:
    suffix, written = "Tr" if folder.training else "Ts", []
    for images, kind, ending in ((patient.images, "images", "_0000.nii.gz"), (patient.labels, "labels", ".nii.gz")):
        for phase, image in images.items():
            path = stage / f"{kind}{suffix}" / f"{patient.name}_{phase}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if image.file is not None:
                replace_atomically(path, partial(shutil.copyfile, image.file))
            else:
                write_volume(path, image.volume)
            written.append(path)
    return written
