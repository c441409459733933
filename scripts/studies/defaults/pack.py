"""The study in one folder, for a machine with a GPU and without a network; and its results back."""

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from scripts.studies.defaults.arms import BASE, CONFIGURATION, FEW_FOLD, PRIOR_CONFIGURATION
from scripts.studies.defaults.images import PARTS
from scripts.studies.defaults.workplace import RESULTS, SCORES, Workplace
from scripts.studies.packing import MPS, finish_pack, merge_runs
from scripts.studies.results import StudyResults

SCRIPT = f"""#!/usr/bin/env bash
# run.sh DATASET [options of `run`]: prepare (once) and run the study on this machine's GPU.
# Needs Python with torch (CUDA), nnunetv2 and torchio. Afterwards, at home:
#   python -m scripts.studies.defaults merge THIS_FOLDER/code/benchmarks/defaults
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); cd "$here/code"
export PYTHONPATH=$here/code nnUNet_extTrainer=$here/code/acnn_nnunet/nnunet/ext_trainers
python -c 'import torchio' || {{ echo 'No torchio for the test images: pip install it, or bring its wheel.'; exit 1; }}
{MPS}
dataset=$1; shift
[ -d "$here/$dataset/test" ] || python -m scripts.studies.defaults prepare "$dataset" --work "$here" --jobs "$(nproc)"
python -m scripts.studies.defaults run "$dataset" --work "$here" --device cuda --jobs "$(nproc)" "$@"
"""


def pack(datasets: Iterable[str], work: Path, output: Path, *, sizes: Iterable[int] = ()) -> None:
    """Write a folder with everything that training and testing the study's arms need.

    Images go as they are, of the cases that are needed: preprocessed, they take twice the space, and preprocessing them
    takes seconds.

    Args:
        datasets: names of studies, prepared in `work`.
        work: scratch folder of the study.
        output: new folder.
        sizes: other numbers of training cases (patients) whose arms can be run as well.

    Raises:
        SystemExit: if the folder exists, a dataset is not prepared, or the pack is larger than 60 MB.
    """
    if output.exists():
        sys.exit(f"{output} exists: name a new folder for the pack.")
    for name in datasets:
        place = Workplace(name, work / name)
        if not place.folder.is_dir() or not place.plans_file.is_file():
            sys.exit(f"{work} has no plans of {name}: `python -m scripts.studies.defaults prepare {name}` makes them.")
        pack_dataset(place, Workplace(name, output / name), sizes)
    finish_pack(output, SCRIPT)


def pack_dataset(place: Workplace, packed: Workplace, sizes: Iterable[int]) -> None:
    """Copy a dataset's plans and splits, and the images and label maps of the cases that are needed.

    Priors stay behind: the heart's has 55 MB without its optimiser, and `run` trains it in a minute.
    """
    packed.make()
    raw = packed.folder / "raw" / place.raw.name
    raw.mkdir()
    packed.preprocessed.mkdir(parents=True)
    for name in ("dataset.json", "groups.csv"):
        if (place.raw / name).is_file():
            shutil.copyfile(place.raw / name, raw / name)
    for name in ("dataset.json", "dataset_fingerprint.json", "splits_final.json"):
        shutil.copyfile(place.preprocessed / name, packed.preprocessed / name)
    plans = json.loads(place.plans_file.read_text())
    kept = (BASE, CONFIGURATION, PRIOR_CONFIGURATION)  # not those of runs: they name paths on this machine
    plans["configurations"] = {name: plans["configurations"][name] for name in kept}
    packed.plans_file.write_text(json.dumps(plans, indent=2))
    packed.write_split()
    for case in needed_cases(packed, sizes):
        for folder, file in (("imagesTr", f"{case}_0000.nii.gz"), ("labelsTr", f"{case}.nii.gz")):
            (raw / folder).mkdir(exist_ok=True)
            shutil.copyfile(place.raw / folder / file, raw / folder / file)


def needed_cases(place: Workplace, sizes: Iterable[int]) -> list[str]:
    """Return the cases that are trained on, with few cases and with these other numbers, and the test cases."""
    splits = json.loads((place.preprocessed / "splits_final.json").read_text())
    folds = [FEW_FOLD, *(place.fold_of_size(size) for size in sizes if size in place.study.sizes)]
    trained_on = {case for fold in folds for case in splits[fold]["train"]}
    return sorted(trained_on | {case for part in PARTS for case in place.cases(part)})


def merge(folder: Path, *, into: StudyResults = RESULTS) -> None:
    """Add the runs of another machine's results to the repository's.

    Args:
        folder: its benchmarks/defaults.
        into: results to add to.

    Raises:
        SystemExit: if the folder holds no runs.
    """
    brought = StudyResults(folder, keys=into.keys)
    if not brought.runs():
        sys.exit(f"{folder} holds no runs.json with a run: give the folder benchmarks/defaults of a pack that was run.")
    merge_runs(brought, into, (SCORES,))
