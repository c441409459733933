"""Which prior is worth having: arms trained on few cases, tested on clean and corrupted images of others.

    python -m scripts.studies.defaults prepare hippocampus --work /scratch/study --raw ../shared/data/nnUNet_raw
    python -m scripts.studies.defaults run hippocampus --work /scratch/study --minutes 60
    python -m scripts.studies.defaults report                       # docs/evidence/defaults.md from all runs

Resumable: a run that `benchmarks/defaults/runs.json` lists is not done again, and a training goes on from its
checkpoint. Arms are chosen on cases of fold 0's training part that no network trains on ("selection"; the priors of all
label maps have seen those, and are judged on the others); fold 0's held-out cases are the "confirmation".
"""

import argparse
from pathlib import Path

from scripts.studies.defaults.arms import ARMS, STUDIES
from scripts.studies.defaults.workplace import Workplace


def main() -> None:
    """Run one step of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    for name in ("prepare", "run"):
        step = steps.add_parser(name)
        step.add_argument("dataset", choices=STUDIES)
        step.add_argument("--work", type=Path, required=True, help="scratch folder, outside of the repository")
    steps.choices["prepare"].add_argument("--raw", type=Path, required=True, help="nnUNet_raw that holds the dataset")
    steps.choices["run"].add_argument("--minutes", type=float, default=60, help="start no run after this long")
    steps.choices["run"].add_argument("--seeds", type=int, nargs="+", default=[0])
    steps.choices["run"].add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    steps.choices["run"].add_argument("--jobs", type=int, default=2, help="runs at a time, of one thread each")
    steps.add_parser("report")
    arguments = parser.parse_args()
    if arguments.step == "report":
        from scripts.studies.defaults.report import write_report

        write_report()
        return
    workplace = Workplace(arguments.dataset, arguments.work.absolute() / arguments.dataset)
    if arguments.step == "prepare":
        workplace.prepare(arguments.raw.absolute())
    else:
        workplace.run(arguments.arms, arguments.seeds, minutes=arguments.minutes, jobs=arguments.jobs)


if __name__ == "__main__":
    main()
