#!/usr/bin/env python
"""Can the codes tell diseases apart: ACDC, one prior per fold that never saw the fold's test patients (paper §III-F).

    python scripts/study_classification.py prepare --work /scratch/classify --raw $nnUNet_raw
    python scripts/study_classification.py train --work /scratch/classify --minutes 90
    python scripts/study_classification.py classify --work /scratch/classify
    python scripts/study_classification.py report                 # docs/latent.md, section "Classification"

Resumable: a prior that is there is not trained again, and a training goes on from its checkpoint. `classify` makes the
loose arm as soon as the prior of all cases is there, and the strict arm as soon as those of all folds are.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from study_defaults import CONFIGURATION as BASE
from study_defaults import Workplace

ROOT = Path(__file__).parents[1]
NUM_FOLDS = 10
CONFIGURATION = "3d_classification"
ALL = "all"  # nnU-Net's fold of all cases: the prior of the loose arm
SETTINGS = {
    "grid": "roi",
    "architecture": "hybrid",
    "code_size": 64,
    "prior_num_epochs": 6,
    "num_iterations_per_epoch": 160,
    "num_val_iterations_per_epoch": 4,
    "seed": 0,
}


def main() -> None:
    """Run one step of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    for name in ("prepare", "train", "classify"):
        step = steps.add_parser(name)
        step.add_argument("--work", type=Path, required=True, help="scratch folder, outside of the repository")
    steps.choices["prepare"].add_argument("--raw", type=Path, required=True, help="nnUNet_raw that holds the dataset")
    steps.choices["train"].add_argument("--minutes", type=float, default=90, help="start no training after this long")
    steps.choices["train"].add_argument("--folds", nargs="+", default=[*map(str, range(NUM_FOLDS)), ALL])
    steps.add_parser("report")
    arguments = parser.parse_args()
    workplace = Workplace("acdc", arguments.work.absolute())
    if arguments.step == "prepare":
        prepare(workplace, arguments.raw.absolute())
    elif arguments.step == "train":
        train(workplace, arguments.folds, minutes=arguments.minutes)


def prepare(workplace: Workplace, raw: Path) -> None:
    """Plan, preprocess, split into ten folds by person, and write the priors' configuration."""
    for part in ("raw", "preprocessed", "results"):
        (workplace.folder / part).mkdir(parents=True, exist_ok=True)
    source = next(raw.glob(f"Dataset{workplace.study.dataset_id:03d}_*"))
    link = workplace.folder / "raw" / source.name
    if not link.exists():
        link.symlink_to(source)
    dataset = workplace.study.dataset_id
    workplace.command(f"nnUNetv2_plan_and_preprocess -d {dataset} -c {workplace.study.base} --no_pp -np 1")
    workplace.write_configuration()
    workplace.command(f"nnUNetv2_preprocess -d {dataset} -c {BASE} -np 1")
    write_splits(workplace)
    words = " ".join(f"{key}={value}" for key, value in SETTINGS.items())
    workplace.command(f"acnn-nnunet configure {dataset} -c {BASE} -n {CONFIGURATION} {words}")


def write_splits(workplace: Workplace) -> None:
    """Write the study's folds where the host looks for them: stratified by group, all cases of a person in one fold."""
    from acnn_nnunet.datasets.conversion import read_report
    from acnn_nnunet.datasets.groups import GROUPS_FILE, read_groups
    from acnn_nnunet.datasets.patient_splits import split_by_patient

    twins = read_report(workplace.raw)["twins"]
    rows = read_groups(workplace.raw / GROUPS_FILE)
    rows = [replace(row, patient=twins.get(row.patient, row.patient)) for row in rows]
    splits = split_by_patient(rows, num_folds=NUM_FOLDS)
    (workplace.preprocessed / "splits_final.json").write_text(json.dumps(splits, indent=2))


def train(workplace: Workplace, folds: list[str], *, minutes: float) -> None:
    """Train the priors that are not there, as long as time is left to start one."""
    started = time.monotonic()
    for fold in folds:
        if time.monotonic() - started > 60 * minutes:
            sys.exit(f"{minutes} minutes are over; the next prior is that of fold {fold}")
        seconds = workplace.train(CONFIGURATION, fold, "ShapePriorTrainer")
        print(f"fold {fold}: {prior_file(workplace, fold)} ({seconds:.0f} s)", flush=True)


def prior_file(workplace: Workplace, fold: str | int) -> Path:
    """Return where the prior of a fold lies."""
    return workplace.trainer_folder("ShapePriorTrainer", CONFIGURATION, fold) / "checkpoint_final.pth"


if __name__ == "__main__":
    main()
