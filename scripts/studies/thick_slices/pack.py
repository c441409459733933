"""The study at convergence in one folder, for a machine with a GPU and without a network; and its results back."""

import shutil
import sys
from pathlib import Path

from scripts.studies.packing import finish_pack, merge_runs
from scripts.studies.thick_slices.arms import HR_ID
from scripts.studies.thick_slices.converged import CONVERGED_RESULTS, LOSSES
from scripts.studies.thick_slices.workplace import IMAGE_SCORES, LABEL_SCORES, NAMES, results_in

SCRIPT = """#!/usr/bin/env bash
# run.sh [options of `run`]: prepare (once) and run the study at convergence on this machine's GPU.
# RAW is an nnUNet_raw with the hippocampi (default: this folder's), RESULTS where tables go (default: this folder).
# Needs Python with torch (CUDA) and nnunetv2. Afterwards, at home:
#   python -m scripts.studies.thick_slices merge --protocol converged --results RESULTS
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); cd "$here/code"
export PYTHONPATH=$here/code${PYTHONPATH:+:$PYTHONPATH} nnUNet_extTrainer=$here/code/acnn_nnunet/nnunet/ext_trainers
study="python -m scripts.studies.thick_slices"
both=(--protocol converged --work "$here/work" --device cuda --jobs 16 "$@")
$study prepare "${both[@]}" --raw "${RAW:-$here/raw}" --processes "$(nproc)"
$study run "${both[@]}" --results "${RESULTS:-$here/results}"
"""


def pack(raw: Path, output: Path) -> None:
    """Write a folder with the study's HR images, its code and a script that prepares and runs it.

    Args:
        raw: nnUNet_raw with the hippocampi.
        output: new folder.

    Raises:
        SystemExit: if the folder exists, or the pack is too large.
    """
    if output.exists():
        sys.exit(f"{output} exists: name a new folder for the pack.")
    source, target = raw / NAMES[HR_ID], output / "raw" / NAMES[HR_ID]
    target.mkdir(parents=True)
    for name in ("imagesTr", "labelsTr"):
        shutil.copytree(source / name, target / name)
    shutil.copyfile(source / "dataset.json", target / "dataset.json")
    finish_pack(output, SCRIPT)


def merge(folder: Path, *, into: Path = CONVERGED_RESULTS) -> None:
    """Add the runs of another machine's results to the repository's.

    Args:
        folder: what its run.sh wrote to RESULTS.
        into: results to add to.

    Raises:
        SystemExit: if the folder holds no runs.
    """
    found = [loss for loss in LOSSES if results_in(folder / loss).runs()]
    if not found:
        sys.exit(f"{folder} holds no runs.json of {' or '.join(LOSSES)}: give the folder that run.sh wrote to.")
    for loss in found:
        merge_runs(results_in(folder / loss), results_in(into / loss), (LABEL_SCORES, IMAGE_SCORES))
        for prior in (folder / loss).glob("prior_*.json"):
            shutil.copyfile(prior, into / loss / prior.name)
