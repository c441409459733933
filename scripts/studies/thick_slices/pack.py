"""The study at convergence in one folder, for a machine with a GPU and without a network; and its results back."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.studies.packing import LARGEST_MB, MPS, copy_code, merge_runs, size_mb, write_script
from scripts.studies.thick_slices.converged import CONVERGED_RESULTS, LOSSES
from scripts.studies.thick_slices.workplace import IMAGE_SCORES, LABEL_SCORES, results_in

SCRIPT = f"""#!/usr/bin/env bash
# run.sh [options of `run`]: unpack what is in parts/ and run the study at convergence on this machine's GPU.
# RESULTS is where tables go (default: results/ in this folder). Needs Python with torch (CUDA) and nnunetv2.
# Afterwards, at home:
#   python -m scripts.studies.thick_slices merge --protocol converged --results RESULTS
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$here/work/results"
for part in "$here"/parts/*.tar.xz; do tar -xJf "$part" -C "$here/work" & done
wait
export PYTHONPATH=$here/code${{PYTHONPATH:+:$PYTHONPATH}} nnUNet_extTrainer=$here/code/acnn_nnunet/nnunet/ext_trainers
{MPS}
cd "$here/code"
python -m scripts.studies.thick_slices run --protocol converged --work "$here/work" --device cuda --jobs "$(nproc)" \\
  --results "${{RESULTS:-$here/results}}" "$@"
"""


def pack(work: Path, output: Path) -> None:
    """Write a folder with what was prepared, in archives, the code and a script that runs it.

    No file is larger than 60 MB, so the archives can travel one after the other. Images stay behind: trainings read
    preprocessed ones, and the tests' stacks are among the archives.

    Args:
        work: scratch folder that `prepare` has filled.
        output: new folder.

    Raises:
        SystemExit: if `output` exists, `work` is not prepared, or a file is too large.
    """
    if output.exists():
        sys.exit(f"{output} exists: name a new folder for the pack.")
    if not (work / "test").is_dir():
        sys.exit(f"{work} holds no test images: run `prepare --protocol converged --work {work}` first.")
    (output / "parts").mkdir(parents=True)
    datasets = sorted((work / "preprocessed").iterdir())
    voxels = [folder for dataset in datasets for folder in dataset.glob("nnUNetPlans_*") if folder.is_dir()]
    rest = [path for dataset in datasets for path in dataset.iterdir() if path not in voxels]
    for dataset in datasets:
        rest += [work / "raw" / dataset.name / name for name in ("dataset.json", "labelsTr")]
    _archive(work, rest, output / "parts" / "plans_and_labels.tar.xz")
    _archive(work, [work / "test"], output / "parts" / "tests.tar.xz")
    for folder in voxels:
        _archive(work, [folder], output / "parts" / f"{folder.parent.name}_{folder.name}.tar.xz")
    copy_code(output)
    write_script(output, SCRIPT)
    print(f"{output}: {size_mb(output):.1f} MB; {output / 'run.sh'} says what it needs.")
    if large := [path.name for path in output.rglob("*") if path.is_file() and path.stat().st_size > 1e6 * LARGEST_MB]:
        sys.exit(f"Larger than {LARGEST_MB} MB: {', '.join(large)}.")


def _archive(work: Path, paths: list[Path], archive: Path) -> None:
    """Pack paths of the work folder, what links lead to in their place."""
    names = [str(path.relative_to(work)) for path in paths]
    command = ["tar", "-C", str(work), "--dereference", "-cJf", str(archive), *names]
    subprocess.run(command, check=True, env={**os.environ, "XZ_OPT": "-2"})


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
