"""What a prior, hidden parts and mirroring bring: arms trained on few cases, tested on clean and bad images of others.

    python -m scripts.studies.defaults prepare hippocampus --work /scratch/study --raw ../shared/data/nnUNet_raw
    python -m scripts.studies.defaults run hippocampus --work /scratch/study --minutes 60
    python -m scripts.studies.defaults score hippocampus --work /scratch/study      # trainings that ended elsewhere
    python -m scripts.studies.defaults report                       # docs/evidence/defaults.md from all runs

Resumable: a run that `benchmarks/defaults/runs.json` lists is not done again, and a training goes on from its
checkpoint. Arms are chosen on cases of fold 0's training part that no network trains on ("selection"); fold 0's
held-out cases are the "confirmation", and are read once. `--lines` adds the arms of "When does a prior pay?".

On a machine with a GPU and without a network: `pack` writes a folder with data, plans and code; its run.sh prepares and
runs a dataset there; `merge` takes in the results that come back.
"""

import argparse
from pathlib import Path

from scripts.studies.defaults.arms import ARMS, PRIORS, STUDIES, lines

DEVICES = ("cpu", "cuda")


def main() -> None:
    """Run one step of the study."""
    arguments = parse()
    if arguments.step == "report":
        from scripts.studies.defaults.report import write_report

        write_report()
    elif arguments.step == "merge":
        from scripts.studies.defaults.pack import merge

        merge(arguments.folder.absolute())
    elif arguments.step == "pack":
        from scripts.studies.defaults.pack import pack

        pack(arguments.datasets, arguments.work.absolute(), arguments.output.absolute(), sizes=arguments.sizes)
    else:
        run_step(arguments)


def parse() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    for name in ("prepare", "run", "score", "files"):
        step = steps.add_parser(name)
        step.add_argument("dataset", choices=STUDIES)
        step.add_argument("--work", type=Path, required=True, help="scratch folder, outside of the repository")
    steps.choices["prepare"].add_argument("--raw", type=Path, help="nnUNet_raw with the dataset; not in a pack")
    for name in ("run", "score"):
        step = steps.choices[name]
        step.add_argument("--seeds", type=int, nargs="+", default=[0])
        step.add_argument("--arms", nargs="+", metavar="ARM", help="default: all but the lines")
        step.add_argument("--lines", action="store_true", help="the arms of other numbers of cases and steps as well")
        step.add_argument("--device", choices=DEVICES, default="cpu")
    steps.choices["run"].add_argument("--minutes", type=float, default=60, help="start no run after this long")
    steps.choices["run"].add_argument("--priors", nargs="+", default=[], choices=PRIORS, help="to train besides")
    for name in ("prepare", "run"):
        steps.choices[name].add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    steps.choices["files"].add_argument("--arm", choices=ARMS, default="none_unmirrored")
    steps.choices["files"].add_argument("--seed", type=int, default=0)
    steps.add_parser("report")
    steps.add_parser("merge").add_argument("folder", type=Path, help="benchmarks/defaults of a pack that was run")
    step = steps.add_parser("pack")
    step.add_argument("datasets", nargs="+", choices=STUDIES)
    step.add_argument("--work", type=Path, required=True, help="scratch folder, prepared")
    step.add_argument("-o", "--output", type=Path, required=True)
    step.add_argument(
        "--sizes", type=int, nargs="+", default=[], help="numbers of training cases of the lines to carry"
    )
    arguments = parser.parse_args()
    if getattr(arguments, "arms", None):
        known = {**ARMS, **lines(STUDIES[arguments.dataset])}
        if unknown := [arm for arm in arguments.arms if arm not in known]:
            parser.error(f"{arguments.dataset} has no arm {', '.join(unknown)}: it has {', '.join(known)}")
    return arguments


def run_step(arguments: argparse.Namespace) -> None:
    """Do a step that needs a workplace."""
    from scripts.studies.defaults.devices import fitting_jobs
    from scripts.studies.defaults.image_files import write_predictions
    from scripts.studies.defaults.workplace import Workplace

    folder = arguments.work.absolute() / arguments.dataset
    place = Workplace(arguments.dataset, folder, device=getattr(arguments, "device", "cpu"))
    if arguments.step == "prepare":
        place.prepare(arguments.raw and arguments.raw.absolute(), jobs=arguments.jobs)
    elif arguments.step == "files":
        write_predictions(place, arguments.arm, arguments.seed)
    else:
        arms = arguments.arms or [*ARMS, *(lines(place.study) if arguments.lines else ())]
        if arguments.step == "score":
            place.score(arms, arguments.seeds)
        else:
            jobs = fitting_jobs(arguments.jobs, arguments.device)
            place.run(arms, arguments.seeds, minutes=arguments.minutes, jobs=jobs, priors=arguments.priors)


if __name__ == "__main__":
    main()
