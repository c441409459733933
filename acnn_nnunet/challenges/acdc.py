"""ACDC (MICCAI 2017): cine-MR of the heart at end-diastole and end-systole, in and out.

Bernard et al., Deep Learning Techniques for Automatic MRI Cardiac Multi-Structures Segmentation and Diagnosis: Is the
Problem Solved?, IEEE TMI 37(11), 2018.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from acnn_nnunet.challenges.acdc_splits import patient_name
from acnn_nnunet.challenges.challenge import Challenge, Patient, PatientFolder, PhaseImage, patient_folders
from acnn_nnunet.evaluation.anatomy.presets import PRESETS
from acnn_nnunet.evaluation.anatomy.rules import DATASET_KEY
from acnn_nnunet.files.patients import PHASES
from acnn_nnunet.files.safe_writes import read_text
from acnn_nnunet.files.volumes import Volume, read_series, read_volume, write_volume

LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
GROUPS = ("NOR", "MINF", "DCM", "HCM", "RV")


def read_patient(folder: PatientFolder) -> Patient:
    """Read a patient's group and its images and labels at end-diastole and end-systole.

    A frame that has no file of its own is taken from the `_4d` series; frames are counted from 1.

    Raises:
        ValueError, OSError: naming what is wrong with the patient's files.
    """
    info = _read_info(folder.path / "Info.cfg")
    frames = {phase: _frame_number(info, phase) for phase in PHASES}
    if frames["ED"] == frames["ES"]:
        raise ValueError(f"Info.cfg says frame {frames['ED']} for both ED and ES")
    group = info.get("GROUP", "")
    # The test patients of the challenge came without their group.
    if folder.training and not group:
        raise ValueError("Info.cfg has no Group")
    is_known = group.upper() in ("", *GROUPS)
    stems = {phase: f"{folder.path.name}_frame{frame:02d}" for phase, frame in frames.items()}
    label_files = {phase: folder.path / f"{stem}_gt.nii.gz" for phase, stem in stems.items()}
    labelled = folder.training or any(path.exists() for path in label_files.values())
    return Patient(
        name=patient_name(folder.number),
        group=group.upper() if is_known else group,
        images=_read_frames(folder.path, frames),
        labels={phase: _read_file(label_files[phase]) for phase in PHASES if labelled},
        notes=() if is_known else (f"group {group!r} is none of ACDC's ({', '.join(GROUPS)}) and is kept as it is",),
    )


def _find_patients(source: Path) -> list[PatientFolder]:
    """Return the patients of the folders training and testing, or of the folder with the training patients itself."""
    training = source / "training" if (source / "training").is_dir() else source
    folders = patient_folders(training, training=True) if training.is_dir() and training.name != "testing" else []
    if not folders:
        raise FileNotFoundError(
            f"There are no folders training/patientNNN in {source}: give the folder that holds ACDC's training folder."
        )
    if training != source and (source / "testing").is_dir():
        folders += patient_folders(source / "testing", training=False)
    return folders


def _read_info(path: Path) -> dict[str, str]:
    """Return the `key: value` lines of Info.cfg, keys in upper case."""
    if not path.is_file():
        raise ValueError(f"{path.name} is missing")
    try:
        lines = read_text(path).splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is no text file ({error})") from error
    found = (re.fullmatch(r"\s*(\w+)\s*[:=]\s*(.*?)\s*", line) for line in lines)
    return {match[1].upper(): match[2] for match in found if match}


def _frame_number(info: dict[str, str], phase: str) -> int:
    text = info.get(phase, "")
    if not text.isdecimal() or int(text) < 1:
        found = f"is {text!r}, not the number of a frame" if text else "is missing"
        raise ValueError(f"Info.cfg: {phase} {found}")
    return int(text)


def _read_frames(folder: Path, frames: dict[str, int]) -> dict[str, PhaseImage]:
    files = {phase: folder / f"{folder.name}_frame{frame:02d}.nii.gz" for phase, frame in frames.items()}
    series_path = folder / f"{folder.name}_4d.nii.gz"
    if all(path.exists() for path in files.values()) or not series_path.exists():
        return {phase: _read_file(path) for phase, path in files.items()}
    series = read_series(series_path)
    if max(frames.values()) > len(series):
        raise ValueError(f"{series_path.name} has {len(series)} frames, Info.cfg says {max(frames.values())}")
    return {
        phase: _read_file(files[phase])
        if files[phase].exists()
        else PhaseImage(series[frame - 1], f"frame {frame} of {series_path.name}")
        for phase, frame in frames.items()
    }


def _read_file(path: Path) -> PhaseImage:
    return PhaseImage(read_volume(path), path.name, file=path)


def _write_case(label: Volume, case: str, folder: Path, _: Sequence[str]) -> None:
    write_volume(folder / f"{case}.nii.gz", label)


ACDC = Challenge(
    "ACDC",
    LABELS,
    {
        "channel_names": {"0": "cineMRI"},
        "description": "Automated Cardiac Diagnosis Challenge: short-axis cine-MR at end-diastole and end-systole",
        "reference": "Bernard et al., IEEE TMI 37(11), 2018, https://doi.org/10.1109/TMI.2018.2837502",
        "license": "CC BY-NC-SA 4.0",
        DATASET_KEY: PRESETS["acdc"],
    },
    _find_patients,
    read_patient,
    _write_case,
)
