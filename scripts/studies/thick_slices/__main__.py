"""Thick slices of hippocampi: the paper's arms (Tables I and III), trained for equal CPU time, on the same test stacks.

    python -m scripts.studies.thick_slices prepare --work /scratch/thick --raw ../shared/data/nnUNet_raw
    python -m scripts.studies.thick_slices calibrate --work /scratch/thick          # iterations of equal CPU time
    python -m scripts.studies.thick_slices run --work /scratch/thick --minutes 60 --seeds 0 1 2
    python -m scripts.studies.thick_slices report                     # docs/evidence/thick_slices.md from the results

Resumable: a run that `benchmarks/thick_slices/runs.json` lists is not done again, and a training goes on from its
checkpoint. Fold 0's validation cases are the test; their 5 mm stacks, one set with slice motion and one without, are
made once and are the same for all arms. Every training is a process of one thread that also loads its data, and gets
`--budget` seconds of CPU time: as many iterations as `calibrate` found to fit.

With `--protocol converged` arms are trained for equally many steps, under both losses; the page says which are flat:

    python -m scripts.studies.thick_slices prepare --protocol converged --work /scratch/converged --raw RAW
    python -m scripts.studies.thick_slices run --protocol converged --work /scratch/converged --minutes 600
    python -m scripts.studies.thick_slices report --protocol converged

`--arms` and `--losses` choose some; with more `--epochs`, trainings go on.
`report` writes a page of its own beside the other, and says where. On a machine with a GPU and without a network:
`pack` writes a folder of what was prepared and the code, its run.sh runs there, `merge` takes in what comes back.
"""

import argparse
import time
from pathlib import Path

from scripts.studies.defaults.devices import fitting_jobs
from scripts.studies.jobs import run_all
from scripts.studies.thick_slices.arms import ARMS, ARMS_OF_EQUAL_TIME
from scripts.studies.thick_slices.converged import (
    CONVERGED_ARMS,
    CONVERGED_PAGE,
    CONVERGED_RESULTS,
    EPOCHS,
    ITERATIONS,
    LOSSES,
    ConvergedWorkplace,
)
from scripts.studies.thick_slices.pack import merge, pack
from scripts.studies.thick_slices.workplace import BUDGET_S, PAGE, RESULTS, Workplace


def main() -> None:
    """Run one step of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["prepare", "calibrate", "run", "report", "pack", "merge"])
    parser.add_argument(
        "--protocol", choices=["time", "converged"], default="time", help="equal CPU time, or equally many steps"
    )
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES), help="of the protocol converged")
    parser.add_argument("--work", type=Path, help="scratch folder, outside of the repository")
    parser.add_argument("--raw", type=Path, help="nnUNet_raw that holds the dataset, for prepare")
    parser.add_argument("--results", type=Path, help="folder of the runs' JSON; of merge, one that was brought back")
    parser.add_argument("-o", "--output", type=Path, help="new folder, for pack")
    parser.add_argument("--page", type=Path, help="what report writes")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="CPU seconds of a training, for calibrate")
    parser.add_argument("--minutes", type=float, default=60, help="start no run after this long")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--arms", nargs="+", choices=ARMS, help="default: all of the protocol")
    parser.add_argument("--cases", type=int, help="test only so many cases, to try the script")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, of one thread each")
    parser.add_argument("--prior-epochs", type=int, help="shorten the prior's training, to try the script")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the protocol converged; more of them go on")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="per epoch, of the protocol converged")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of the protocol converged")
    parser.add_argument("--processes", type=int, default=1, help="of prepare")
    arguments = parser.parse_args()
    if arguments.protocol == "converged":
        _converged(parser, arguments)
        return
    arms, results = arguments.arms or list(ARMS_OF_EQUAL_TIME), arguments.results or RESULTS
    if arguments.step == "report":
        from scripts.studies.thick_slices.report import write_report

        write_report(results, arguments.page or PAGE)
        return
    if arguments.work is None:
        parser.error("--work is needed")
    place = Workplace(arguments.work.absolute(), results.absolute(), prior_epochs=arguments.prior_epochs)
    if arguments.step == "prepare":
        place.prepare(arguments.raw.absolute(), arms, num_cases=arguments.cases, processes=arguments.processes)
    elif arguments.step == "calibrate":
        place.calibrate(arms, arguments.budget)
    else:
        place.run(arms, arguments.seeds, minutes=arguments.minutes, jobs=arguments.jobs)


def _converged(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    results = arguments.results or CONVERGED_RESULTS
    if arguments.step == "report":
        from scripts.studies.thick_slices.converged_report import write_converged_report

        write_converged_report(results, arguments.page or CONVERGED_PAGE)
    elif arguments.step == "pack":
        pack(arguments.work.absolute(), arguments.output.absolute())
    elif arguments.step == "merge":
        merge(results.absolute())
    elif arguments.work is None or arguments.step == "calibrate":
        parser.error("--work is needed, and calibrate is of the protocol time")
    else:
        arms, work = arguments.arms or list(CONVERGED_ARMS), arguments.work.absolute()
        options = {name: getattr(arguments, name) for name in ("epochs", "iterations", "prior_epochs", "device")}
        places = [ConvergedWorkplace(work, results.absolute() / loss, loss, **options) for loss in arguments.losses]
        if arguments.step == "prepare":  # the losses share all of it
            raw = arguments.raw.absolute()
            places[0].prepare(raw, arms, num_cases=arguments.cases, processes=arguments.processes)
        else:
            run_all(
                [call for place in places for call in place.calls(arms, arguments.seeds)],
                environment=places[0].environment,
                ends=time.time() + 60 * arguments.minutes,
                processes=fitting_jobs(arguments.jobs, arguments.device),
            )


if __name__ == "__main__":
    main()
