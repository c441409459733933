r"""Which predictions to trust: an ensemble's disagreement, a shape prior and rules, alone and together.

    python -m scripts.studies.plausibility images acdc --work /scratch/plausibility --defaults /scratch/study \
        --other ../shared/data/nnUNet_raw/Dataset004_Hippocampus/imagesTr
    python -m scripts.studies.plausibility train acdc --work /scratch/plausibility --defaults /scratch/study --jobs 2
    python -m scripts.studies.plausibility predict acdc --work /scratch/plausibility --defaults /scratch/study
    python -m scripts.studies.plausibility run acdc --work /scratch/plausibility --defaults /scratch/study
    python -m scripts.studies.plausibility report           # writes docs/evidence/plausibility.md

`--defaults` is the scratch folder of the study of defaults, with the prepared dataset and the prior. The prior is
trained on its few cases, the members on five folds of them; calibrations are made of cases that nothing was trained on,
and measured on others, fold 0's held-out patients among them. Resumable: networks, predictions and scores that are
there are kept; remove WORK/NAME/members, WORK/NAME/ensemble and WORK/NAME/scores to take other members or rules.
"""

import argparse
import json
from pathlib import Path

from scripts.studies.defaults.arms import STUDIES
from scripts.studies.defaults.workplace import Workplace
from scripts.studies.plausibility.ensembles import ARM, NUM_FOLDS, Ensemble, train_folds
from scripts.studies.plausibility.images import CHOSEN_FILE, write_images
from scripts.studies.plausibility.report import write_report
from scripts.studies.plausibility.workplace import Run

PRIOR = "roi20_unmirrored"


def main() -> None:
    """Run one step of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    for name in ("images", "train", "predict", "run"):
        step = steps.add_parser(name)
        step.add_argument("dataset", choices=STUDIES)
        step.add_argument("--work", type=Path, required=True, help="scratch folder, outside of the repository")
        step.add_argument("--defaults", type=Path, required=True, help="scratch folder of the study of defaults")
    steps.choices["images"].add_argument("--other", type=Path, required=True, help="images of another organ")
    steps.choices["train"].add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    folds = [f"{ARM}_fold{number}" for number in range(NUM_FOLDS)]
    steps.choices["predict"].add_argument("--models", nargs="+", default=folds, help="members; default: the five folds")
    steps.choices["run"].add_argument("--prior", type=Path, help=f"default: {PRIOR} of the study of defaults")
    steps.add_parser("report")
    arguments = parser.parse_args()
    if arguments.step == "report":
        write_report()
        return
    place = Workplace(arguments.dataset, arguments.defaults.absolute() / arguments.dataset)
    folder = arguments.work.absolute() / arguments.dataset
    if arguments.step == "images":
        write_images(place, folder, other_images=arguments.other)
    elif arguments.step == "train":
        train_folds(place, jobs=arguments.jobs)
    elif arguments.step == "predict":
        keys = sorted(json.loads((folder / CHOSEN_FILE).read_text()))
        Ensemble(place, folder, arguments.models).predict(keys)
    else:
        run = Run(
            arguments.dataset,
            folder,
            prior_file=arguments.prior or place.prior_file(PRIOR),
            rules_file=Path("acdc") if arguments.dataset == "acdc" else None,  # the sixteen criteria
            grouped=place.study.grouped,
        )
        run.run()


if __name__ == "__main__":
    main()
