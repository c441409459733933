"""Does `acnn-nnunet refine` help? Networks of the study of defaults, refined on clean and corrupted images.

    python -m scripts.studies.refinement predict hippocampus none_unmirrored 0 --work WORK --store STORE
    python -m scripts.studies.refinement score hippocampus none_unmirrored 0 --work WORK --store STORE --prior PRIOR
    python -m scripts.studies.refinement report                     # docs/evidence/refine.md from all runs

WORK is the study of defaults' folder with its trained networks; STORE keeps soft predictions. `predict` is resumable.
"""

import argparse
import time
from pathlib import Path

from scripts.studies.defaults.arms import STUDIES
from scripts.studies.defaults.workplace import Workplace
from scripts.studies.refinement.images import KINDS
from scripts.studies.refinement.predictions import PARTS, Networks


def main() -> None:
    """Run one step of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    for name in ("predict", "score"):
        step = steps.add_parser(name)
        step.add_argument("dataset", choices=STUDIES)
        step.add_argument("network", help="arm of the study of defaults")
        step.add_argument("seed", type=int)
        step.add_argument("--work", type=Path, required=True, help="scratch folder of the study of defaults")
        step.add_argument("--store", type=Path, required=True, help="scratch folder of soft predictions")
        step.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
        step.add_argument("--minutes", type=float, default=60)
    steps.choices["score"].add_argument("--prior", type=Path, required=True)
    steps.add_parser("report")
    arguments = parser.parse_args()
    if arguments.step == "report":
        from scripts.studies.refinement.report import write_report

        write_report()
        return
    place = Workplace(arguments.dataset, arguments.work.absolute() / arguments.dataset)
    if arguments.step == "predict":
        networks = Networks(place, arguments.store)
        for part in PARTS:
            until = time.time() + 60 * arguments.minutes
            networks.predict(arguments.network, arguments.seed, part, kinds=arguments.kinds, until=until)
    else:
        score(place, arguments)


def score(place: Workplace, arguments: argparse.Namespace) -> None:
    """Calibrate on the selection's clean cases, score the confirmation's images, and add the run to the results."""
    from scripts.studies.refinement.evaluation import Evaluation, add_run

    evaluation = Evaluation(place, arguments.store, arguments.prior, arguments.network, arguments.seed)
    add_run(evaluation, arguments.kinds)


if __name__ == "__main__":
    main()
