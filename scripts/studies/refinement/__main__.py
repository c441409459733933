"""Does `acnn-nnunet refine` help? Networks of the study of defaults, refined on clean and corrupted images.

    python -m scripts.studies.refinement predict hippocampus none_unmirrored 0 --work WORK --store STORE
    python -m scripts.studies.refinement score hippocampus none_unmirrored --work WORK --store STORE --prior PRIOR
    python -m scripts.studies.refinement guarantee acdc none_unmirrored 0 --work WORK --store STORE --prior PRIOR
    python -m scripts.studies.refinement second-stage acdc none_unmirrored --work WORK --store STORE --prior PRIOR
    python -m scripts.studies.refinement report                     # docs/evidence/refine.md from all runs

WORK is the study of defaults' folder with its trained networks; STORE keeps soft predictions. `predict` is resumable.
`score` calibrates on the clean selection cases, where they are predicted, and leaves out the kinds that are scored.
`second-stage` trains AE-Seg, and adds its scores to the kinds that are scored. Both take every seed that has
predictions, unless seeds are named.
"""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.studies.defaults.arms import STUDIES
from scripts.studies.defaults.workplace import Workplace
from scripts.studies.refinement.images import KINDS
from scripts.studies.refinement.predictions import PARTS, Networks, seeds_of

STEPS = ("score", "guarantee", "second-stage")


def main() -> None:
    """Run one step of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    for name in ("predict", *STEPS):
        step = steps.add_parser(name)
        step.add_argument("dataset", choices=STUDIES)
        step.add_argument("network", help="arm of the study of defaults")
        step.add_argument("seeds", type=int, nargs="*", help="default: those with predictions")
        step.add_argument("--work", type=Path, required=True, help="scratch folder of the study of defaults")
        step.add_argument("--store", type=Path, required=True, help="scratch folder of soft predictions")
        step.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
        step.add_argument("--minutes", type=float, default=60)
    steps.choices["predict"].add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    for name in STEPS:
        steps.choices[name].add_argument("--prior", type=Path, required=True)
    steps.add_parser("report")
    arguments = parser.parse_args()
    if arguments.step == "report":
        from scripts.studies.refinement.report import write_report

        write_report()
        return
    place = Workplace(arguments.dataset, arguments.work.absolute() / arguments.dataset)
    os.environ.update(place.environment)  # nnU-Net reads its folders when it is imported
    seeds = arguments.seeds or seeds_of(place, arguments.store, arguments.network)
    if arguments.step == "predict":
        networks = Networks(place, arguments.store)
        until = time.time() + 60 * arguments.minutes
        for seed in seeds:
            for part in arguments.parts:
                networks.predict(arguments.network, seed, part, kinds=arguments.kinds, until=until)
    else:
        score(place, seeds, arguments)


def score(place: Workplace, seeds: Sequence[int], arguments: argparse.Namespace) -> None:
    """Add scores of the confirmation's images: of refined predictions, of what keeps the rules, or of AE-Seg."""
    from scripts.studies.refinement.evaluation import Evaluation, add_run
    from scripts.studies.refinement.guaranteed import add_guaranteed
    from scripts.studies.refinement.second_stage import add_second_stage, train_second_stage

    add = dict(zip(STEPS, (add_run, add_guaranteed, add_second_stage), strict=True))
    until = time.time() + 60 * arguments.minutes
    if arguments.step == "second-stage":
        train_second_stage(place)
    for seed in seeds:
        evaluation = Evaluation(place, arguments.store, arguments.prior, arguments.network, seed)
        add[arguments.step](evaluation, arguments.kinds, until=until)


if __name__ == "__main__":
    main()
