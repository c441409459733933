"""Can the codes tell diseases apart: ACDC, one prior per fold that never saw the fold's test patients (paper §III-F).

    python -m scripts.studies.classification prepare --work /scratch/classify --raw $nnUNet_raw
    python -m scripts.studies.classification train --work /scratch/classify --minutes 90
    python -m scripts.studies.classification classify --work /scratch/classify
    python -m scripts.studies.classification report                 # docs/evidence/classification.md

Resumable: a prior that is there is not trained again, and a training goes on from its checkpoint. `classify` makes the
loose arm as soon as the prior of all cases is there, and the strict arm as soon as those of all folds are.
"""

import argparse
from pathlib import Path

from scripts.studies.classification.workplace import ALL, NUM_FOLDS, classify, prepare, train
from scripts.studies.defaults.workplace import Workplace


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
    if arguments.step == "report":
        from scripts.studies.classification.report import write_report

        write_report()
        return
    workplace = Workplace("acdc", arguments.work.absolute())
    if arguments.step == "prepare":
        prepare(workplace, arguments.raw.absolute())
    elif arguments.step == "train":
        train(workplace, arguments.folds, minutes=arguments.minutes)
    else:
        classify(workplace)


if __name__ == "__main__":
    main()
