"""Prepared pairs on disk: arrays as nnU-Net keeps its preprocessed cases, and a record of each."""

import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from acnn_nnunet.files.safe_writes import WriteError, write_json
from acnn_nnunet.nnunet.plans import HR_KEY
from acnn_nnunet.sr.pairs.grids import RigidMotion
from acnn_nnunet.sr.pairs.preparation import PreparedPair

FOLDER_KEY = "pairs"
"""Entry of `acnn_hr` in a configuration: the folder of its pairs in the preprocessed dataset."""
ARRAY_ENDINGS = (".b2nd", "_seg.b2nd", ".pkl")
RECORD_ENDING = ".json"


@dataclass(frozen=True)
class PairRecord:
    """What is known of a prepared pair.

    Attributes:
        case: its name.
        motion: from the stack's world to the HR image's.
        registered: whether that was asked for.
        remark: why the registration was not taken; empty where it was, or was not asked for.
        overlap: share of the smaller volume that both have.
        spacing_mm: of the stack's slices.
        hr_spacing_mm: of the HR grid that it was prepared on, in the order of the plans.
        thickness_mm: of the slices, where it is told.
        slices: that the HR image covers.
        information_before: mutual information by the headers; None without registration.
        information_after: the same after registration.
        misalignment_before_mm: median in-plane shift of the slices against the HR image, by the headers.
        misalignment_after_mm: the same as the pair is used: the residual.
        scale: per channel, HR intensity = scale · stack intensity + offset.
        offset: per channel.
    """

    case: str
    motion: RigidMotion
    registered: bool
    remark: str
    overlap: float
    spacing_mm: float
    hr_spacing_mm: list[float]
    thickness_mm: float | None
    slices: int
    information_before: float | None
    information_after: float | None
    misalignment_before_mm: float
    misalignment_after_mm: float
    scale: list[float]
    offset: list[float]


def pair_files(folder: Path, case: str) -> list[Path]:
    """Return the files of a prepared pair; the record is the last one to be written."""
    return [folder / f"{case}{ending}" for ending in (*ARRAY_ENDINGS, RECORD_ENDING)]


def save_pair(folder: Path, prepared: PreparedPair, record: PairRecord, *, axis: int, locations: Any) -> None:
    """Write a pair: HR image and repeated stack as channels, labels, and the record.

    The stack's slices are repeated K times, so that one box cuts both.

    Raises:
        WriteError: if a file cannot be written.
    """
    factor = prepared.image.shape[1 + axis] // prepared.stack.shape[1 + axis]
    data = np.concatenate([prepared.image, np.repeat(prepared.stack, factor, axis=1 + axis)]).astype(np.float32)
    partial = folder / f".{record.case}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        partial.mkdir(parents=True)
        whole = {"chunks": data.shape, "blocks": None, "chunks_seg": prepared.labels.shape, "blocks_seg": None}
        whole["blocks"], whole["blocks_seg"] = (1, *data.shape[1:]), prepared.labels.shape
        nnUNetDatasetBlosc2.save_case(
            data, prepared.labels, {"class_locations": locations}, str(partial / record.case), **whole
        )
        for ending in ARRAY_ENDINGS:
            os.replace(partial / f"{record.case}{ending}", folder / f"{record.case}{ending}")
    except (OSError, RuntimeError) as error:
        raise WriteError(f"Could not write the pair {record.case} to {folder} ({error}): free some space.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    write_json(folder / f"{record.case}{RECORD_ENDING}", asdict(record))


def read_record(folder: Path, case: str) -> PairRecord:
    """Return the record of a prepared pair.

    Raises:
        ValueError: naming the file and the remedy, if it is damaged or of another version.
    """
    path = folder / f"{case}{RECORD_ENDING}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["case"] != case:
            raise ValueError(f"it is of {content['case']}")
        motion = RigidMotion(**{key: tuple(value) for key, value in content.pop("motion").items()})
        return PairRecord(motion=motion, **content)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged or of another version ({error!r}): run acnn-nnunet plan-hr again."
        ) from error


def prepared_cases(folder: Path) -> list[str]:
    """Return the cases whose pairs are whole in a folder, sorted."""
    records = sorted(path.name.removesuffix(RECORD_ENDING) for path in folder.glob(f"*{RECORD_ENDING}"))
    return [case for case in records if all(path.is_file() for path in pair_files(folder, case))]


def pairs_folder(configuration: Mapping[str, Any], preprocessed: Path) -> Path | None:
    """Return the folder of a configuration's pairs, if plan-hr has prepared any.

    Args:
        configuration: resolved.
        preprocessed: folder of the dataset.

    Raises:
        FileNotFoundError: if the plans name a folder that is gone.
    """
    name = configuration.get(HR_KEY, {}).get(FOLDER_KEY)
    if name is None:
        return None
    folder = preprocessed / name
    if not folder.is_dir():
        raise FileNotFoundError(f"The pairs in {folder} are gone: make them again with acnn-nnunet plan-hr.")
    return folder


def records_of(folder: Path, cases: Collection[str] | None = None) -> list[PairRecord]:
    """Return the records of the pairs in a folder, or of those of some cases."""
    return [read_record(folder, case) for case in prepared_cases(folder) if cases is None or case in cases]
